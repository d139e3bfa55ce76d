import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from hep_decoder import read
from sidestream.observe.hep import (
    LENGTH_MAX,
    HepAgent,
    HepPacket,
    Payload,
    QualityReport,
    encode,
    report_json,
)
from trace_script import SDP, sip

AGENT = HepAgent(2001, "gw-1", "s3cret")
PACKET = HepPacket(
    at_us=1_764_000_000_123_456,
    source=("192.0.2.1", 5080),
    target=("127.0.0.1", 5060),
    tcp=False,
    kind=Payload.SIP,
    data=sip("INVITE sip:+15551234@127.0.0.1 SIP/2.0", SDP),
    correlation="019aa000-0000-7000-8000-000000000001",
)


def encoded(packet: HepPacket = PACKET, agent: HepAgent = AGENT) -> bytes:
    data = encode(packet, agent)
    assert data is not None
    return data


def test_an_independent_reader_finds_everything() -> None:
    packet, rest = read(encoded())
    assert rest == b""
    assert packet.addresses == ("192.0.2.1", "127.0.0.1")
    assert [packet.number(kind) for kind in (1, 2, 7, 8, 9, 10, 11, 12)] == [
        2, 17, 5080, 5060, 1_764_000_000, 123_456, 1, 2001,
    ]  # fmt: skip
    assert packet.chunks[0, 15] == PACKET.data
    assert packet.chunks[0, 17] == PACKET.correlation.encode()
    assert packet.chunks[0, 14] == b"s3cret"
    assert packet.chunks[0, 19] == b"gw-1"


def test_without_a_password_there_is_no_chunk_of_it_and_it_is_never_shown() -> None:
    packet, _ = read(encoded(agent=replace(AGENT, password="")))
    assert (0, 14) not in packet.chunks
    assert "s3cret" not in repr(AGENT)


def test_ipv6_and_tcp() -> None:
    packet, _ = read(encoded(replace(PACKET, source=("2001:db8::1", 1), target=("::1", 2), tcp=True)))
    assert (packet.number(1), packet.number(2)) == (10, 6)
    assert packet.addresses == (
        "2001:0db8:0000:0000:0000:0000:0000:0001",
        "0000:0000:0000:0000:0000:0000:0000:0001",
    )


def test_what_is_too_long_is_not_sent() -> None:
    assert encode(replace(PACKET, data=b"x" * LENGTH_MAX), AGENT) is None


@given(
    st.builds(
        HepPacket,
        at_us=st.integers(0, 2**52),
        source=st.tuples(
            st.sampled_from(["192.0.2.1", "::1", "", "x", "fe80::1%eth0"]), st.integers(0, 65_535)
        ),
        target=st.tuples(st.sampled_from(["192.0.2.2", "2001:db8::2", ""]), st.integers(0, 65_535)),
        tcp=st.booleans(),
        kind=st.sampled_from(Payload),
        data=st.binary(max_size=3000),
        correlation=st.text(max_size=100),
    ),
    st.text(max_size=80),
)
def test_any_packet_is_read_back(packet: HepPacket, name: str) -> None:
    found, rest = read(encoded(packet, HepAgent(2**32 - 1, name)))
    assert rest == b""
    assert found.chunks[0, 15] == packet.data
    assert (found.number(7), found.number(8), found.number(11)) == (
        packet.source[1],
        packet.target[1],
        packet.kind,
    )
    assert found.number(9) * 1_000_000 + found.number(10) == packet.at_us % (2**32 * 1_000_000)


def test_a_report_is_rtcp_in_json_with_the_score_beside() -> None:
    report = QualityReport(
        packets=950, lost=50, jitter_ms=2.5, round_trip_ms=40.0, sent=1000, far_lost=None, mos=4.1
    )
    document = json.loads(report_json(report))
    (block,) = document["report_blocks"]
    assert (block["fraction_lost"], block["packets_lost"], block["ia_jitter"]) == (12, 50, 20)
    assert (document["mos"], document["round_trip_ms"], document["packets_sent"]) == (4.1, 40.0, 1000)
    assert "far_packets_lost" not in document
