"""Bodies of our messages on the wire."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from sidestream.stream.messages import Connect, Metadata, StreamPausedData, encode, rfc3339


def test_keys_are_camel_case() -> None:
    body = Connect(integration_id="i", integration_name="live", connection=1, resumed=False)
    assert encode(body) == (
        b'{"integrationId":"i","integrationName":"live","connection":1,"resumed":false,'
        b'"protocol":"sidestream","version":"1.0"}'
    )


def test_a_fact_without_participant_has_no_participant_id() -> None:
    body = Metadata(type="stream.paused", at="t", timestamp=0, data=StreamPausedData(by="api"))
    assert b"participantId" not in encode(body)


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (datetime(2026, 11, 23, 10, 15, 30, 120_999, tzinfo=UTC), "2026-11-23T10:15:30.120Z"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05.000Z"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T01:04:05.000Z"),
    ],
)
def test_instants_have_three_decimals_and_are_utc(instant: datetime, text: str) -> None:
    assert rfc3339(instant) == text


def test_an_instant_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        rfc3339(datetime(2026, 1, 2))  # noqa: DTZ001 - the refusal is what is tested
