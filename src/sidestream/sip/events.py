"""What the transaction layer tells its user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

from sidestream.sip.hop import Source
from sidestream.sip.message import Request, Response
from sidestream.sip.tls_failure import TlsTrouble

ClientKey = NewType("ClientKey", int)
"""Names a request we sent, over all the hops it was tried on."""
ServerKey = NewType("ServerKey", int)
"""Names a request we received."""


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """A new request, validated; never ACK or CANCEL. Answer it by `respond(key, …)`."""

    key: ServerKey
    request: Request
    source: Source


@dataclass(frozen=True, slots=True)
class AckReceived:
    """An ACK to a 2xx (or a stray one); find its dialog and call `confirm_2xx`."""

    request: Request
    source: Source


@dataclass(frozen=True, slots=True)
class CancelReceived:
    """The peer gave up the INVITE `key`, which has no final answer yet; the CANCEL itself is answered."""

    key: ServerKey
    request: Request


@dataclass(frozen=True, slots=True)
class ResponseReceived:
    """A response, 100 included. A 2xx to INVITE comes again each time it is re-sent or forked."""

    key: ClientKey
    response: Response
    source: Source


@dataclass(frozen=True, slots=True)
class ClientSilent:
    """No hop of an INVITE has responded at all for a while. It goes on until it times out."""

    key: ClientKey


@dataclass(frozen=True, slots=True)
class ClientTimedOut:
    """No final response came in time: treat as 408 (RFC 3261 §8.1.3.1)."""

    key: ClientKey


@dataclass(frozen=True, slots=True)
class ClientTransportFailed:
    """The request could be sent to none of its hops: treat as 503 (RFC 3261 §8.1.3.1).

    `trouble` says why the last one failed, where that was TLS.
    """

    key: ClientKey
    trouble: TlsTrouble | None = None


@dataclass(frozen=True, slots=True)
class AckTimedOut:
    """Our 2xx to INVITE was never acknowledged: end the session (RFC 3261 §13.3.1.4)."""

    key: ServerKey


@dataclass(frozen=True, slots=True)
class PrackTimedOut:
    """Our reliable provisional response was never acknowledged: answer the INVITE 5xx (RFC 3262 §3)."""

    key: ServerKey


@dataclass(frozen=True, slots=True)
class ServerTransportFailed:
    """Our response could not be sent, or our refusal was never acknowledged (RFC 3261 §17.2.1, §17.2.4)."""

    key: ServerKey


SipEvent = (
    RequestReceived
    | AckReceived
    | CancelReceived
    | ResponseReceived
    | ClientSilent
    | ClientTimedOut
    | ClientTransportFailed
    | AckTimedOut
    | PrackTimedOut
    | ServerTransportFailed
)
