"""Sections of `node` about signalling: whom names are asked of, and how the gateway guards itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from sidestream.config.kinds import Choice, DnsServer, Duration, Whole
from sidestream.config.shapes import ListOf
from sidestream.config.values import Nameserver, Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Dns:
    """How the names of SIP peers are looked up: NAPTR, SRV and addresses (RFC 3263).

    The machine's hosts file comes first. Answers are kept for their time to live and, when no server answers
    any more, beyond it: trouble with the DNS does not stop calls to peers that were known.
    """

    servers: Annotated[tuple[Nameserver, ...], ListOf(DnsServer(), 0, 8)] = ()
    """DNS servers in the order to ask them; none: those of the machine's `resolv.conf`."""
    timeout: Annotated[Seconds, Duration("100ms", "30s")] = 3
    """For one question, over all servers."""
    ttl_min: Annotated[Seconds, Duration("0s", "1h")] = 5
    """An answer is taken for true at least so long, whatever it says itself."""
    ttl_max: Annotated[Seconds, Duration("1s", "168h")] = 3600
    """And at most so long."""
    stale: Annotated[Seconds, Duration("0s", "168h")] = 86_400
    """How long an answer may serve beyond its time while no server answers (RFC 8767); `0s`: not at all."""


class UnknownSources(StrEnum):
    """What becomes of requests from addresses that are no trunk's."""

    REFUSE = "refuse"
    DROP = "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """How the gateway guards itself against floods, scanners and more work than it can do.

    Addresses of trunks, and those that the gateway speaks with anyway, such as recording servers, are known;
    all others are strangers.
    """

    unknown_sources: Annotated[UnknownSources, Choice(UnknownSources)] = UnknownSources.REFUSE
    """What a stranger's request gets: an answer (403), within the rates below, or none at all. Tools that
    scan for open gateways and say so in their headers never get one."""
    unknown_rate: Annotated[int, Whole(1, 10_000)] = 50
    """Messages a second of all strangers together; the rest is dropped unread."""
    unknown_source_rate: Annotated[int, Whole(1, 10_000)] = 10
    """Messages a second of one stranger."""
    source_rate: Annotated[int, Whole(1, 1_000_000)] = 2000
    """Messages a second of one known address; the rest is dropped unread."""
    connections: Annotated[int, Whole(1, 60_000)] = 4096
    """Connections over TCP and TLS; more are refused."""
    connections_per_source: Annotated[int, Whole(1, 60_000)] = 256
    """Connections that one address may open."""
    idle_timeout: Annotated[Seconds, Duration("10s", "24h")] = 600
    """A connection without a message or keep-alive for so long is closed."""
    message_timeout: Annotated[Seconds, Duration("1s", "5m")] = 30
    """How long a message may take to arrive on a connection, and a new connection to bring its first one."""
    overload_lag: Annotated[Seconds | None, Duration("10ms", "10s", "off")] = 0.25
    """New calls are turned away, ever more of them, while the signalling loop is later than this; `off`:
    never. They get 503 with `Retry-After`."""
