"""Session descriptions (RFC 8866) and the offer/answer model (RFC 3264), pure and lossless."""

from sidestream.sdp.codecs import Codec, CodecKey
from sidestream.sdp.crypto import SrtpKeys, agreed_keys
from sidestream.sdp.errors import (
    GlareError,
    NegotiationError,
    OfferOverlapError,
    SdpError,
    SdpParseError,
    WarningCode,
)
from sidestream.sdp.model import (
    Attribute,
    Connection,
    Direction,
    Line,
    MediaDescription,
    Origin,
    SessionDescription,
)
from sidestream.sdp.negotiate import (
    MediaAddress,
    NegotiatedCodec,
    initial_offer,
    is_held,
    leg_codecs,
    relay_answer,
    relay_offer,
    remote_address,
)
from sidestream.sdp.parser import parse
from sidestream.sdp.serializer import serialize
from sidestream.sdp.session import OfferAnswer, State

__all__ = [
    "Attribute",
    "Codec",
    "CodecKey",
    "Connection",
    "Direction",
    "GlareError",
    "Line",
    "MediaAddress",
    "MediaDescription",
    "NegotiatedCodec",
    "NegotiationError",
    "OfferAnswer",
    "OfferOverlapError",
    "Origin",
    "SdpError",
    "SdpParseError",
    "SessionDescription",
    "SrtpKeys",
    "State",
    "WarningCode",
    "agreed_keys",
    "initial_offer",
    "is_held",
    "leg_codecs",
    "parse",
    "relay_answer",
    "relay_offer",
    "remote_address",
    "serialize",
]
