"""Sections of `node` about signalling: whom names are asked of, and how the gateway guards itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sidestream.config.kinds import DnsServer, Duration
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
