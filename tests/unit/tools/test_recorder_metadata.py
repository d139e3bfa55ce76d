"""The history of metadata: judged document by document, and the picture that they add up to."""

from datetime import UTC, datetime

import pytest

from sidestream.tools.recorder_findings import Level
from sidestream.tools.recorder_metadata import MetadataHistory, label_scope
from siprec_client import Ids, held, new_id, snapshot, stopped

NOW = datetime(2026, 3, 3, 9, 20, tzinfo=UTC)
LABELS = frozenset({"1", "2"})


def take(history: MetadataHistory, text: str, labels: frozenset[str] | None = LABELS) -> list[str]:
    _, found = history.judge(text.encode(), labels, NOW)
    history.accept()
    return [finding.code for finding in found]


def test_a_whole_call_is_without_fault() -> None:
    ids, history = Ids(), MetadataHistory()
    assert not take(history, snapshot(ids))
    assert not take(history, held(ids), None)
    assert not take(history, snapshot(ids, labels=False), None)
    before = history.ended
    assert not take(history, stopped(ids), None)
    assert (before, history.ended) == (False, True)
    assert history.accepted == 4
    assert [party.gone for party in history.parties] == [True, True]


def test_labels_outlive_a_snapshot_that_may_not_name_them() -> None:
    ids, history = Ids(), MetadataHistory()
    take(history, snapshot(ids))
    take(history, snapshot(ids, labels=False), None)
    assert [party.sends for party in history.parties] == [("1",), ("2",)]


def test_a_refused_document_leaves_nothing_behind() -> None:
    ids, other, history = Ids(), Ids(), MetadataHistory()
    take(history, snapshot(ids))
    _, found = history.judge(snapshot(other).replace("<label>2</label>", "").encode(), LABELS, NOW)
    assert found
    history.refuse()
    assert take(history, held(other), None) == ["metadata-reference"] * 4
    assert history.parties[0].aor == "sip:+3225550100@carrier.example"


def test_ids_that_change_are_remarked() -> None:
    ids, history = Ids(), MetadataHistory()
    take(history, snapshot(ids))
    changed = snapshot(ids).replace(ids.alice, new_id()).replace(ids.first, new_id())
    assert take(history, changed) == ["id-changed", "id-changed"]


START = "<start-time>2026-03-03T09:15:00Z</start-time>"
EARLIER = "<stop-time>2026-03-03T09:14:00Z</stop-time>"


@pytest.mark.parametrize(
    ("old", "new", "code", "level"),
    [
        (START, START + EARLIER, "metadata-time", Level.VIOLATION),
        (START, START.replace("09", "10"), "metadata-time", Level.REMARK),
        ("sip:200@pbx.example", "two hundred", "metadata-aor", Level.VIOLATION),
    ],
)
def test_times_and_addresses_are_judged(old: str, new: str, code: str, level: Level) -> None:
    history = MetadataHistory()
    _, found = history.judge(snapshot(Ids()).replace(old, new).encode(), LABELS, NOW)
    assert (code, level) in [(finding.code, finding.level) for finding in found]


def test_a_mixed_stream_and_missing_associations_are_remarked() -> None:
    ids, history = Ids(), MetadataHistory()
    text = snapshot(ids).replace(f"<send>{ids.second}</send>", f"<send>{ids.first}</send>")
    text = "\n".join(
        each for each in text.splitlines() if not each.startswith(("<sessionrec", "<participantsession"))
    )
    assert take(history, text) == ["metadata-association"] * 2 + ["mixed-stream", "metadata-sender"]


def test_a_snapshot_request_is_not_for_the_client_to_send() -> None:
    text = '<requestsnapshot xmlns="urn:ietf:params:xml:ns:recording:1"/>'
    assert take(MetadataHistory(), text) == ["metadata-kind"]


def test_a_refused_stream_may_still_be_described() -> None:
    data = snapshot(Ids()).encode()
    assert label_scope(data, ["1"], ["2"]) == {"1", "2"}
    assert label_scope(data, ["1"], ["3"]) == {"1"}
    assert label_scope(b"<", ["1"], ["2"]) == {"1"}
