import pytest

from sidestream.call.dtmf import DEFAULT_DURATION_MS, MAX_DURATION_MS, key_press
from sidestream.sip.message import Headers, Request


def info(body: bytes, kind: str | None = "application/dtmf-relay") -> Request:
    headers = Headers([("Content-Type", kind)] if kind else [])
    return Request("INFO", "sip:us@192.0.2.1", headers, body)


@pytest.mark.parametrize("key", "0123456789*#ABCD")
def test_every_key_is_known(key: str) -> None:
    assert key_press(info(f"Signal={key}\r\nDuration=160\r\n".encode())) == (key, 160)
    assert key_press(info(key.encode(), "application/dtmf")) == (key, DEFAULT_DURATION_MS)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"signal = 7\nDURATION = 100", ("7", 100)),
        (b"Duration=90\r\nSignal=a", ("A", 90)),
        (b"Signal=10", ("*", DEFAULT_DURATION_MS)),
        (b"Signal=11\r\nDuration=", ("#", DEFAULT_DURATION_MS)),
        (b"Signal=5\r\nDuration=-1", ("5", DEFAULT_DURATION_MS)),
        (b"Signal=5\r\nDuration=99999999", ("5", MAX_DURATION_MS)),
        (b"Signal=5\r\nDuration=" + b"9" * 5000, ("5", DEFAULT_DURATION_MS)),
        (b"Signal=\r\nDuration=160", None),
        (b"Signal=55", None),
        (b"Duration=160", None),
        (b"", None),
        (b"\xff\xfe", None),
    ],
)
def test_what_is_written_is_read_or_left_aside(body: bytes, expected: tuple[str, int] | None) -> None:
    assert key_press(info(body)) == expected


@pytest.mark.parametrize("kind", [None, "application/xml", "text/plain"])
def test_another_body_is_no_key_press(kind: str | None) -> None:
    assert key_press(info(b"Signal=5", kind)) is None


def test_the_type_may_have_parameters_and_any_case() -> None:
    assert key_press(info(b"Signal=5", "Application/DTMF-Relay; charset=utf-8")) is not None
