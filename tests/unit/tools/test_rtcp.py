"""RTCP as the development recorder reads and writes it, against packets put together by hand."""

import struct

import pytest

from sidestream.tools.rtcp import ReportBlock, RtcpError, parse_rtcp, receiver_report
from siprec_client import sender_report


def test_a_sender_report_is_read() -> None:
    compound = parse_rtcp(sender_report(0xCAFE, 1_700_000_000.25, 123_456, 42, "who"))
    (report,) = compound.senders
    assert (report.ssrc, report.rtp_timestamp, report.packets, report.octets) == (
        0xCAFE,
        123_456,
        42,
        42 * 160,
    )
    assert report.ntp_s == pytest.approx(1_700_000_000.25, abs=1e-6)
    assert report.ntp_middle == (1_700_000_000 + 2_208_988_800 & 0xFFFF) << 16 | 0x4000
    assert compound.names == {0xCAFE: "who"}
    assert compound.starts_with_report


@pytest.mark.parametrize("name", ["a", "ab", "abc", "abcd", "abcde", "ü" * 20])
def test_names_of_any_length_are_read(name: str) -> None:
    data = receiver_report(7, name, []) + receiver_report(8, "other", [], bye=True)
    compound = parse_rtcp(data)
    assert compound.names == {7: name, 8: "other"}
    assert compound.left == [8]
    assert len(data) % 4 == 0


def test_a_receiver_report_is_laid_out_as_the_rfc_says() -> None:
    block = ReportBlock(0xCAFE, 64, -2, 70_000, 33, 0x11112222, 65_536)
    data = receiver_report(7, "me", [block])
    assert data[:4] == bytes((0x81, 201, 0, 7))
    words = struct.unpack_from(">7I", data, 4)
    assert words == (7, 0xCAFE, 64 << 24 | 0xFF_FFFE, 70_000, 33, 0x11112222, 65_536)


def test_a_compound_that_starts_with_names_is_told() -> None:
    whole = receiver_report(7, "me", [])
    assert not parse_rtcp(whole[8:]).starts_with_report


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\xc8",
        b"\x00\xc8\x00\x00",
        bytes((0x80, 200, 0, 1)) + bytes(4),
        bytes((0x80, 200, 0, 9)) + bytes(4),
        bytes((0x80, 100, 0, 0)),
        bytes((0x81, 203, 0, 0)),
        bytes((0x81, 202, 0, 1)) + bytes(3),
        bytes((0x81, 202, 0, 2)) + bytes(4) + bytes((1, 200, 65, 65)),
        bytes((0x82, 202, 0, 2)) + bytes(8),
    ],
)
def test_what_is_no_rtcp_is_refused(data: bytes) -> None:
    with pytest.raises(RtcpError):
        parse_rtcp(data)
