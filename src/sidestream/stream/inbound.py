"""Messages from an endpoint to Sidestream (protocol section 4): a strict, bounded parser."""

from typing import ClassVar, Final

import msgspec
from msgspec import Struct

from sidestream.errors import Fault, SidestreamError

REASON_MAX: Final = 256
"""Characters kept of a `stop` reason: it travels into logs and call records."""

MARK_NAME_MAX: Final = 256
"""Characters of a mark's name: it is echoed, so its size must be bounded."""


class MalformedMessageError(SidestreamError):
    """An inbound message that is not of the protocol; the text says why and goes back to the endpoint."""

    fault: ClassVar[Fault] = Fault.PEER


class Inbound(Struct, frozen=True, kw_only=True, rename="camel"):
    """What all inbound bodies share."""


class Pause(Inbound, frozen=True, kw_only=True):
    """Stop sending media; the stream's clock runs on."""


class Resume(Inbound, frozen=True, kw_only=True):
    """Send media again."""


class Stop(Inbound, frozen=True, kw_only=True):
    """End the stream, never the call."""

    reason: str = ""


class Media(Inbound, frozen=True, kw_only=True):
    """Audio for a participant; duplex integrations only."""

    channel: int
    payload: str


class Mark(Inbound, frozen=True, kw_only=True):
    """To be echoed when all audio queued before it has been played."""

    name: str


class Clear(Inbound, frozen=True, kw_only=True):
    """Drop the audio queued for a participant."""

    channel: int


class SendDtmf(Inbound, frozen=True, kw_only=True):
    """Digits for a participant; duplex integrations only."""

    channel: int
    digits: str


_ABSENT: Final = msgspec.Raw(b"")


class _Envelope(Struct, frozen=True):
    """The outer object; only the body named by `event` is decoded.

    The body may stand under the key named like the event, as in our own messages, or flat beside `event`.
    """

    event: str
    pause: msgspec.Raw = _ABSENT
    resume: msgspec.Raw = _ABSENT
    stop: msgspec.Raw = _ABSENT
    media: msgspec.Raw = _ABSENT
    mark: msgspec.Raw = _ABSENT
    clear: msgspec.Raw = _ABSENT
    dtmf: msgspec.Raw = _ABSENT


InboundMessage = Pause | Resume | Stop | Media | Mark | Clear | SendDtmf

_envelope = msgspec.json.Decoder(_Envelope)
_bodies: Final[dict[str, msgspec.json.Decoder[InboundMessage]]] = {
    "pause": msgspec.json.Decoder(Pause),
    "resume": msgspec.json.Decoder(Resume),
    "stop": msgspec.json.Decoder(Stop),
    "media": msgspec.json.Decoder(Media),
    "mark": msgspec.json.Decoder(Mark),
    "clear": msgspec.json.Decoder(Clear),
    "dtmf": msgspec.json.Decoder(SendDtmf),
}
_DTMF_DIGITS: Final = frozenset("0123456789*#ABCD")


def parse_inbound(text: str) -> InboundMessage:
    """Parse one text frame of the endpoint.

    Valid acknowledgements never come here: the media engine consumes them. An `ack` that does come is one
    that the engine refused, such as one without a number or with the number of a message that was never sent.

    Raises:
        MalformedMessageError: for anything else than a well-formed message of the protocol.
    """
    try:
        envelope = _envelope.decode(text)
    except msgspec.ValidationError as error:
        raise MalformedMessageError(f"the message needs an 'event' string: {error}") from error
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise MalformedMessageError(f"the frame is not one JSON object: {error}") from error
    if envelope.event == "ack":
        raise MalformedMessageError(
            "'ack' needs {\"sequenceNumber\": n} with the number of a message that was sent"
        )
    decoder = _bodies.get(envelope.event)
    if decoder is None:
        raise MalformedMessageError(f"unknown event {envelope.event[:64]!r}")
    try:
        nested: msgspec.Raw = getattr(envelope, envelope.event)
        message = decoder.decode(nested or text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedMessageError(f"the body of {envelope.event!r} is wrong: {error}") from error
    return _bounded(message)


def _bounded(message: InboundMessage) -> InboundMessage:
    """Refuse or cut values that are well-formed JSON but outside the protocol."""
    match message:
        case Stop(reason=reason) if len(reason) > REASON_MAX:
            return Stop(reason=reason[:REASON_MAX])
        case Mark(name=name) if not name or len(name) > MARK_NAME_MAX:
            raise MalformedMessageError(f"a mark's name has 1 to {MARK_NAME_MAX} characters")
        case Media(channel=channel) | Clear(channel=channel) | SendDtmf(channel=channel) if channel not in {
            0,
            1,
        }:
            raise MalformedMessageError("'channel' is 0 or 1")
        case SendDtmf(digits=digits) if not digits or not _DTMF_DIGITS.issuperset(digits):
            raise MalformedMessageError("'digits' is made of 0-9, *, # and A-D")
        case _:
            return message
