"""Every error of Sidestream, and whose fault it is.

```text
SidestreamError                      catch-all of the product; `fault` and `hint` are always there
├── RemoteError         (peer)       a SIP peer sent what cannot be used; `sip_status` is what to answer it
│   ├── SdpError                     a session description (sidestream.sdp.errors)
│   │   ├── SdpParseError            400, or 413 when it is too large
│   │   ├── NegotiationError         488 with the Warning code of RFC 3261 section 20.43
│   │   ├── GlareError               491: both sides offered at once
│   │   └── OfferOverlapError        500 with Retry-After: an offer came before the last one was answered
│   └── ...                          the SIP parser's own family has the same attributes
├── ConfigError         (operator)   the configuration, with every problem found (sidestream.config)
└── StateError          (sidestream) a move that no table lists: a bug of ours, never of a peer
```

Errors are raised where the failure is understood and translated only at the edges. `hint` says what to do
about it in one sentence, and is empty where nothing can be done.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar


class Fault(Enum):
    """Whose fault an error is, which decides who is told."""

    PEER = "peer"
    OPERATOR = "operator"
    SIDESTREAM = "sidestream"


class SidestreamError(Exception):
    """The root of the tree.

    Attributes:
        fault: whose fault it is.
        hint: what to do about it, one sentence, or an empty string.
    """

    fault: ClassVar[Fault] = Fault.SIDESTREAM

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class RemoteError(SidestreamError):
    """A SIP peer sent what cannot be used.

    Attributes:
        sip_status: the status code to answer the request with (RFC 3261 section 21).
    """

    fault = Fault.PEER

    def __init__(self, message: str, *, sip_status: int = 400, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.sip_status = sip_status


class StateError(SidestreamError):
    """A state machine was asked for a move that its table does not list."""
