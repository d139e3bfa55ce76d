"""What a recording knows of its call, change by change."""

import random

import pytest

from sidestream.siprec.check import Checker
from sidestream.siprec.ledger import FORMER_MAX, Ledger, Party, View, without_labels
from sidestream.siprec.metadata import DataMode, ParticipantStream, Reason, Recording
from sidestream.siprec.xml import serialize
from siprec_script import BEGIN, at, ledger

VIEW = View(associated_at=BEGIN)
LABELS = {"1", "2"}


def streams_of(book: Ledger, side: str) -> ParticipantStream:
    identity = book.participant_id("a" if side == "a" else "b")
    (found,) = [each for each in book.document(VIEW).participant_streams if each.participant_id == identity]
    return found


def directions(book: Ledger) -> dict[str, tuple[bool, bool]]:
    return {side: (bool(streams_of(book, side).send), bool(streams_of(book, side).recv)) for side in "ab"}


def test_the_first_document_shows_both_parties_and_their_streams() -> None:
    document = ledger().document(VIEW)
    assert document.mode is DataMode.COMPLETE
    caller, callee = document.participants
    assert (caller.names[0].aor, callee.names[0].aor) == (
        "sip:+3225550100@carrier.example",
        "sip:200@pbx.example",
    )
    assert caller.names[0].name is not None
    assert caller.names[0].name.text == "Alice"
    assert callee.names[0].name is None
    assert [stream.label for stream in document.streams] == ["1", "2"]
    by_caller, by_callee = document.participant_streams
    assert by_caller.send == by_callee.recv == (document.streams[0].stream_id,)
    assert by_callee.send == by_caller.recv == (document.streams[1].stream_id,)


def test_the_callee_takes_part_from_its_answer_on() -> None:
    book = ledger()
    (caller,) = book.document(VIEW).participant_sessions
    assert caller.participant_id == book.participant_id("a")
    book.answered(at(4))
    _, callee = book.document(VIEW).participant_sessions
    assert callee.associate_time == at(4)
    before = book.revision
    book.answered(at(5))
    assert book.revision == before


def test_ids_stay_the_same_over_every_change_and_differ_between_calls() -> None:
    book = ledger()
    before = book.document(VIEW)
    book.answered(at(1))
    book.held("b")
    book.codec_changed("a", "PCMU")
    book.party_updated("b", Party("sip:201@pbx.example"))
    after = book.document(VIEW)
    assert [each.participant_id for each in after.participants] == [
        each.participant_id for each in before.participants
    ]
    assert [each.stream_id for each in after.streams] == [each.stream_id for each in before.streams]
    assert after.sessions[0].session_id == before.sessions[0].session_id == book.session_id
    assert ledger(seed=2).session_id != book.session_id


@pytest.mark.parametrize(
    ("holder", "sends", "shown"),
    [
        ("b", True, {"a": (False, True), "b": (True, False)}),
        ("a", True, {"a": (True, False), "b": (False, True)}),
        ("b", False, {"a": (False, False), "b": (False, False)}),
    ],
)
def test_hold_is_shown_for_each_direction(
    holder: str, sends: bool, shown: dict[str, tuple[bool, bool]]
) -> None:
    book = ledger()
    book.held("a" if holder == "a" else "b", sends=sends)
    assert directions(book) == shown
    book.resumed("a" if holder == "a" else "b")
    assert directions(book) == {"a": (True, True), "b": (True, True)}


def test_both_may_hold_each_other() -> None:
    book = ledger()
    book.held("a")
    book.held("b")
    assert directions(book) == {"a": (False, False), "b": (False, False)}
    book.resumed("a")
    assert directions(book) == {"a": (False, True), "b": (True, False)}


def test_a_transfer_within_the_call_ends_one_participation_and_begins_another() -> None:
    book = ledger()
    book.answered(at(1))
    old = book.participant_id("b")
    new = book.party_replaced("b", Party("sip:300@pbx.example", "Carol"), at(20))
    document = book.document(VIEW)
    assert {each.participant_id for each in document.participants} == {book.participant_id("a"), old, new}
    parts = {each.participant_id: each for each in document.participant_sessions}
    assert parts[old].disassociate_time == parts[new].associate_time == at(20)
    hearing = {each.participant_id: each for each in document.participant_streams}
    assert hearing[old].send == hearing[old].recv == ()
    assert hearing[new].send == (document.streams[1].stream_id,)


