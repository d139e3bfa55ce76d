"""The one family of errors that session descriptions raise."""

from __future__ import annotations

from enum import IntEnum

from sidestream.errors import RemoteError


class WarningCode(IntEnum):
    """Warn-codes of a Warning header field that explain a 488 (RFC 3261 section 20.43)."""

    INCOMPATIBLE_NETWORK_PROTOCOL = 300
    INCOMPATIBLE_NETWORK_ADDRESS = 301
    INCOMPATIBLE_TRANSPORT_PROTOCOL = 302
    MEDIA_TYPE_NOT_AVAILABLE = 304
    INCOMPATIBLE_MEDIA_FORMAT = 305
    MULTICAST_NOT_AVAILABLE = 330


class SdpError(RemoteError):
    """A session description cannot be used; `sip_status` is what to answer."""


class SdpParseError(SdpError):
    """The bytes are no session description (400), or too many (413).

    Attributes:
        line: number of the offending line, from 1; 0 when the whole body is meant.
    """

    def __init__(self, message: str, *, line: int = 0, sip_status: int = 400) -> None:
        super().__init__(f"line {line}: {message}" if line else message, sip_status=sip_status)
        self.line = line


class NegotiationError(SdpError):
    """The description is well formed, but nothing in it can be agreed on: 488 Not Acceptable Here.

    Attributes:
        warning: the warn-code that goes with the 488.
    """

    def __init__(
        self, message: str, *, warning: WarningCode = WarningCode.INCOMPATIBLE_MEDIA_FORMAT, hint: str = ""
    ) -> None:
        super().__init__(message, sip_status=488, hint=hint)
        self.warning = warning


class GlareError(SdpError):
    """An offer arrived while our own is not answered: 491 Request Pending (RFC 3261 section 14.2)."""

    def __init__(self) -> None:
        super().__init__("an offer arrived while ours is not answered", sip_status=491)


class OfferOverlapError(SdpError):
    """A second offer came before the first was answered: 500 with Retry-After (RFC 6337 section 4.3)."""

    #: Bounds in seconds of the Retry-After value, to be drawn at random (RFC 3261 section 14.2).
    retry_after = (0, 10)

    def __init__(self) -> None:
        super().__init__("an offer arrived before the last one was answered", sip_status=500)
