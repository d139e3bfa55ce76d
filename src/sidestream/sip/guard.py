"""Which messages are looked at at all: by source and rate, before anything is parsed, without I/O or clock.

Sources that belong to a trunk, and those that we speak with anyway, pass within generous rates. Everybody
else is a stranger: all strangers together pass few messages a second, known scanners pass none, and over UDP,
where a source is easily forged, a stranger is never sent more than came from it. The work for a message that
is turned away is a few look-ups, and all memory is bounded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final, Generic, TypeVar

Network = IPv4Network | IPv6Network
Key = TypeVar("Key")
TrunkKey = tuple[str, str]
"""Account and voice service."""

STRANGER_MAX: Final = 8192
"""Bytes of the largest message that a stranger may send over UDP."""
SOURCES_KEPT: Final = 8192
ACQUAINTANCE_S: Final = 3600.0
"""How long somebody that we sent a request to, or that knew a dialog of ours, is no stranger."""
CREDIT_S: Final = 64.0
"""How long what came from a stranger may be answered: 64*T1 twice over."""
BURST_S: Final = 2.0
"""A rate lets as much through at once as it does in this time."""

_SCANNERS: Final = re.compile(
    rb"friendly-scanner|friendly-request|sipvicious|sundayddr|sip-?scan|sipcli|svmap|svwar|svcrack|sipcracker|"
    rb"pplsip|vaxsipuseragent|siparmyknife|\biwar\b|\bsmap\b|\bnmap\b",
    re.IGNORECASE,
)
"""Names by which tools that look for open gateways call themselves in User-Agent or From."""
_AGENT: Final = re.compile(rb"\n(?:User-Agent|From|f)[ \t]*:([^\r\n]{0,256})", re.IGNORECASE)
_REQUEST_LINE: Final = re.compile(
    rb"[A-Za-z0-9\-.!%*_+`'~]{1,32} [^ \r\n]{1,2048} SIP/2\.0\r?\n", re.IGNORECASE
)
_TO_TAG: Final = re.compile(rb"\n(?:To|t)[ \t]*:[^\r\n]*;[ \t]*tag[ \t]*=", re.IGNORECASE)
_RESPONSE: Final = b"SIP/2.0 "
_NEEDED: Final = frozenset(
    {b"via", b"from", b"to", b"call-id", b"cseq", b"retry-after", b"www-authenticate", b"proxy-authenticate"}
)
"""We write the long names."""


class Turned(StrEnum):
    """Why a message was turned away unanswered."""

    SCANNER = "scanner"
    NOT_SIP = "not-sip"
    OVERSIZE = "oversize"
    UNKNOWN_SOURCE = "unknown-source"
    """A stranger's request outside of a dialog, where strangers are dropped."""
    STRANGER_RATE = "stranger-rate"
    SOURCE_RATE = "source-rate"
    TRUNK_RATE = "trunk-rate"
    AMPLIFICATION = "amplification"
    """An answer of ours that would have been more than the stranger's question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardPolicy:
    """How much is let through, in messages a second.

    Attributes:
        drop_strangers: whether a stranger's requests outside of dialogs are dropped, not refused.
        strangers: of all strangers together.
        stranger: of one of them.
        source: of one known address.
        trunks: of all addresses of a trunk; one that is not named has no rate of its own.
    """

    drop_strangers: bool = False
    strangers: float = 50.0
    stranger: float = 10.0
    source: float = 2000.0
    trunks: Mapping[TrunkKey, float] = field(default_factory=dict)


class Buckets(Generic[Key]):
    """Token buckets by key; the one that was used longest ago is forgotten when there are too many.

    Args:
        most: buckets kept.
    """

    def __init__(self, most: int = SOURCES_KEPT) -> None:
        self._most = most
        self._buckets: dict[Key, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: Key, rate: float, now: float) -> bool:
        """Take a token from a key's bucket, if there is one."""
        full = max(1.0, rate * BURST_S)
        tokens, at = self._buckets.pop(key, (full, now))
        tokens = min(full, tokens + (now - at) * rate)
        passes = tokens >= 1.0
        if len(self._buckets) >= self._most:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[key] = (tokens - 1.0 if passes else tokens, now)
        return passes


class SourceTable:
    """Finds the trunk of an address by the longest network, in one look-up for each length in use.

    Args:
        entries: networks and the trunks that they belong to.
    """

    def __init__(self, entries: Iterable[tuple[Network, TrunkKey]]) -> None:
        tables: dict[int, dict[int, dict[int, TrunkKey]]] = {4: {}, 6: {}}
        for network, key in entries:
            shift = network.max_prefixlen - network.prefixlen
            by_length = tables[network.version].setdefault(shift, {})
            by_length.setdefault(int(network.network_address) >> shift, key)
        self._tables = {version: sorted(found.items()) for version, found in tables.items()}

    def find(self, host: str) -> TrunkKey | None:
        """The trunk of an IP address, None when it is nobody's."""
        try:
            version, number = _number(host)
        except ValueError:
            return None
        for shift, table in self._tables[version]:
            key = table.get(number >> shift)
            if key is not None:
                return key
        return None


