"""The one error family of the SIP core.

SipError
├── ParseError        what the network sent is not acceptable SIP; carries the status to answer with
├── IllegalMoveError  a state machine was given an input its table does not list: a bug on our side
├── NotRoutableError  a message we made cannot be sent (no hop, no dialog target): a bug on our side
└── NoTargetError     a URI leads to nothing that can be sent to (RFC 3263)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidestream.sip.message import Request


class SipError(Exception):
    """Base of every error the SIP core raises."""


class ParseError(SipError):
    """The peer sent something that is not acceptable SIP.

    Attributes:
        status: the response status that tells the peer (400 unless a more exact one applies).
        reason: the reason phrase to answer with; names the offending field.
        partial: the request as far as it was understood, when it can be answered at all.
    """

    def __init__(self, status: int, reason: str, partial: Request | None = None) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason
        self.partial = partial


class IllegalMoveError(SipError):
    """A state machine received an input that is not in its table."""


class NotRoutableError(SipError):
    """A message cannot be sent because nothing says where to."""


class NoTargetError(SipError):
    """A URI leads to nothing that we can send to: its transport, its name or its addresses do not serve."""