def test_participants_that_left_are_forgotten_after_a_while() -> None:
    book = ledger()
    for number in range(40):
        book.party_replaced("b", Party(f"sip:{number}@pbx.example"), at(number))
    assert len(book.document(VIEW).participants) == FORMER_MAX + 2


def test_the_end_is_shown_everywhere() -> None:
    book = ledger()
    book.answered(at(1))
    book.ended(at(60), Reason(200, "BYE"))
    document = book.document(VIEW)
    assert document.sessions[0].stop_time == at(60)
    assert document.sessions[0].reasons == (Reason(200, "BYE"),)
    assert document.groups[0].disassociate_time == at(60)
    assert document.session_recordings[0].disassociate_time == at(60)
    assert {each.disassociate_time for each in document.participant_sessions} == {at(60)}
    revision = book.revision
    book.held("a")
    book.ended(at(61))
    book.codec_changed("a", "PCMU")
    book.party_updated("a", Party("sip:x@y"))
    assert book.party_replaced("a", Party("sip:x@y"), at(62)) == book.participant_id("a")
    assert book.revision == revision


def test_a_recording_that_is_stopped_leaves_the_call_going() -> None:
    document = ledger().document(View(associated_at=at(2), disassociated_at=at(9)))
    assert (
        document.session_recordings[0].associate_time,
        document.session_recordings[0].disassociate_time,
    ) == (
        at(2),
        at(9),
    )
    assert document.sessions[0].stop_time is None


def test_a_server_that_takes_over_has_its_own_association_and_the_same_ids() -> None:
    book = ledger()
    first, second = book.document(VIEW), book.document(View(associated_at=at(30)))
    assert second.session_recordings[0].associate_time == at(30)
    assert second.sessions == first.sessions
    assert second.participants == first.participants


def test_account_voice_service_and_call_id_ride_in_a_namespace_of_their_own() -> None:
    (call,) = ledger().document(VIEW).sessions[0].extensions
    assert {child.name.partition("}")[2]: child.text for child in call.children} == {
        "call-id": "0192-call",
        "sip-call-id": "a84b@pc33",
        "account": "acme",
        "voice-service": "support-desk",
        "direction": "inbound",
    }


def test_what_did_not_change_makes_no_revision() -> None:
    book = ledger()
    book.resumed("a")
    book.party_updated("a", Party("sip:+3225550100@carrier.example", "Alice"))
    book.codec_changed("a", "")
    assert book.revision == 1


def test_a_partial_document_holds_what_changed_and_no_labels() -> None:
    book = ledger()
    known = book.revision
    book.held("b")
    document = book.document(View(associated_at=BEGIN, since=known))
    assert document == Recording(
        DataMode.PARTIAL, participant_streams=tuple(streams_of(book, side) for side in "ab")
    )
    assert not document.names_labels


def test_a_partial_document_of_a_codec_change_tells_the_stream() -> None:
    book = ledger()
    known = book.revision
    book.codec_changed("a", "PCMU")
    document = book.document(View(associated_at=BEGIN, since=known))
    assert [stream.label for stream in document.streams] == ["1"]
    assert not without_labels(document).names_labels


def test_any_history_of_a_call_gives_documents_without_a_flaw() -> None:
    for seed in range(25):
        dice, book = random.Random(seed), ledger(seed)
        complete, partial = Checker(), Checker()
        assert partial.check(serialize(book.document(VIEW)), LABELS) == []
        told = book.revision
        for step in range(12):
            _happen(dice, book, step)
            assert complete.check(serialize(book.document(VIEW)), LABELS) == []
            change = book.document(View(associated_at=BEGIN, since=told))
            told = book.revision
            assert partial.check(serialize(without_labels(change))) == []


def _happen(dice: random.Random, book: Ledger, step: int) -> None:
    side = dice.choice(("a", "b"))
    at_step = at(step)
    match dice.randrange(7):
        case 0:
            book.answered(at_step)
        case 1:
            book.held("a" if side == "a" else "b", sends=dice.random() < 0.5)
        case 2:
            book.resumed("a" if side == "a" else "b")
        case 3:
            book.party_updated(
                "a" if side == "a" else "b", Party(f"sip:{step}@x", dice.choice(("", "É & <b>")))
            )
        case 4:
            book.party_replaced("a" if side == "a" else "b", Party(f"sip:{step}@y"), at_step)
        case 5:
            book.codec_changed("a" if side == "a" else "b", f"C{step}")
        case _ if step > 8:
            book.ended(at_step, Reason(487, "gone"))
