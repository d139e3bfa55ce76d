"""How a stream ended: a closed list of verdicts, each decided where the failure is understood."""

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from sidestream.stream.messages import CloseReason


class StreamResult(Enum):
    """The class of a verdict."""

    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"


class StreamSlug(StrEnum):
    """The stable name of each way a stream can end."""

    COMPLETED = "completed"
    STOPPED = "stopped"
    STOPPED_BY_ENDPOINT = "stopped-by-endpoint"
    INTEGRATION_REMOVED = "integration-removed"
    ACCOUNT_SUSPENDED = "account-suspended"
    MAX_DURATION = "max-duration"
    SHUTDOWN = "shutdown"
    NAME_NOT_RESOLVED = "name-not-resolved"
    ADDRESS_DENIED = "address-denied"
    CONNECTION_REFUSED = "connection-refused"
    CONNECTION_TIMEOUT = "connection-timeout"
    UNREACHABLE = "unreachable"
    TLS_CERTIFICATE = "tls-certificate"
    TLS_HANDSHAKE = "tls-handshake"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    GONE = "gone"
    HTTP_ERROR = "http-error"
    PROTOCOL_ERROR = "protocol-error"
    NOT_CONNECTED = "not-connected"
    ENDPOINT_LOST = "endpoint-lost"
    ENDPOINT_STALLED = "endpoint-stalled"
    TOO_MANY_ERRORS = "too-many-errors"
    CODEC_UNSUPPORTED = "codec-unsupported"
    ENGINE_ERROR = "engine-error"

    @property
    def result(self) -> StreamResult:
        """The class this verdict belongs to."""
        if self is StreamSlug.COMPLETED:
            return StreamResult.COMPLETED
        return StreamResult.STOPPED if self in _STOPPED else StreamResult.FAILED

    @property
    def close_reason(self) -> CloseReason:
        """The `close.reason` that tells the endpoint about it (protocol section 3)."""
        return _CLOSE_REASONS.get(self, "error")


_STOPPED: Final = frozenset(
    {
        StreamSlug.STOPPED,
        StreamSlug.STOPPED_BY_ENDPOINT,
        StreamSlug.INTEGRATION_REMOVED,
        StreamSlug.ACCOUNT_SUSPENDED,
        StreamSlug.MAX_DURATION,
        StreamSlug.SHUTDOWN,
    }
)

_CLOSE_REASONS: Final[dict[StreamSlug, CloseReason]] = {
    StreamSlug.COMPLETED: "call-ended",
    StreamSlug.STOPPED: "stopped",
    StreamSlug.STOPPED_BY_ENDPOINT: "stopped-by-endpoint",
    StreamSlug.INTEGRATION_REMOVED: "integration-removed",
    StreamSlug.ACCOUNT_SUSPENDED: "account-suspended",
    StreamSlug.MAX_DURATION: "max-duration",
    StreamSlug.SHUTDOWN: "shutdown",
}


@dataclass(frozen=True, slots=True)
class StreamVerdict:
    """How one stream ended; `detail` is for people and says what was seen."""

    slug: StreamSlug
    detail: str

    @property
    def result(self) -> StreamResult:
        """The class of the verdict."""
        return self.slug.result


_HTTP_STATUSES: Final = {
    401: StreamSlug.UNAUTHORIZED,
    403: StreamSlug.FORBIDDEN,
    404: StreamSlug.NOT_FOUND,
    410: StreamSlug.GONE,
}

FINAL_SLUGS: Final = frozenset(_HTTP_STATUSES.values())
"""An endpoint that fails an attempt in one of these ways is not tried again for the call (protocol section
6)."""


class AttemptFailure(StrEnum):
    """Why one attempt to connect failed: the engine's reasons, and those found before the engine is asked."""

    TCP_REFUSED = "tcp_refused"
    TCP_TIMEOUT = "tcp_timeout"
    TCP_UNREACHABLE = "tcp_unreachable"
    TLS_CERTIFICATE = "tls_certificate"
    TLS_HANDSHAKE = "tls_handshake"
    HTTP_STATUS = "http_status"
    HTTP_PROTOCOL = "http_protocol"
    TIMEOUT = "timeout"
    NAME_NOT_RESOLVED = "name_not_resolved"
    ADDRESS_DENIED = "address_denied"
    ENGINE = "engine"


_FAILURES: Final = {
    AttemptFailure.TCP_REFUSED: StreamSlug.CONNECTION_REFUSED,
    AttemptFailure.TCP_TIMEOUT: StreamSlug.CONNECTION_TIMEOUT,
    AttemptFailure.TCP_UNREACHABLE: StreamSlug.UNREACHABLE,
    AttemptFailure.TLS_CERTIFICATE: StreamSlug.TLS_CERTIFICATE,
    AttemptFailure.TLS_HANDSHAKE: StreamSlug.TLS_HANDSHAKE,
    AttemptFailure.HTTP_STATUS: StreamSlug.HTTP_ERROR,
    AttemptFailure.HTTP_PROTOCOL: StreamSlug.PROTOCOL_ERROR,
    AttemptFailure.TIMEOUT: StreamSlug.CONNECTION_TIMEOUT,
    AttemptFailure.NAME_NOT_RESOLVED: StreamSlug.NAME_NOT_RESOLVED,
    AttemptFailure.ADDRESS_DENIED: StreamSlug.ADDRESS_DENIED,
    AttemptFailure.ENGINE: StreamSlug.ENGINE_ERROR,
}


def slug_of_failure(failure: AttemptFailure, http_status: int | None = None) -> StreamSlug:
    """Return the verdict that an attempt's failure becomes when it is the last one."""
    if failure is AttemptFailure.HTTP_STATUS and http_status in _HTTP_STATUSES:
        return _HTTP_STATUSES[http_status]
    return _FAILURES[failure]
