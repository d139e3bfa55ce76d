"""The one family of errors that what a recorder sends can raise."""

from __future__ import annotations

from sidestream.errors import RemoteError


class SiprecError(RemoteError):
    """What a recording peer sent cannot be used; `sip_status` is what to answer."""


class MetadataError(SiprecError):
    """The bytes are no recording metadata (400), or too many (413)."""


class RecordingBodyError(SiprecError):
    """The body of a message of a recording session is malformed (400) or of a type not understood (415)."""
