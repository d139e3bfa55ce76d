import pytest

from sidestream.observe.sip_summary import printable, summarize_message
from trace_script import SDP, sip


def test_requests_and_responses_are_named() -> None:
    request = summarize_message(sip("INVITE sip:x SIP/2.0"))
    assert (request.title, request.is_request) == ("INVITE", True)
    response = summarize_message(sip("SIP/2.0 200 OK", cseq="2 BYE"))
    assert (response.title, response.is_request) == ("200 OK (BYE)", False)


AUDIO = "audio 192.0.2.1:4000 PCMU PCMA telephone-event"
IPV6 = "v=0\r\nc=IN IP6 2001:db8::1\r\na=recvonly\r\nm=audio 6 RTP/AVP 9\r\n"
TWO = "v=0\r\nm=audio 6 RTP/AVP 0\r\nc=IN IP4 192.0.2.7\r\nm=video 8 RTP/AVP 96\r\n"
PARTS = f"--b\r\n\r\n{SDP}\r\n--b\r\n\r\n<x a='a=inactive'/>\r\na=inactive\r\n--b--"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (SDP, (f"{AUDIO} sendrecv",)),
        (SDP.replace("a=sendrecv", "a=inactive"), (f"{AUDIO} inactive",)),
        (SDP.replace("m=audio 4000", "m=audio 0"), ("audio refused",)),
        (SDP.replace("RTP/AVP", "RTP/SAVP"), (f"{AUDIO.replace('audio', 'audio SRTP')} sendrecv",)),
        (IPV6, ("audio [2001:db8::1]:6 G722 recvonly",)),
        (TWO, ("audio 192.0.2.7:6 PCMU sendrecv", "video :8 96 sendrecv")),
        (PARTS, (f"{AUDIO} sendrecv",)),
        ("m=\r\nc=\r\na=\r\n", (" :  sendrecv",)),
        ("", ()),
    ],
)
def test_descriptions_are_summed_up(body: str, words: tuple[str, ...]) -> None:
    assert summarize_message(sip("INVITE sip:x SIP/2.0", body)).sdp == words


def test_nothing_moves_the_cursor() -> None:
    title = summarize_message(b"INV\x1b[2JITE\xff sip:x SIP/2.0\r\n\r\n").title
    assert title == "INV?[2JITE\ufffd"
    assert printable("a\u202eb\n") == "a?b?"
