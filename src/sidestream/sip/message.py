"""SIP requests and responses with lazily read, cached headers (RFC 3261 §7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sidestream.sip.errors import ParseError
from sidestream.sip.grammar import is_token, parse_digits, split_list
from sidestream.sip.headers import CSeq, NameAddr, Via, media_type, parse_cseq, parse_name_addr, parse_via
from sidestream.sip.uri import OpaqueUri

_T = TypeVar("_T")
_Line = tuple[str, str, str]  # lower-cased name, name as it goes out, value

KNOWN_METHODS = frozenset(
    {
        "ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "NOTIFY", "OPTIONS", "PRACK", "PUBLISH", "REFER",
        "REGISTER", "SUBSCRIBE", "UPDATE",
    }
)  # fmt: skip
"""The IANA registry of methods: known ones that are not allowed get 405, others 501 (RFC 3261 §21.5.2)."""

_LONG_NAMES = [
    "Accept", "Accept-Contact", "Accept-Encoding", "Accept-Language", "Alert-Info", "Allow",
    "Allow-Events", "Authentication-Info", "Authorization", "Call-ID", "Call-Info", "Contact",
    "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length",
    "Content-Type", "CSeq", "Date", "Diversion", "Error-Info", "Event", "Expires", "From", "Geolocation",
    "History-Info", "Identity", "In-Reply-To", "Join", "Max-Breadth", "Max-Forwards",
    "MIME-Version", "Min-Expires", "Min-SE", "Organization", "P-Access-Network-Info",
    "P-Asserted-Identity", "P-Called-Party-ID", "P-Charging-Vector", "P-Early-Media",
    "P-Preferred-Identity", "Path", "Priority", "Privacy", "Proxy-Authenticate",
    "Proxy-Authorization", "Proxy-Require", "RAck", "Reason", "Record-Route", "Refer-Sub",
    "Refer-To", "Referred-By", "Reject-Contact", "Remote-Party-ID", "Replaces", "Reply-To",
    "Request-Disposition", "Require", "Retry-After", "Route", "RSeq", "Server", "Service-Route",
    "Session-Expires", "Session-ID", "SIP-ETag", "SIP-If-Match", "Subject", "Subscription-State",
    "Supported", "Timestamp", "To", "Unsupported", "User-Agent", "User-to-User", "Via", "Warning",
    "WWW-Authenticate",
]  # fmt: skip

# RFC 3261 §7.3.3 and the IANA registry of compact forms.
_COMPACT = {
    "a": "Accept-Contact", "b": "Referred-By", "c": "Content-Type", "d": "Request-Disposition",
    "e": "Content-Encoding", "f": "From", "i": "Call-ID", "j": "Reject-Contact", "k": "Supported",
    "l": "Content-Length", "m": "Contact", "n": "Identity-Info", "o": "Event", "r": "Refer-To",
    "s": "Subject", "t": "To", "u": "Allow-Events", "v": "Via", "x": "Session-Expires", "y": "Identity",
}  # fmt: skip

_KNOWN: dict[str, tuple[str, str]] = {}
for _name in (*_LONG_NAMES, "Identity-Info"):
    for _spelling in (_name, _name.lower(), _name.upper()):
        _KNOWN[_spelling] = (_name.lower(), _name)
for _letter, _name in _COMPACT.items():
    _KNOWN[_letter] = _KNOWN[_letter.upper()] = (_name.lower(), _name)


def header_key(name: str) -> tuple[str, str]:
    """The comparison key and the canonical long spelling of a header name.

    An unknown name keeps its spelling.
    """
    known = _KNOWN.get(name)
    if known is not None:
        return known
    lower = name.lower()
    return _KNOWN.get(lower) or (lower, name)


class Headers:
    """An ordered multimap of header lines, names compared without case.

    Compact names become their long form. Values stay exactly as received (unfolded), so what is passed on
    unchanged goes out as it came in. Values of typed reads are cached until the header changes.
    """

    __slots__ = ("_cache", "_index", "_items")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items: list[_Line] = []
        self._index: dict[str, list[str]] | None = None
        self._cache: dict[str, Any] = {}
        for name, value in items:
            self.add(name, value)

    def get(self, name: str) -> str | None:
        """The first value, None when absent."""
        values = self._values(name)
        return values[0] if values else None

    def get_all(self, name: str) -> list[str]:
        """Every value, one per header line, untouched."""
        return list(self._values(name))

    def values(self, name: str) -> list[str]:
        """Every element of a list header, comma lists split over all lines.

        Raises:
            ParseError: 400 when a quote or bracket is never closed.
        """
        return [element for value in self._values(name) for element in split_list(value)]

    def add(self, name: str, value: str) -> None:
        """Append a header line.

        Raises:
            ValueError: the name is no token, or the value has a line break.
        """
        self._items.append(self._checked(name, value))

    def prepend(self, name: str, value: str) -> None:
        """Put a header line above all others; raises as `add`."""
        self._items.insert(0, self._checked(name, value))

    def set(self, name: str, value: str) -> None:
        """Replace every line of this name by one, at the place of the first; append when there is none."""
        item = self._checked(name, value)
        for index, existing in enumerate(self._items):
            if existing[0] == item[0]:
                self._items[index] = item
                self._items[index + 1 :] = [i for i in self._items[index + 1 :] if i[0] != item[0]]
                return
        self._items.append(item)

    def set_first(self, name: str, value: str) -> None:
        """Replace only the first line of this name; append when there is none."""
        item = self._checked(name, value)
        for index, existing in enumerate(self._items):
            if existing[0] == item[0]:
                self._items[index] = item
                return
        self._items.append(item)

    def remove(self, name: str) -> None:
        """Take every line of this name away; absent is fine."""
        key = header_key(name)[0]
        self._changed(key)
        self._items = [item for item in self._items if item[0] != key]

    def remove_first(self, name: str) -> None:
        """Take only the first line of this name away; absent is fine."""
        key = header_key(name)[0]
        self._changed(key)
        for index, item in enumerate(self._items):
            if item[0] == key:
                del self._items[index]
                return

    def count(self, name: str) -> int:
        """How many lines have this name."""
        return len(self._values(name))

    def only(self, keys: AbstractSet[str]) -> Headers:
        """A copy with the lines of these names only, given in lower case."""
        other = Headers()
        other._items = [item for item in self._items if item[0] in keys]
        return other

    def copy(self) -> Headers:
        """An independent copy."""
        other = Headers()
        other._items = self._items.copy()
        other._cache = self._cache.copy()
        return other

    def typed(self, name: str, parse: Callable[[Headers], _T]) -> _T:
        """Read by `parse(self)`, once; the result is kept until the header changes.

        Args:
            name: the header the result depends on, in lower case; one reader per name.
            parse: the reader; whatever it raises passes through and nothing is cached.
        """
        value: _T = self._cache[name] if name in self._cache else parse(self)
        self._cache[name] = value
        return value

    def repeated(self) -> Iterator[str]:
        """The lower-cased names that stand on more than one line."""
        index = self._indexed() if self._index is None else self._index
        return (key for key, values in index.items() if len(values) > 1)

    def lines_without(self, name: str) -> list[str]:
        """Every line as it goes out, those of this name left out."""
        left_out = header_key(name)[0]
        return [f"{item[1]}: {item[2]}" for item in self._items if item[0] != left_out]

    def append_wire(self, name: str, value: str) -> None:
        """Append a line whose name and value are known to be fit for the wire."""
        key, canonical = header_key(name)
        self._changed(key)
        self._items.append((key, canonical, value))

    def extend_wire(self, lines: Iterable[tuple[str, str]]) -> None:
        """Append lines just read, their names known to be tokens; white space after a value is dropped."""
        known = _KNOWN.get
        self._index = None
        self._cache.clear()
        for name, value in lines:
            key, canonical = known(name) or header_key(name)
            self._items.append((key, canonical, value.rstrip(" \t")))

    def _values(self, name: str) -> Sequence[str]:
        index = self._index
        if index is None:
            index = self._indexed()
        known = _KNOWN.get(name)
        return index.get(known[0] if known is not None else header_key(name)[0], ())

    def _indexed(self) -> dict[str, list[str]]:
        index: dict[str, list[str]] = {}
        for key, _, value in self._items:
            if key in index:
                index[key].append(value)
            else:
                index[key] = [value]
        self._index = index
        return index

    def _changed(self, key: str) -> None:
        self._index = None
        if self._cache:
            self._cache.pop(key, None)

    def _checked(self, name: str, value: str) -> _Line:
        if "\r" in value or "\n" in value or not (name in _KNOWN or is_token(name)):
            raise ValueError(f"not a header line: {name!r}")
        key, canonical = header_key(name)
        self._changed(key)
        return key, canonical, value

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((item[1], item[2]) for item in self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self._values(name))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        mine = [(item[0], item[2]) for item in self._items]
        return mine == [(item[0], item[2]) for item in other._items]

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Headers({list(self)!r})"


def _required(headers: Headers, name: str) -> str:
    value = headers.get(name)
    if not value:
        raise ParseError(400, f"Missing {name}")
    return value


def _read_from(headers: Headers) -> NameAddr:
    return parse_name_addr(_required(headers, "From"), "From")


def _read_to(headers: Headers) -> NameAddr:
    return parse_name_addr(_required(headers, "To"), "To")


def _read_cseq(headers: Headers) -> CSeq:
    return parse_cseq(_required(headers, "CSeq"))


def _read_vias(headers: Headers) -> list[Via]:
    vias = [parse_via(value) for value in headers.values("Via")]
    if not vias:
        raise ParseError(400, "Missing Via")
    return vias


def _read_contacts(headers: Headers) -> list[NameAddr]:
    return [parse_name_addr(value, "Contact") for value in headers.values("Contact") if value != "*"]


def _read_routes(headers: Headers) -> list[NameAddr]:
    return _sip_addresses(headers, "Route")


def _read_record_routes(headers: Headers) -> list[NameAddr]:
    return _sip_addresses(headers, "Record-Route")


def _sip_addresses(headers: Headers, name: str) -> list[NameAddr]:
    """A route that is no SIP URI leads nowhere (RFC 3261 §20.30, §20.34)."""
    addresses = [parse_name_addr(value, name) for value in headers.values(name)]
    if any(isinstance(address.uri, OpaqueUri) for address in addresses):
        raise ParseError(400, f"Invalid {name} scheme")
    return addresses


def _read_max_forwards(headers: Headers) -> int | None:
    value = headers.get("Max-Forwards")
    return None if value is None else parse_digits(value, "Max-Forwards", 255)


class _TypedHeaders:
    """Typed reads both kinds of message share; each raises ParseError (400) when absent or malformed.

    On messages that the transaction layer delivers none of them raises: it has validated them.
    """

    __slots__ = ()
    headers: Headers

    @property
    def call_id(self) -> str:
        """The Call-ID."""
        return _required(self.headers, "Call-ID")

    @property
    def cseq(self) -> CSeq:
        """Sequence number and method."""
        return self.headers.typed("cseq", _read_cseq)

    @property
    def from_(self) -> NameAddr:
        """The From address."""
        return self.headers.typed("from", _read_from)

    @property
    def to(self) -> NameAddr:
        """The To address."""
        return self.headers.typed("to", _read_to)

    @property
    def from_tag(self) -> str | None:
        """Tag of From; None only from RFC 2543 peers."""
        return self.from_.tag

    @property
    def to_tag(self) -> str | None:
        """Tag of To; None outside a dialog."""
        return self.to.tag

    @property
    def vias(self) -> list[Via]:
        """Every Via, topmost first; at least one."""
        return self.headers.typed("via", _read_vias)

    @property
    def top_via(self) -> Via:
        """The topmost Via."""
        return self.vias[0]

    @property
    def contacts(self) -> list[NameAddr]:
        """Every Contact; `*` is left out."""
        return self.headers.typed("contact", _read_contacts)

    @property
    def routes(self) -> list[NameAddr]:
        """Every Route in order."""
        return self.headers.typed("route", _read_routes)

    @property
    def record_routes(self) -> list[NameAddr]:
        """Every Record-Route in order."""
        return self.headers.typed("record-route", _read_record_routes)

    @property
    def max_forwards(self) -> int | None:
        """Max-Forwards, None when absent."""
        return self.headers.typed("max-forwards", _read_max_forwards)

    @property
    def content_type(self) -> str | None:
        """Lower-cased media type without parameters, None when absent."""
        value = self.headers.get("Content-Type")
        return None if value is None else media_type(value)

    def replace_top_via(self, via: Via) -> None:
        """Put another value in place of the topmost Via, the rest of its line kept."""
        below = self.vias[1:]
        line = self.headers.get("Via") or ""
        rest = split_list(line)[1:] if "," in line else []
        self.headers.set_first("Via", ", ".join([str(via), *rest]))
        # What was just written need not be read again.
        self.headers.typed("via", lambda _: [via, *below])


@dataclass(slots=True)
class Request(_TypedHeaders):
    """A SIP request (RFC 3261 §7.1).

    Attributes:
        method: the method, case-sensitive.
        uri: the Request-URI as on the wire.
        headers: the header lines.
        body: the message body.
    """

    method: str
    uri: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    def copy(self) -> Request:
        """An independent copy."""
        return Request(self.method, self.uri, self.headers.copy(), self.body)


@dataclass(slots=True)
class Response(_TypedHeaders):
    """A SIP response (RFC 3261 §7.2).

    Attributes:
        status: status code, 100 to 699.
        reason: reason phrase, may be empty.
        headers: the header lines.
        body: the message body.
    """

    status: int
    reason: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    def copy(self) -> Response:
        """An independent copy."""
        return Response(self.status, self.reason, self.headers.copy(), self.body)


Message = Request | Response