def _number(host: str) -> tuple[int, int]:
    """The version and the number of an address; by hand for IPv4, since it is done for each message.

    Raises:
        ValueError: it is none.
    """
    parts = host.split(".")
    if len(parts) == 4 and ":" not in host:
        first, second, third, fourth = map(int, parts)
        number = first << 24 | second << 16 | third << 8 | fourth
        if min(first, second, third, fourth) < 0 or max(first, second, third, fourth) > 255:
            raise ValueError(f"{host} is no address")
        return 4, number
    address = ip_address(host.partition("%")[0])
    return address.version, int(address)


class Guard:
    """Judges what comes, and what goes to strangers.

    Args:
        policy: how much is let through.
        trunk_of: the trunk of an address, None when it is nobody's.

    Attributes:
        turned: messages turned away, by reason.
    """

    def __init__(self, policy: GuardPolicy, trunk_of: Callable[[str], TrunkKey | None]) -> None:
        self._policy = policy
        self._trunk_of = trunk_of
        self._sources: Buckets[str] = Buckets()
        self._strangers: Buckets[str] = Buckets()
        self._together: Buckets[None] = Buckets(1)
        self._trunks: Buckets[TrunkKey] = Buckets()
        self._known: dict[str, float] = {}
        self._credit: dict[str, tuple[int, float]] = {}
        self.turned: Counter[Turned] = Counter()

    def admits(self, data: bytes, host: str, now: float, *, datagram: bool, proven: bool = False) -> bool:
        """Whether a message is to be looked at. One that is not is counted, and nobody hears of it.

        Args:
            data: the whole message.
            host: IP address that it came from.
            now: monotonic seconds.
            datagram: whether it came over UDP.
            proven: whether its sender has proven by a certificate that it is one of those who may call.
        """
        trunk = self._trunk_of(host)
        if trunk is not None or proven or self._is_known(host, now):
            reason = self._known_source(host, trunk, now)
        else:
            reason = self._stranger(data, host, now, datagram=datagram)
            if reason is None and datagram:
                self._give_credit(host, len(data), now)
        if reason is None:
            return True
        self.turned[reason] += 1
        return False

    def acquaint(self, host: str, now: float) -> None:
        """Take note of somebody who is no stranger: we sent a request there, or it knew a dialog of ours."""
        self._known.pop(host, None)
        if len(self._known) >= SOURCES_KEPT:
            del self._known[next(iter(self._known))]
        self._known[host] = now + ACQUAINTANCE_S

    def answer(self, data: bytes, host: str, now: float) -> bytes | None:
        """What of an answer may go over UDP: to a stranger no more than what came from it.

        An answer that is too large goes without the headers that it can do without; one that is too large
        even so, and one that is repeated without a new question, does not go.

        Args:
            data: the whole response.
            host: IP address that it goes to.
            now: monotonic seconds.
        """
        if self._trunk_of(host) is not None or self._is_known(host, now):
            return data
        credit, until = self._credit.get(host, (0, 0.0))
        credit = credit if now < until else 0
        for form in (data, lean(data)):
            if len(form) <= credit:
                self._credit[host] = (credit - len(form), until)
                return form
        self.turned[Turned.AMPLIFICATION] += 1
        return None

    def _known_source(self, host: str, trunk: TrunkKey | None, now: float) -> Turned | None:
        if not self._sources.take(host, self._policy.source, now):
            return Turned.SOURCE_RATE
        rate = None if trunk is None else self._policy.trunks.get(trunk)
        if trunk is not None and rate is not None and not self._trunks.take(trunk, rate, now):
            return Turned.TRUNK_RATE
        return None

    def _stranger(self, data: bytes, host: str, now: float, *, datagram: bool) -> Turned | None:
        if datagram and len(data) > STRANGER_MAX:
            return Turned.OVERSIZE
        if not (data.startswith(_RESPONSE) or _REQUEST_LINE.match(data)):
            return Turned.NOT_SIP
        if any(_SCANNERS.search(agent) for agent in _AGENT.findall(data)):
            return Turned.SCANNER
        if self._policy.drop_strangers and not data.startswith(_RESPONSE) and not _TO_TAG.search(data):
            return Turned.UNKNOWN_SOURCE
        rates = self._policy
        if not self._strangers.take(host, rates.stranger, now):
            return Turned.STRANGER_RATE
        return None if self._together.take(None, rates.strangers, now) else Turned.STRANGER_RATE

    def _is_known(self, host: str, now: float) -> bool:
        until = self._known.get(host)
        return until is not None and now < until

    def _give_credit(self, host: str, size: int, now: float) -> None:
        credit, until = self._credit.pop(host, (0, 0.0))
        if len(self._credit) >= SOURCES_KEPT:
            del self._credit[next(iter(self._credit))]
        self._credit[host] = ((credit if now < until else 0) + size, now + CREDIT_S)


def lean(response: bytes) -> bytes:
    """A response with the headers that each must have (RFC 3261 section 8.2.6.2), and nothing more."""
    head = response.partition(b"\r\n\r\n")[0].split(b"\r\n")
    kept = [line for line in head[1:] if line.partition(b":")[0].strip().lower() in _NEEDED]
    return b"\r\n".join([head[0], *kept, b"Content-Length: 0", b"", b""])
