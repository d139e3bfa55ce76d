"""Whatever is kept of a call can be drawn, captured and masked."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from sidestream.observe.call_trace import (
    CallTrace,
    TracedEvent,
    TracedMessage,
    from_document,
    pack,
    to_document,
    unpack,
)
from sidestream.observe.ladder import ladder
from sidestream.observe.pcap import DATAGRAM, pcap
from sidestream.observe.sip_secrets import mask_message
from trace_script import SDP, sip

HOSTS = st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", "::1", "", "nonsense"])
PORTS = st.integers(0, 65_535)
TEXT = st.text(max_size=40)
TIMES = st.integers(0, 4_000_000_000_000_000)
DATA = st.one_of(
    st.binary(max_size=300),
    st.sampled_from([sip("INVITE sip:x SIP/2.0", SDP), sip("SIP/2.0 200 OK"), sip("SIP/2.0 180 Ringing")]),
    st.builds(lambda size: b"x" * size, st.integers(0, 70_000)),
)
MESSAGES = st.builds(
    TracedMessage,
    at_us=TIMES,
    leg=st.sampled_from(["caller", "callee", "recording"]),
    party=TEXT,
    sent=st.booleans(),
    transport=st.sampled_from(["udp", "tcp", "tls"]),
    local_host=HOSTS,
    local_port=PORTS,
    remote_host=HOSTS,
    remote_port=PORTS,
    data=DATA,
)
EVENTS = st.builds(
    TracedEvent,
    at_us=TIMES,
    level=st.sampled_from(["info", "warning"]),
    name=TEXT,
    detail=st.dictionaries(TEXT, TEXT, max_size=3),
)
CALLS = st.builds(
    CallTrace,
    call_id=TEXT,
    node=TEXT,
    messages=st.lists(MESSAGES, max_size=30),
    events=st.lists(EVENTS, max_size=5),
    omitted=st.integers(0, 9),
)


@given(CALLS, st.integers(0, 300), st.booleans())
def test_any_call_can_be_drawn(call: CallTrace, width: int, full: bool) -> None:
    picture = ladder(call, width, full=full)
    lines = picture.splitlines()
    assert len(lines) >= 4 + len(call.messages) + len(call.events)
    assert all(each.isprintable() or each == "\n" for each in picture)


@given(CALLS)
def test_any_call_survives_the_store_and_the_api(call: CallTrace) -> None:
    assert unpack(pack(call)) == call
    assert from_document(to_document(call)) == call


@given(CALLS)
def test_any_call_can_be_captured_and_no_byte_is_missing(call: CallTrace) -> None:
    capture = pcap(call.messages)
    at, carried = 24, 0
    while at < len(capture):
        _, _, kept, length = struct.unpack_from("<IIII", capture, at)
        assert kept == length
        frame = capture[at + 16 : at + 16 + kept]
        head = 54 if frame[12:14] == b"\x86\xdd" else 34
        protocol = frame[20] if head == 54 else frame[23]
        carried += len(frame) - head - (20 if protocol == 6 else 8)
        at += 16 + kept
    wanted = (
        len(each.data) if each.transport == "tcp" else min(len(each.data), DATAGRAM) for each in call.messages
    )
    assert carried == sum(wanted)


SECRET = st.text("0123456789abcdef", min_size=12, max_size=40)
PADDING = st.text(" \t", max_size=3)


@given(st.binary(max_size=2000))
def test_any_bytes_can_be_masked_again_and_again(data: bytes) -> None:
    masked = mask_message(data)
    assert mask_message(masked) == masked


@given(
    SECRET,
    PADDING,
    st.sampled_from(["Authorization", "proxy-authorization", "PROXY-AUTHORIZATION"]),
    st.booleans(),
)
def test_no_credential_is_left(secret: str, padding: str, name: str, digest: bool) -> None:
    value = f'Digest username="u",{padding} response="{secret}"' if digest else f"Basic {secret}"
    assert secret.encode() not in mask_message(
        sip("INVITE sip:x SIP/2.0", headers=(f"{name}{padding}:{padding}{value}",))
    )
