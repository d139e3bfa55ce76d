"""Other text from outside: session descriptions, an endpoint's messages, configuration files."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from fuzz.target import Target
from sidestream.config import ConfigError, parse
from sidestream.config.problems import Problem
from sidestream.sdp import (
    MediaAddress,
    NegotiationError,
    OfferAnswer,
    Origin,
    SdpError,
    SdpParseError,
    leg_codecs,
    relay_answer,
    relay_offer,
)
from sidestream.sdp import parse as parse_sdp
from sidestream.sdp.model import SessionDescription
from sidestream.sdp.negotiate import is_held, remote_address
from sidestream.sdp.serializer import serialize as serialize_sdp
from sidestream.stream.inbound import (
    MARK_NAME_MAX,
    REASON_MAX,
    Clear,
    MalformedMessageError,
    Mark,
    Media,
    SendDtmf,
    Stop,
    parse_inbound,
)
from unit.config.example import ENVIRONMENT

_LOCAL = MediaAddress("198.51.100.1", 30000, 30001)
_ORIGIN = Origin("sidestream", 1, 1, "198.51.100.1")
_TRUNK = ["PCMU", "PCMA", "G722", "opus", "telephone-event", "CN"]


def _check_status(error: SdpError, *expected: int) -> None:
    assert error.sip_status in expected


def _check_words(*words: str) -> None:
    assert all(words)


def _check_problems(problems: Sequence[Problem]) -> None:
    assert problems
    for problem in problems:
        _check_words(problem.message, problem.remedy)
        assert min(problem.line, problem.column) >= 1


def sdp(data: bytes) -> None:
    """Descriptions, apart by NUL, are read back from what they write; a pair agrees or is refused."""
    read = [_description(piece) for piece in data.split(b"\0")[:6]]
    good = [each for each in read if each is not None]
    for offer, answer in pairwise(good):
        _negotiate(offer, answer)
    _converse(good)


def _description(data: bytes) -> SessionDescription | None:
    try:
        description = parse_sdp(data)
    except SdpParseError as error:
        _check_status(error, 400, 413)
        return None
    assert parse_sdp(serialize_sdp(description)) == description
    for media in description.media:
        _ = (media.codecs, media.direction, media.rtcp_port, is_held(media))
        remote_address(description, media)
    return description


def _negotiate(offer: SessionDescription, answer: SessionDescription) -> None:
    try:
        relayed = relay_offer(offer, _LOCAL, _TRUNK, _ORIGIN)
        assert parse_sdp(serialize_sdp(relayed)) == relayed
        result = relay_answer(offer, relayed, answer, _LOCAL, _ORIGIN)
    except NegotiationError as error:
        _check_status(error, 488)
        return
    assert parse_sdp(serialize_sdp(result)) == result
    assert [media.kind for media in result.media] == [media.kind for media in offer.media]
    assert sum(media.port > 0 for media in result.media) <= 1
    if result.audio is not None:
        assert offer.audio is not None
        assert set(result.audio.formats) <= set(offer.audio.formats)
        assert leg_codecs(result.audio, offer.audio)


def _converse(descriptions: list[SessionDescription]) -> None:
    """One leg offers each in turn, and the next is the answer: no payload type changes its meaning."""
    leg, meanings = OfferAnswer(), dict[int, str]()
    for offer, answer in pairwise(descriptions):
        try:
            made = relay_offer(offer, _LOCAL, _TRUNK, _ORIGIN)
        except NegotiationError:
            continue
        sent = leg.send_offer(made)
        assert sent.audio is not None
        for codec in sent.audio.codecs:
            assert meanings.setdefault(codec.payload_type, str(codec.key)) == str(codec.key)
        leg.receive_answer(answer)
        assert {codec.local_pt for codec in leg.codecs()} <= set(meanings)


def stream_inbound(data: bytes) -> None:
    """A text frame, UTF-8 as the engine saw, is a bounded message of the protocol or one kind of error."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    try:
        message = parse_inbound(text)
    except MalformedMessageError as error:
        _check_words(str(error))
        return
    match message:
        case Stop(reason=reason):
            assert len(reason) <= REASON_MAX
        case Mark(name=name):
            assert 1 <= len(name) <= MARK_NAME_MAX
        case Media(channel=channel) | Clear(channel=channel) | SendDtmf(channel=channel):
            assert channel in {0, 1}
        case _:
            pass


def configuration(data: bytes) -> None:
    """A file is a configuration, or errors that each say where and what would be right."""
    try:
        parse(data, "f.yaml", Path("/nowhere"), ENVIRONMENT)
    except ConfigError as error:
        _check_problems(error.problems)


TARGETS = (
    Target("sdp", sdp, "sdp", short_runs=2000),
    Target("stream_inbound", stream_inbound, "inbound", max_bytes=1024, short_runs=15000),
    Target("configuration", configuration, "configuration", short_runs=60),
)
