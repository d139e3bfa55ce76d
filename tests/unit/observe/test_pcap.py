import struct

from sidestream.observe.pcap import SEGMENT, pcap
from trace_script import a_call, message, sip


def frames(capture: bytes) -> list[tuple[int, int, bytes]]:
    """Return (seconds, microseconds, frame) of each record."""
    magic, major, minor, _, _, _, link = struct.unpack_from("<IHHiIII", capture)
    assert (magic, major, minor, link) == (0xA1B2C3D4, 2, 4, 1)
    found, at = [], 24
    while at < len(capture):
        seconds, micros, kept, length = struct.unpack_from("<IIII", capture, at)
        assert kept == length
        found.append((seconds, micros, capture[at + 16 : at + 16 + kept]))
        at += 16 + kept
    assert at == len(capture)
    return found


def test_a_datagram_has_its_addresses_ports_time_and_bytes() -> None:
    data = sip("INVITE sip:x SIP/2.0")
    ((seconds, micros, frame),) = frames(pcap([message(data, 0.25)]))
    assert (seconds, micros) == (1_764_000_000, 373_456)
    assert frame[12:14] == b"\x08\x00"
    assert frame[26:34] == bytes([192, 0, 2, 1, 127, 0, 0, 1])
    assert struct.unpack_from(">HHH", frame, 34) == (5080, 5060, 8 + len(data))
    assert frame[42:] == data


def test_a_connection_begins_once_and_its_numbers_add_up() -> None:
    data = [b"A" * (SEGMENT + 10), b"B" * 5, b"C" * 7]
    messages = [
        message(each, transport="tcp", sent=sent)
        for each, sent in zip(data, (False, True, False), strict=True)
    ]
    segments = [(frame[34:54], frame[54:]) for _, _, frame in frames(pcap(messages))]
    assert [head[13] for head, _ in segments] == [2, 18, 16, 24, 24, 24, 24]
    sent: dict[int, int] = {}
    for head, payload in segments[3:]:
        port, _, sequence, acknowledged = struct.unpack_from(">HHII", head)
        assert sequence == sent.get(port, sequence)
        sent[port] = sequence + len(payload)
        other = next((value for key, value in sent.items() if key != port), acknowledged)
        assert acknowledged == other
    assert b"".join(payload for _, payload in segments) == b"".join(data)


def test_tls_is_written_in_the_clear_as_datagrams() -> None:
    ((_, _, frame),) = frames(
        pcap([message(b"x", transport="tls", remote=("2001:db8::1", 5061), local=("::1", 5061))])
    )
    assert (frame[12:14], frame[20]) == (b"\x86\xdd", 17)


def test_addresses_that_are_none_or_of_two_families_are_written_somehow() -> None:
    strange = [
        message(b"x", remote=("", 70_000), local=("nowhere", -1)),
        message(b"x", remote=("2001:db8::1", 1), local=("127.0.0.1", 2)),
        message(b"x", remote=("fe80::1%eth0", 1), local=("::1", 2)),
    ]
    assert len(frames(pcap(strange))) == 3
    assert len(frames(pcap(a_call().messages))) == 11
