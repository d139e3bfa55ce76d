"""The judge of metadata: what the schema says, and what it cannot say."""

from dataclasses import replace

import pytest

from sidestream.siprec.check import Checker, check, schema
from sidestream.siprec.ledger import View
from sidestream.siprec.metadata import DataMode, Id, Recording, SnapshotRequest, Stream, make_id
from sidestream.siprec.xml import serialize
from siprec_script import BEGIN, at, ledger

LABELS = {"1", "2"}
OTHER = make_id(b"\xaa" * 16)


def complete() -> Recording:
    return ledger().document(View(associated_at=BEGIN))


def test_a_document_of_the_ledger_is_flawless() -> None:
    assert check(serialize(complete()), LABELS) == []


def test_the_schema_comes_from_the_package_alone() -> None:
    assert schema() is schema()


def test_the_order_of_elements_is_wanted() -> None:
    text = serialize(complete()).decode()
    start, end = text.index("<stream "), text.index("<sessionrecordingassoc")
    moved = text[:start] + text[end:].replace("</recording>", text[start:end] + "</recording>")
    found = check(moved.encode(), LABELS)
    assert any(error.startswith("schema: ") for error in found)
    assert any("may not stand there" in error for error in found)


def test_ids_are_16_octets_even_where_the_schema_is_content() -> None:
    text = serialize(complete()).decode().replace(str(complete().sessions[0].session_id), "AAAA")
    (error,) = check(text.encode(), LABELS)
    assert "16 octets" in error


def test_times_have_zones_even_where_the_schema_is_content() -> None:
    text = serialize(complete()).decode().replace("T09:15:00Z", "T09:15:00")
    (error,) = check(text.encode(), LABELS)
    assert "zone" in error


def test_references_resolve() -> None:
    document = complete()
    dangling = replace(document, sessions=(replace(document.sessions[0], group_ref=OTHER),))
    assert check(serialize(dangling), LABELS) == [
        f"session refers to a group that is not defined: {OTHER}",
    ]


def test_an_id_is_one_thing_only_and_stands_once() -> None:
    document = complete()
    twice = replace(document, streams=(*document.streams, document.streams[0]))
    assert any("defined twice" in error for error in check(serialize(twice), LABELS))
    checker = Checker()
    assert checker.check(serialize(document), LABELS) == []
    stolen = Stream(Id(document.participants[0].participant_id))
    again = Recording(DataMode.PARTIAL, streams=(stolen,))
    assert any("was a participant and is now a stream" in each for each in checker.check(serialize(again)))


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ({"1"}, "label '2' is not in the session description"),
        ({"1", "2", "3"}, "no stream has the label '3' of the session description"),
        (None, "labels are named without a session description that defines them (RFC 7866 section 9.1)"),
    ],
)
def test_labels_are_those_of_the_offer(labels: set[str] | None, says: str) -> None:
    assert check(serialize(complete()), labels) == [says]


def test_a_partial_document_builds_on_a_complete_one() -> None:
    book, checker = ledger(), Checker()
    first = serialize(book.document(View(associated_at=BEGIN)))
    known = book.revision
    book.answered(at(1))
    partial = serialize(book.document(View(associated_at=BEGIN, since=known)))
    assert any("before any complete one" in error for error in Checker().check(partial))
    assert checker.check(first, LABELS) == []
    assert checker.check(partial) == []
    assert isinstance(checker.current, Recording)


def test_what_is_no_xml_is_said_and_nothing_more() -> None:
    (error,) = check(b"v=0")
    assert "well-formed" in error


def test_a_snapshot_request_is_judged_by_the_schema() -> None:
    checker = Checker()
    assert checker.check(serialize(SnapshotRequest())) == []
    assert checker.current == SnapshotRequest()
