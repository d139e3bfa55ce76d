import pytest

from sidestream.sdp.codecs import Codec
from sidestream.sdp.model import (
    Connection,
    Direction,
    Line,
    MediaDescription,
    Origin,
    SessionDescription,
)
from sidestream.sdp.parser import parse


def describe(*lines: str, session: tuple[str, ...] = ("c=IN IP4 192.0.2.1",)) -> SessionDescription:
    text = ("v=0", "o=- 1 2 IN IP4 192.0.2.1", "s=-", *session, "t=0 0", *lines)
    return parse("\r\n".join(text).encode())


def audio(*lines: str, session: tuple[str, ...] = ("c=IN IP4 192.0.2.1",)) -> MediaDescription:
    return describe("m=audio 4000 RTP/AVP 0", *lines, session=session).media[0]


def test_the_m_line_is_read() -> None:
    media = describe("m=Audio 49170/2 rtp/avp 0  8 97").media[0]
    assert (media.kind, media.port, media.port_count, media.protocol) == ("audio", 49170, 2, "RTP/AVP")
    assert media.formats == ("0", "8", "97")


def test_the_origin_is_read_and_replaced() -> None:
    description = describe()
    assert description.origin == Origin("-", 1, 2, "192.0.2.1")
    changed = description.with_origin(Origin("x", 7, 8, "2001:db8::1"))
    assert changed.lines[1] == Line("o", "x 7 8 IN IP6 2001:db8::1")
    assert changed.origin == Origin("x", 7, 8, "2001:db8::1")


@pytest.mark.parametrize(
    ("value", "family", "host", "scope"),
    [
        ("IN IP4 10.1.2.3", "IP4", "10.1.2.3", None),
        ("IN IP6 2001:db8::5", "IP6", "2001:db8::5", None),
        ("IN IP4 phone.example.com", "IP4", "phone.example.com", None),
        ("IN IP4 224.2.1.1/127", "IP4", "224.2.1.1", "127"),
    ],
)
def test_the_connection_is_read(value: str, family: str, host: str, scope: str | None) -> None:
    connection = audio(f"c={value}").connection
    assert connection == Connection(family, host, scope)
    assert connection.value == value


def test_the_session_connection_counts_where_the_section_has_none() -> None:
    description = describe("m=audio 1 RTP/AVP 0", "m=audio 2 RTP/AVP 0", "c=IN IP4 192.0.2.7")
    hosts = [media.connection.host for media in description.media if media.connection]
    assert hosts == ["192.0.2.1", "192.0.2.7"]
    assert description.connection == Connection("IP4", "192.0.2.1")


@pytest.mark.parametrize("direction", list(Direction))
def test_direction_is_inherited_and_overridden(direction: Direction) -> None:
    session = ("c=IN IP4 192.0.2.1", f"a={direction.value}")
    assert audio(session=session).direction is direction
    assert audio("a=recvonly", session=session).direction is Direction.RECVONLY
    assert audio().direction is Direction.SENDRECV


@pytest.mark.parametrize("host", ["IP4 0.0.0.0", "IP6 ::", "IP4 anonymous.invalid"])
@pytest.mark.parametrize(
    ("declared", "meant"),
    [
        ("sendrecv", Direction.SENDONLY),
        ("sendonly", Direction.SENDONLY),
        ("recvonly", Direction.INACTIVE),
        ("inactive", Direction.INACTIVE),
    ],
)
def test_an_unspecified_address_receives_nothing(host: str, declared: str, meant: Direction) -> None:
    media = audio(f"c=IN {host}", f"a={declared}")
    assert media.direction is meant
    assert media.declared_direction.value == declared


def test_direction_algebra() -> None:
    assert Direction.SENDONLY.reversed is Direction.RECVONLY
    assert Direction.SENDRECV.within(Direction.SENDONLY) is Direction.RECVONLY
    assert Direction.SENDRECV.within(Direction.INACTIVE) is Direction.INACTIVE
    assert Direction.RECVONLY.within(Direction.SENDRECV) is Direction.RECVONLY


