import pytest

from call_script import OFFER
from sidestream.call.body import BodyError, session_of, session_or_none
from sidestream.sdp.errors import SdpError
from sidestream.sip.message import Headers, Request


def message(body: bytes, *headers: tuple[str, str]) -> Request:
    return Request("INVITE", "sip:us@192.0.2.1", Headers(headers), body)


def multipart(*parts: bytes) -> Request:
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"
    return message(body, ("Content-Type", "multipart/mixed;boundary=b"))


SDP_PART = b"Content-Type: application/sdp\r\n\r\n" + OFFER
ISUP_PART = b"Content-Type: application/isup\r\n\r\n\x01\x02"


def test_no_body_is_no_session() -> None:
    assert session_of(message(b"")) is None


@pytest.mark.parametrize("kind", ["application/sdp", "Application/SDP; charset=x", None])
def test_a_session_description_is_read(kind: str | None) -> None:
    headers = [("Content-Type", kind)] if kind else []
    session = session_of(message(OFFER, *headers))
    assert session is not None
    assert session.media[0].port == 4000


@pytest.mark.parametrize("parts", [(SDP_PART, ISUP_PART), (ISUP_PART, SDP_PART)])
def test_a_session_description_among_other_parts_is_found(parts: tuple[bytes, ...]) -> None:
    session = session_of(multipart(*parts))
    assert session is not None
    assert session.media[0].port == 4000


@pytest.mark.parametrize(
    "bad",
    [
        message(b"x", ("Content-Type", "text/plain")),
        message(OFFER, ("Content-Type", "application/sdp"), ("Content-Encoding", "gzip")),
        message(b"x", ("Content-Type", "multipart/mixed")),
        multipart(ISUP_PART),
        multipart(
            SDP_PART,
            b"Content-Type: application/isup\r\nContent-Disposition: signal;handling=required\r\n\r\n\x01",
        ),
    ],
    ids=["another type", "encoded", "no boundary", "no session", "required part"],
)
def test_another_body_is_415(bad: Request) -> None:
    with pytest.raises(BodyError) as refusal:
        session_of(bad)
    assert refusal.value.sip_status == 415
    assert session_or_none(bad) is None


def test_a_malformed_session_description_is_400() -> None:
    bad = message(b"v=0\r\nnonsense", ("Content-Type", "application/sdp"))
    with pytest.raises(SdpError) as refusal:
        session_of(bad)
    assert refusal.value.sip_status == 400
    assert session_or_none(bad) is None


def test_a_body_that_says_it_is_not_encoded_is_read() -> None:
    assert session_of(message(OFFER, ("Content-Encoding", "Identity"))) is not None
