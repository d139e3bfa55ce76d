"""Asks the DNS: one question, one answer, within a deadline (RFC 1035, RFC 2782, RFC 3403)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.NAPTR import NAPTR
from dns.rdtypes.IN.SRV import SRV

from sidestream.errors import Fault, SidestreamError
from sidestream.gateway.hosts_file import HostsFile
from sidestream.sip.routing import Naptr, Query, Record, Srv

RESOLV_CONF: Final = Path("/etc/resolv.conf")
RECORDS_MAX: Final = 256
"""Records of one answer that are looked at."""
HOSTS_TTL_S: Final = 5.0
"""How long what the hosts file says is taken for true."""
NO_SOA_TTL_S: Final = 30.0
"""For a denial whose zone names no time (RFC 2308 section 5)."""

DnsServer = tuple[str, int]
"""Address and port."""


class DnsError(SidestreamError):
    """The DNS did not answer, or not with an answer."""

    fault = Fault.OPERATOR


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """What the DNS says.

    Attributes:
        records: none when there are none: that is an answer, too.
        ttl: seconds that it may be taken for true; of a denial, what the zone's SOA says (RFC 2308).
    """

    records: tuple[Record, ...]
    ttl: float


class DnsClient:
    """Asks the machine's hosts file, and then DNS servers.

    Args:
        hosts: the machine's own names; one that is there has no records but its addresses.
        servers: whom to ask; none: those of the system's `resolv.conf`, read again when it has changed.
        deadline: seconds for one question, over all servers and repetitions.
    """

    def __init__(self, hosts: HostsFile, *, servers: Sequence[DnsServer] = (), deadline: float = 3.0) -> None:
        self._hosts = hosts
        self._servers = tuple(servers)
        self._deadline = deadline
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._stamp = 0

    async def ask(self, query: Query) -> DnsAnswer:
        """Ask one question.

        Raises:
            DnsError: there is no answer.
        """
        known = self._hosts.addresses(query.name)
        if known is not None:
            wanted = {"A": ".", "AAAA": ":"}.get(query.kind)
            return DnsAnswer(tuple(one for one in known if wanted is not None and wanted in one), HOSTS_TTL_S)
        try:
            answer = await self._current().resolve(
                query.name, query.kind, lifetime=self._deadline, search=True, raise_on_no_answer=False
            )
        except dns.resolver.NXDOMAIN as denial:
            return DnsAnswer((), _ttl_of_denial(denial))
        except (dns.exception.DNSException, OSError, UnicodeError, EOFError) as error:
            reason = str(error) or type(error).__name__
            raise DnsError(f"{query.kind} {query.name}: {reason}", hint="check the DNS servers") from error
        return DnsAnswer(_records(answer), _bounded(answer.chaining_result.minimum_ttl))

    def _current(self) -> dns.asyncresolver.Resolver:
        stamp = 0 if self._servers else RESOLV_CONF.stat().st_mtime_ns
        if self._resolver is None or stamp != self._stamp:
            self._stamp = stamp
            self._resolver = self._make()
        return self._resolver

    def _make(self) -> dns.asyncresolver.Resolver:
        made = dns.asyncresolver.Resolver(filename=str(RESOLV_CONF), configure=not self._servers)
        # Two servers, the first of which is dead, are both asked within the deadline.
        made.timeout = min(made.timeout, self._deadline / 3)
        if self._servers:
            made.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in self._servers]
        return made


def _records(answer: dns.resolver.Answer) -> tuple[Record, ...]:
    records: list[Record] = []
    for data in list(answer.rrset or ())[:RECORDS_MAX]:
        match data:
            case A() | AAAA():
                records.append(str(data.address))
            case SRV():
                records.append(Srv(data.priority, data.weight, data.port, data.target.to_text()))
            case NAPTR():
                records.append(
                    Naptr(
                        data.order,
                        data.preference,
                        data.flags.decode("latin-1"),
                        data.service.decode("latin-1"),
                        data.replacement.to_text(),
                    )
                )
    return tuple(records)


def _ttl_of_denial(denial: dns.resolver.NXDOMAIN) -> float:
    responses: dict[dns.name.Name, dns.message.QueryMessage] = denial.kwargs.get("responses", {})
    times = [response.resolve_chaining().minimum_ttl for response in responses.values()]
    return _bounded(min(times, default=0x7FFFFFFF))


def _bounded(ttl: int) -> float:
    """A time to live; without any record there is none, and the library says the largest number."""
    return NO_SOA_TTL_S if ttl >= 0x7FFFFFFF else float(ttl)
