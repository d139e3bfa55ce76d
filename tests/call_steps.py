"""Steps of a call in any order, sensible or not, and the promises that hold after whatever order."""

from collections.abc import Callable

from call_script import ANSWER, OFFER, CallBench, every, sdp
from sidestream.call.commands import EndCall, SendRequest, SetTimer
from sidestream.call.events import (
    AnswerNotAcknowledged,
    HangUp,
    HangUpBy,
    ProgressNotAcknowledged,
    RequestTimedOut,
    RequestTransportFailed,
    ResponseTransportFailed,
    TimerFired,
    TimerName,
)
from sidestream.call.side import Side
from sidestream.call.verdict import Slug
from sidestream.sip.events import ServerKey

BODIES = [
    b"",
    b"",
    OFFER,
    ANSWER,
    sdp("8 101", port=6000),
    sdp("0", direction="sendonly"),
    sdp("0", direction="inactive"),
    sdp("0", host="0.0.0.0"),  # noqa: S104 - the old form of hold
    sdp("9"),
    sdp("0", port=0),
    b"v=0\r\nnonsense",
    b"Signal=5\r\nDuration=160",
]
TYPES = ["application/sdp", "application/sdp", "application/sdp", "application/dtmf-relay", "text/plain"]
STATUSES = [
    100, 180, 183, 183, 199, 200, 200, 200, 202, 302, 401, 404, 408, 481, 486, 487, 488, 491, 500, 503, 603,
]  # fmt: skip
METHODS = ["BYE", "INVITE", "INVITE", "UPDATE", "UPDATE", "INFO", "MESSAGE", "OPTIONS", "REFER", "PRACK"]
OPTIONS = [[], [("Supported", "100rel")], [("Require", "100rel")]]
TAGS = ["tb", "tb", "tb", "tc", "td", ""]

Step = Callable[[CallBench, list[ServerKey]], None]


def request(side: Side, method: str, body: bytes, kind: str, jump: int) -> Step:
    """A party sends a request within its dialog; `jump` is added to its CSeq."""

    def step(bench: CallBench, keys: list[ServerKey]) -> None:
        party = bench.party(side)
        party.cseq = max(1, party.cseq + jump)
        if party.call_id and not bench.b2bua.ended:
            keys.append(bench.request(side, method, body, content_type=kind, cseq=party.cseq))

    return step


def prack(side: Side, body: bytes, error: int) -> Step:
    """A party acknowledges our last reliable response, or with `error` another one."""

    def step(bench: CallBench, keys: list[ServerKey]) -> None:
        if bench.party(side).call_id and not bench.b2bua.ended:
            numbers = [int(each.headers.get("RSeq") or 0) for each in bench.responses()]
            rack = f"{max(numbers, default=0) + error} 1 INVITE"
            keys.append(bench.prack(body, rack=rack, side=side))

    return step


def ring_reliably(rseq: int, body: bytes, tag: str) -> Step:
    """The callee sends a reliable provisional response."""

    def step(bench: CallBench, _keys: list[ServerKey]) -> None:
        if bench.requests("INVITE", Side.B) and not bench.b2bua.ended:
            bench.ring_reliably(rseq, body, tag=tag)

    return step


TIMED = [
    [("Session-Expires", "600;refresher=uac"), ("Supported", "timer")],
    [("Session-Expires", "90;refresher=uas"), ("Supported", "timer")],
    [("Session-Expires", "20"), ("Supported", "timer")],
    [("Min-SE", "1200")],
    [("Session-Expires", "nonsense"), ("Require", "timer")],
]


def answer_timed(choice: int, status: int, body: bytes, headers: list[tuple[str, str]]) -> Step:
    """A party answers one of our requests within the call, and says something of session timers."""

    def step(bench: CallBench, _keys: list[ServerKey]) -> None:
        sent = _chosen(bench, choice)
        if sent is not None and sent.request.to_tag and not bench.b2bua.ended:
            bench.reply(sent, status, body, headers=headers)

    return step


def refresh(side: Side, method: str, body: bytes, headers: list[tuple[str, str]]) -> Step:
    """A party sends a re-INVITE or UPDATE that says something of session timers."""

    def step(bench: CallBench, keys: list[ServerKey]) -> None:
        if bench.party(side).call_id and not bench.b2bua.ended:
            keys.append(bench.request(side, method, body, headers=headers))

    return step


def reply(choice: int, status: int, body: bytes, kind: str, tag: str) -> Step:
    """A party answers one of our requests."""

    def step(bench: CallBench, _keys: list[ServerKey]) -> None:
        if sent := _chosen(bench, choice):
            first = sent.side is Side.B and not sent.request.to_tag
            bench.reply(sent, status, body, tag=tag if first else None, content_type=kind)

    return step


def lose(choice: int, event: type[RequestTimedOut] | type[RequestTransportFailed]) -> Step:
    """One of our requests is never answered, or never sent."""

    def step(bench: CallBench, _keys: list[ServerKey]) -> None:
        sent = _chosen(bench, choice)
        bench.apply(event(sent.request_id if sent else 99))

    return step


def key_event(
    choice: int,
    event: type[AnswerNotAcknowledged] | type[ProgressNotAcknowledged] | type[ResponseTransportFailed],
) -> Step:
    """Something befalls an answer of ours."""
    return lambda bench, keys: bench.apply(event(keys[choice % len(keys)]))


def cancel(choice: int) -> Step:
    """The caller cancels one of its requests."""
    return lambda bench, keys: bench.cancel(keys[choice % len(keys)])


def ack(side: Side, body: bytes, back: int) -> Step:
    """A party acknowledges, `back` requests late."""

    def step(bench: CallBench, _keys: list[ServerKey]) -> None:
        party = bench.party(side)
        if party.call_id:
            bench.ack(body, side=side, cseq=max(1, party.cseq - back))

    return step


def fire(name: TimerName) -> Step:
    """A timer fires: when it is armed, or late, after it was disarmed."""

    def step(bench: CallBench, _keys: list[ServerKey]) -> None:
        bench.timers.pop(name, None)
        bench.apply(TimerFired(name))

    return step


def _chosen(bench: CallBench, choice: int) -> SendRequest | None:
    """One of the requests sent, the last ones more often."""
    requests = bench.requests()
    return requests[-1 - choice % len(requests)] if requests else None


def end_and_check(bench: CallBench, keys: list[ServerKey]) -> None:
    """End the call; it has one verdict, and each request one final response."""
    if not bench.b2bua.ended:
        bench.apply(HangUp(HangUpBy.SHUTDOWN, "over"))
    if not bench.b2bua.ended:
        bench.fire(TimerName.TEARDOWN)
    assert bench.b2bua.failure is None
    assert bench.b2bua.ended
    assert bench.verdict.slug is not Slug.INTERNAL_ERROR
    assert isinstance(bench.log[-1], EndCall)
    assert not bench.timers
    for key in keys:
        assert bench.final(key).status >= 200
    assert all(set_.at >= 100.0 for set_ in every(bench.log, SetTimer))


def end_politely(bench: CallBench, keys: list[ServerKey]) -> None:
    """What is open is answered, or its silence is told: nothing is left for the TEARDOWN timer."""
    if not bench.b2bua.ended:
        bench.apply(HangUp(HangUpBy.SHUTDOWN, "over"))
    for key in keys:
        bench.apply(AnswerNotAcknowledged(key))
    for sent in bench.requests():
        bench.apply(RequestTimedOut(sent.request_id))
    assert bench.b2bua.ended
    assert bench.b2bua.failure is None
