"""Ids and times of recording metadata (RFC 7865 sections 6.9 and 6.10)."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from sidestream.siprec.metadata import (
    DataMode,
    Id,
    Recording,
    Stream,
    format_time,
    is_id,
    make_id,
    parse_time,
)

ONE = make_id(bytes(range(16)))


def test_an_id_is_24_characters_of_16_octets_and_a_random_uuid() -> None:
    assert len(ONE) == 24
    assert ONE.endswith("==")
    assert is_id(ONE)
    assert ONE == "AAECAwQFRgeICQoLDA0ODw=="
    with pytest.raises(ValueError, match="16 octets"):
        make_id(b"short")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "inbound",
        "urn:uuid:4711",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "AAECAwQFRgeICQoLDA0ODx==",
        ONE + "\n",
    ],
)
def test_what_field_recorders_have_seen_as_ids_is_none(text: str) -> None:
    assert not is_id(text)


def test_times_are_written_in_utc_with_z() -> None:
    brussels = timezone(timedelta(hours=1))
    assert format_time(datetime(2026, 3, 3, 10, 15, tzinfo=brussels)) == "2026-03-03T09:15:00Z"
    assert format_time(datetime(2026, 3, 3, 9, 15, 0, 250_000, tzinfo=UTC)) == "2026-03-03T09:15:00.25Z"
    with pytest.raises(ValueError, match="zone"):
        format_time(datetime(2026, 3, 3, 9, 15))  # noqa: DTZ001 - that is the point


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-03-03T09:15:00Z", datetime(2026, 3, 3, 9, 15, tzinfo=UTC)),
        ("2026-03-03T10:15:00.5+01:00", datetime(2026, 3, 3, 9, 15, 0, 500_000, tzinfo=UTC)),
        ("2026-03-03T09:15:00.123456789Z", datetime(2026, 3, 3, 9, 15, 0, 123_456, tzinfo=UTC)),
        ("2026-03-03T09:15:00", None),
        ("2026-03-03T09:15:00+0000", None),
        ("2026-03-03t09:15:00z", None),
        ("2026-02-30T09:15:00Z", None),
        ("2026-03-03T09:15:00+25:00", None),
        ("0001-01-01T00:00:00+01:00", None),
    ],
)
def test_times_are_read_with_their_zone_or_not_at_all(text: str, instant: datetime | None) -> None:
    assert parse_time(text) == instant


def test_a_document_without_mode_is_complete() -> None:
    assert Recording().is_complete
    assert not Recording(DataMode.PARTIAL).is_complete


def test_a_document_knows_whether_it_needs_an_offer_beside_it() -> None:
    assert Recording(streams=(Stream(ONE, label="1"),)).names_labels
    assert not Recording(streams=(Stream(Id(ONE)),)).names_labels
