"""Which headers cross the call, and which are ours.

A back-to-back user agent makes each leg's messages itself; only headers with end-to-end meaning are copied.
The list is of what passes (RFC 3261 20, 3323 Privacy, 3325 P-Asserted-Identity, 3326 Reason, 5806 Diversion,
6442 Geolocation, 7044 History-Info, 7433 User-to-User, 7989 Session-ID, 8224 Identity, ...), plus everything
that begins with `X-`. Whatever names a hop, a dialog or a capability of one leg (Via, Contact, Call-ID,
tags, CSeq, Route, Record-Route, Max-Forwards, Allow, Supported, Require, Session-Expires, credentials) is
never copied.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sidestream.sip.message import Headers

_IDENTITIES = (
    "p-asserted-identity",
    "p-preferred-identity",
    "remote-party-id",
    "privacy",
    "identity",
    "date",
)
_REDIRECTIONS = ("diversion", "history-info", "p-called-party-id")
_PRESENTATION = (
    "accept-language",
    "alert-info",
    "answer-mode",
    "call-info",
    "geolocation",
    "geolocation-error",
    "geolocation-routing",
    "organization",
    "p-charging-vector",
    "p-early-media",
    "priority",
    "priv-answer-mode",
    "reason",
    "resource-priority",
    "session-id",
    "subject",
    "user-to-user",
)
_OUTCOME = ("error-info", "retry-after", "warning")

PASSED_NAMES = frozenset((*_IDENTITIES, *_REDIRECTIONS, *_PRESENTATION, *_OUTCOME))
"""Lower-case names of the headers that cross a call."""

PASSED_PREFIXES = ("x-",)

_OWN_NAMES = frozenset(
    (
        "accept", "accept-encoding", "allow", "allow-events", "authentication-info",
        "authorization", "call-id", "contact", "content-disposition", "content-encoding",
        "content-language", "content-length", "content-type", "cseq", "from", "max-forwards",
        "mime-version", "min-se", "path", "proxy-authenticate", "proxy-authorization",
        "proxy-require", "rack", "record-route", "replaces", "require", "route", "rseq", "server",
        "service-route", "session-expires", "supported", "timestamp", "to", "unsupported",
        "user-agent", "via", "www-authenticate",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HeaderPolicy:
    """The headers that cross from one leg to the other."""

    names: frozenset[str] = PASSED_NAMES
    """Lower-case names."""
    prefixes: tuple[str, ...] = PASSED_PREFIXES
    """Lower-case beginnings of names."""

    def passes(self, name: str) -> bool:
        """Whether a header of this name crosses."""
        low = name.lower()
        return low in self.names or low.startswith(self.prefixes)


def end_to_end(headers: Headers) -> Iterator[tuple[str, str]]:
    """The headers that say something about the call, not about one hop or dialog; raw and in order."""
    for name, value in headers:
        if name.lower() not in _OWN_NAMES:
            yield name, value
