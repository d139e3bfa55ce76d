"""RFC 7865: the recording metadata, by section."""

from pathlib import Path

import pytest

from sidestream.siprec.body import read_body
from sidestream.siprec.check import Checker
from sidestream.siprec.events import CallEnded, PauseAsked, ResumeAsked, SnapshotDue
from sidestream.siprec.ledger import Party
from sidestream.siprec.metadata import (
    NAMESPACE,
    DataMode,
    LangText,
    Reason,
    Recording,
    SnapshotRequest,
    is_id,
)
from sidestream.siprec.profile import ServerProfile
from sidestream.siprec.xml import parse, serialize
from siprec_script import Script, at, script

DATA = Path(__file__).resolve().parents[1] / "data" / "siprec"
LABELS = {"96", "97", "98", "99"}


def example(name: str) -> bytes:
    return (DATA / f"rfc7865-{name}.xml").read_bytes()


def test_section_8_the_examples_are_valid_and_read_and_written() -> None:
    checker = Checker()
    for name, labels in (("8.1-complete", LABELS), ("8.2-partial", None), ("7-snapshot-request", None)):
        assert checker.check(example(name), labels) == []
        document = parse(example(name))
        assert parse(serialize(document)) == document


def test_section_8_1_everything_in_it_is_understood() -> None:
    document = parse(example("8.1-complete"))
    assert isinstance(document, Recording)
    (session,) = document.sessions
    assert session.sip_session_ids == (
        "ab30317f1a784dc48ff824d0d3715d86;remote=47755a9de7794ba387653f2099600ef2",
    )
    assert session.group_ref == document.groups[0].group_id
    assert [each.names[0].aor for each in document.participants] == [
        "sip:bob@biloxi.com",
        "sip:Paul@biloxi.com",
    ]
    assert document.participants[0].names[0].name == LangText("Bob", "it")
    assert [each.label for each in document.streams] == ["96", "97", "98", "99"]
    assert [len(each.send) for each in document.participant_streams] == [2, 2]
    assert [each.name for each in document.groups[0].extensions] == [
        "{urn:ietf:params:xml:ns:callcenter}call-center",
        "{http://example.com/my}mydata",
    ]


def test_section_7_a_snapshot_request_is_recognised() -> None:
    document = parse(example("7-snapshot-request"))
    assert document == SnapshotRequest(LangText("SRS internal error", "it"))


def test_section_6_1_the_first_document_is_complete_and_later_ones_are_as_the_profile_says() -> None:
    for mode in DataMode:
        play = _life(script(ServerProfile(mode=mode)))
        documents = [parse(data) for data in play.documents]
        assert all(isinstance(each, Recording) for each in documents)
        modes = [each.mode for each in documents if isinstance(each, Recording)]
        assert modes[0] is DataMode.COMPLETE
        assert mode in modes[1:]


def test_section_6_10_ids_are_16_octets_and_the_same_in_all_documents() -> None:
    play = _life(script())
    seen: list[tuple[str, ...]] = []
    for data in play.documents:
        document = parse(data)
        assert isinstance(document, Recording)
        ids = (document.sessions[0].session_id, *(each.stream_id for each in document.streams))
        assert all(is_id(each) for each in ids)
        seen.append(ids)
    assert len(set(seen)) == 1


def test_section_6_11_the_namespace_is_version_1() -> None:
    assert f'xmlns="{NAMESPACE}"'.encode() in _life(script()).documents[0]
    assert NAMESPACE.endswith(":1")


@pytest.mark.parametrize("mode", DataMode)
@pytest.mark.parametrize("refused", [(), ("UPDATE",), ("UPDATE", "INVITE")])
def test_section_9_every_document_that_a_call_can_produce_is_valid_and_resolves(
    mode: DataMode, refused: tuple[str, ...]
) -> None:
    # Each document is judged when it is sent; see `siprec_script.Script`.
    play = _life(script(ServerProfile(mode=mode)), refused)
    assert len(play.documents) >= 7


def test_section_6_8_hold_is_told_by_send_and_recv() -> None:
    play = script().up()
    play.ledger.held("b")
    play.apply(SnapshotDue())
    document = parse(play.documents[-1])
    assert isinstance(document, Recording)
    caller, callee = document.participant_streams
    assert (caller.send, len(caller.recv)) == ((), 1)
    assert (len(callee.send), callee.recv) == (1, ())


def test_section_6_3_the_end_has_its_time_and_reason() -> None:
    play = _life(script())
    document = parse(play.documents[-1])
    assert isinstance(document, Recording)
    assert document.sessions[0].stop_time == at(60)
    assert document.sessions[0].reasons == (Reason(200, "BYE"),)


def _life(play: Script, refused: tuple[str, ...] = ()) -> Script:
    """A call with everything that can happen to it."""

    def settle() -> None:
        sent = play.sent[-1]
        for _ in range(3):
            play.respond(sent, 488 if sent.request.method in refused else 200)
            if play.sent[-1] is sent:
                return
            sent = play.sent[-1]

    play.up()
    book = play.ledger
    happenings = (
        lambda: book.answered(at(1)),
        lambda: book.codec_changed("a", "PCMU"),
        lambda: book.held("b"),
        lambda: book.resumed("b"),
        lambda: book.party_updated("a", Party("sip:+32@carrier.example", "Zoë <1>")),
        lambda: book.party_replaced("b", Party("sip:300@pbx.example"), at(30)),
    )
    for happen in happenings:
        happen()
        play.apply(SnapshotDue())
        settle()
    play.apply(PauseAsked())
    settle()
    play.apply(ResumeAsked())
    settle()
    book.ended(at(60), Reason(200, "BYE"))
    play.apply(CallEnded())
    assert read_body(play.sent[-1].request).metadata is not None
    return play
