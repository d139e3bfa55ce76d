"""The judge of a recording session, with the product's own client before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidestream.sdp.model import SessionDescription
from sidestream.siprec.body import MetadataType, read_body
from sidestream.siprec.commands import SendRequest
from sidestream.siprec.events import (
    CallEnded,
    CodecsChanged,
    PauseAsked,
    ResumeAsked,
    SnapshotDue,
    StreamCodec,
)
from sidestream.siprec.metadata import DataMode
from sidestream.siprec.profile import ServerProfile
from sidestream.tools.recorder_events import Documented, RecorderEvent
from sidestream.tools.recorder_findings import Level
from sidestream.tools.recorder_judge import Judge
from sidestream.tools.recorder_store import SessionStore
from siprec_script import PCMU, Script, at, script

STRANGE_CLOCK = {"date-skew", "metadata-time"}
"""The script's call is of another day."""


def play_call(play: Script) -> list[SendRequest]:
    """A call with everything in it; returns what the client sent."""
    play.up()
    play.ledger.answered(at(1))
    play.apply(SnapshotDue())
    play.respond(play.sent[-1])
    codecs = tuple(StreamCodec(label, PCMU) for label in ("1", "2"))
    for event in (PauseAsked(), ResumeAsked(), CodecsChanged(codecs)):
        play.apply(event)
        play.respond(play.sent[-1])
    play.ledger.held("a")
    play.apply(SnapshotDue())
    play.respond(play.sent[-1])
    play.ledger.ended(at(9))
    play.apply(CallEnded())
    while not play.session.finished:
        play.respond(play.sent[-1])
    return play.sent


def judge_all(tmp_path: Path, sent: list[SendRequest]) -> tuple[Judge, list[RecorderEvent]]:
    events: list[RecorderEvent] = []
    judge = Judge(SessionStore.open(tmp_path, "call"), strict=True, tell=events.append)
    before: SessionDescription | None = None
    for number, each in enumerate(sent):
        request = each.request.copy()
        request.headers.prepend("Via", "SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bKus")
        if request.method == "BYE":
            judge.bye(request)
        elif request.method in {"INVITE", "UPDATE"}:
            judged = judge.change(request, before) if number else judge.invite(request, 3_000)
            assert judged.accepted, list(judge.store.findings)
            before = judged.description or before
    return judge, events


@pytest.mark.parametrize(
    "profile",
    [
        ServerProfile(),
        ServerProfile(mode=DataMode.PARTIAL),
        ServerProfile(metadata_in_bye=True),
        ServerProfile(update=False),
        ServerProfile(metadata_type=MetadataType.PLAIN),
    ],
)
def test_our_own_client_breaks_no_rule(tmp_path: Path, profile: ServerProfile) -> None:
    judge, events = judge_all(tmp_path, play_call(script(profile)))
    found = {finding.code for finding in judge.store.findings}
    expected = {"metadata-type"} if profile.metadata_type is MetadataType.PLAIN else set()
    expected |= {"metadata-in-bye"} if profile.metadata_in_bye else set()
    assert found - STRANGE_CLOCK == expected
    assert not [each for each in judge.store.findings if each.level is Level.VIOLATION]
    assert judge.history.ended
    told = [event for event in events if isinstance(event, Documented)]
    assert len(told) == judge.history.accepted == len(judge.store.documents) >= 6
    assert told[-1].text.endswith("the session has ended")


def test_a_refused_document_is_kept_and_not_taken(tmp_path: Path) -> None:
    sent = script().start()
    sent.request.body = sent.request.body.replace(b"</recording>", b"<stream/></recording>")
    assert read_body(sent.request).metadata
    judge = Judge(SessionStore.open(tmp_path, "call"), strict=True, tell=lambda _: None)
    request = sent.request.copy()
    request.headers.prepend("Via", "SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bKus")
    assert not judge.invite(request, 3_000).accepted
    (entry,) = judge.store.documents
    assert (entry.accepted, entry.message, judge.history.accepted) == (False, "INVITE", 0)
    assert entry.file is not None
    assert entry.file.read_bytes().count(b"<stream/>") == 1
    assert judge.history.parties == ()
