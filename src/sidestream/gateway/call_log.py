"""What a call says in the log: one line at its begin and one at its end.

A peer that failed, a hold and a new participant are told too; the steps between at `debug`. At hundreds
of calls a second a line for each step costs as much as the steps do.
"""

from typing import assert_never

from sidestream.call.facts import (
    CallAnswered,
    CallEnded,
    CallEnding,
    CallHeld,
    CallRang,
    CallResumed,
    CallStarted,
    CodecChanged,
    DtmfReceived,
    EarlyMediaStarted,
    Fact,
    HeadersChanged,
    ParticipantUpdated,
    PeerGivenUp,
    PeerTried,
)
from sidestream.call.setup import CallSetup
from sidestream.call.verdict import ResultClass, Verdict
from sidestream.observe.logging import Logger

_EXPECTED = frozenset(
    {ResultClass.COMPLETED, ResultClass.STOPPED, ResultClass.CANCELLED, ResultClass.UNANSWERED}
)


def log_fact(log: Logger, setup: CallSetup, fact: Fact) -> None:  # noqa: C901, PLR0912 - a case for each fact
    """Write the line of a fact; keys that people press are only counted, never written."""
    match fact:
        case CallStarted(caller=caller, callee=callee):
            log.info(
                "call started",
                source=setup.caller.trunk,
                target=setup.callee.trunk,
                caller=caller.number or caller.uri,
                callee=callee.number or callee.uri,
            )
        case PeerTried(attempt=attempt, uri=uri, sip_call_id=sip_call_id):
            log.debug("peer tried", attempt=attempt, peer=uri, sip_call_id=sip_call_id)
        case PeerGivenUp(attempt=attempt, uri=uri, status=status, detail=detail):
            log.warning("peer given up", attempt=attempt, peer=uri, status=status, detail=detail)
        case CallRang(status=status):
            log.debug("call rings", status=status)
        case EarlyMediaStarted():
            log.debug("early media")
        case CallAnswered():
            log.debug("call answered")
        case CallHeld(side=side):
            log.info("call held", side=side.value)
        case CallResumed(side=side):
            log.info("call resumed", side=side.value)
        case CodecChanged(side=side, codec=codec):
            log.debug("codec in use", side=side.value, codec=codec.name, clock_rate=codec.clock_rate)
        case DtmfReceived(side=side):
            log.debug("key pressed", side=side.value)
        case HeadersChanged(side=side):
            log.debug("headers changed", side=side.value)
        case ParticipantUpdated(participant=participant):
            log.info("participant updated", participant=participant.id)
        case CallEnding() | CallEnded():
            pass
        case _:
            assert_never(fact)


def log_ending(log: Logger, ending: Verdict, duration_s: float) -> None:
    """Write the one line of a call's verdict: a warning when it is not among the usual ways to end."""
    write = log.info if ending.result in _EXPECTED else log.warning
    write(
        "call ended",
        verdict=ending.slug.value,
        result=ending.result.value,
        status=ending.sip_status,
        ended_by=ending.ended_by.value,
        detail=ending.detail,
        duration_s=round(duration_s, 3),
    )
