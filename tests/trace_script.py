"""Messages and calls for tests of what is kept of them."""

from sidestream.observe.call_trace import CallTrace, Leg, TracedEvent, TracedMessage

SDP = (
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
)
BEGAN_US = 1_764_000_000_123_456


def sip(first: str, body: str = "", headers: tuple[str, ...] = (), cseq: str = "1 INVITE") -> bytes:
    """Return a message with a right Content-Length."""
    lines = [
        first,
        "Via: SIP/2.0/UDP 192.0.2.1:5080;branch=z9hG4bK1",
        "From: <sip:+14155550100@192.0.2.1>;tag=abc",
        "To: <sip:+15551234@127.0.0.1>",
        "Call-ID: call-1@192.0.2.1",
        f"CSeq: {cseq}",
        *headers,
        *(["Content-Type: application/sdp"] if body else []),
        f"Content-Length: {len(body.encode())}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def message(
    data: bytes,
    at: float = 0.0,
    *,
    leg: Leg = "caller",
    sent: bool = False,
    transport: str = "udp",
    remote: tuple[str, int] = ("192.0.2.1", 5080),
    local: tuple[str, int] = ("127.0.0.1", 5060),
) -> TracedMessage:
    """Return a message that was kept."""
    party = {"caller": "carrier", "callee": "desk", "recording": "compliance"}[leg]
    return TracedMessage(BEGAN_US + round(at * 1_000_000), leg, party, sent, transport, *local, *remote, data)


DESK = ("192.0.2.33", 5090)
RECORDER = ("2001:db8::5", 5070)


def a_call() -> CallTrace:
    """Return a short recorded call as it is kept."""
    recorder = {"leg": "recording", "transport": "tcp", "remote": RECORDER, "local": ("2001:db8::1", 41234)}
    return CallTrace(
        call_id="019aa000-0000-7000-8000-000000000001",
        node="gw-1",
        messages=[
            message(sip("INVITE sip:+15551234@127.0.0.1 SIP/2.0", SDP)),
            message(sip("SIP/2.0 100 Trying"), 0.001, sent=True),
            message(
                sip("INVITE sip:+15551234@192.0.2.33 SIP/2.0", SDP),
                0.002,
                leg="callee",
                sent=True,
                remote=DESK,
            ),
            message(sip("SIP/2.0 200 OK", SDP), 1.5, leg="callee", remote=DESK),
            message(sip("SIP/2.0 200 OK", SDP), 1.501, sent=True),
            message(sip("INVITE sip:rec@[2001:db8::5] SIP/2.0", SDP), 1.502, sent=True, **recorder),  # type: ignore[arg-type]
            message(sip("SIP/2.0 200 OK", SDP), 1.51, **recorder),  # type: ignore[arg-type]
            message(sip("BYE sip:+15551234@127.0.0.1 SIP/2.0", cseq="2 BYE"), 9.0),
        ],
        events=[
            TracedEvent(BEGAN_US + 1_502_500, "info", "stream begun", {"integration": "live"}),
            TracedEvent(
                BEGAN_US + 9_000_100,
                "info",
                "call ended",
                {"verdict": "caller-hung-up", "detail": "The caller hung up."},
            ),
        ],
    )