@pytest.mark.parametrize(
    ("line", "expected"),
    [("a=ptime:20", 20), ("a=ptime:30.0", 30), ("a=ptime:", None), ("a=ptime:x", None), ("a=ptime:0", None)],
)
def test_ptime_is_a_wish_and_never_an_error(line: str, expected: int | None) -> None:
    assert audio(line).ptime_ms == expected


def test_maxptime_and_label() -> None:
    media = audio("a=maxptime:60", "a=label:7")
    assert (media.maxptime_ms, media.label, media.ptime_ms) == (60, "7", None)


@pytest.mark.parametrize(
    ("line", "port"),
    [
        ("a=rtcp:53020", 53020),
        ("a=rtcp:53020 IN IP4 126.16.64.4", 53020),
        ("a=rtcp:nonsense", 4001),
        ("a=rtcp:70000", 4001),
        ("i=nothing", 4001),
    ],
)
def test_rtcp_goes_to_the_attribute_or_the_next_port(line: str, port: int) -> None:
    assert audio(line).rtcp_port == port


def test_codecs_come_from_rtpmap_or_the_static_table_in_order() -> None:
    media = describe(
        "m=audio 4000 RTP/AVP 97 0 9 13 101 18 99",
        "a=rtpmap:97 opus/48000/2",
        "a=fmtp:97 useinbandfec=1; stereo=0",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
    ).media[0]
    assert media.codecs == (
        Codec("opus", 48000, 2, 97, "useinbandfec=1; stereo=0"),
        Codec("PCMU", 8000, 1, 0),
        Codec("G722", 8000, 1, 9),
        Codec("CN", 8000, 1, 13),
        Codec("telephone-event", 8000, 1, 101, "0-15"),
        Codec("G729", 8000, 1, 18),
    )
    assert media.codecs is media.codecs  # a call asks for them a dozen times


def test_an_rtpmap_overrides_the_static_table() -> None:
    assert audio("a=rtpmap:0 L16/16000").codecs == (Codec("L16", 16000, 1, 0),)


@pytest.mark.parametrize(
    "value", ["0", "0 PCMU", "0 PCMU/", "0 /8000", "0 PCMU/-1", "999 X/8000", "x PCMU/8000"]
)
def test_a_malformed_rtpmap_names_nothing(value: str) -> None:
    assert audio(f"a=rtpmap:{value}").rtpmaps == {}


def test_the_same_payload_type_twice_is_one_codec() -> None:
    media = describe("m=audio 4000 RTP/AVP 0 0 200 x").media[0]
    assert media.codecs == (Codec("PCMU", 8000, 1, 0),)


@pytest.mark.parametrize(
    ("line", "usable"),
    [
        ("m=audio 4000 RTP/AVP 0", True),
        ("m=audio 4000 RTP/AVPF 0", True),
        ("m=audio 4000 RTP/SAVP 0", False),
        ("m=audio 4000 UDP/TLS/RTP/SAVPF 0", False),
        ("m=audio 0 RTP/AVP 0", False),
        ("m=audio 4000/2 RTP/AVP 0", False),
        ("m=video 4000 RTP/AVP 31", False),
        ("m=image 4000 udptl t38", False),
    ],
)
def test_usable_audio(line: str, *, usable: bool) -> None:
    description = describe(line)
    assert description.media[0].is_usable_audio is usable
    assert (description.audio is not None) is usable


@pytest.mark.parametrize("host", ["IP4 224.2.1.1/127", "IP6 ff15::101/3"])
def test_multicast_is_not_usable(host: str) -> None:
    assert not audio(f"c=IN {host}").is_usable_audio


def test_the_first_usable_audio_is_taken() -> None:
    description = describe(
        "m=video 2 RTP/AVP 31", "m=audio 4 RTP/SAVP 0", "m=audio 6 RTP/AVP 8", "m=audio 8 RTP/AVP 0"
    )
    assert description.audio_index == 2
    assert description.audio is description.media[2]


def test_a_missing_session_name_reads_as_a_dash() -> None:
    assert parse(b"v=0\r\no=- 1 1 IN IP4 h\r\n").name == "-"
    assert parse(b"v=0\r\no=- 1 1 IN IP4 h\r\ns= \r\n").name == "-"
