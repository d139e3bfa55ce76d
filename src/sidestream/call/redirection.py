"""Where a redirection leads: the contacts of a 3xx, followed or told to the caller (RFC 3261 8.1.3.4)."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from sidestream.call.facts import HeaderList
from sidestream.sip.headers import NameAddr
from sidestream.sip.message import Response
from sidestream.sip.uri import SipUri

MAX_TARGETS: Final = 8
"""Contacts that one call follows at most, all redirections together."""


@dataclass(slots=True)
class Targets:
    """The targets of a call that redirections have named (RFC 3261 8.1.3.4)."""

    waiting: deque[SipUri] = field(default_factory=deque)
    """Not tried yet, the next one first."""
    seen: set[str] = field(default_factory=set)
    """Every target there was: one that comes again is a loop."""

    def take(self, response: Response, asked: str) -> None:
        """Take the contacts of a redirection in, before those that wait already.

        Args:
            response: The 3xx.
            asked: Request-URI of the INVITE that it answers.
        """
        self.seen.add(_key(SipUri.parse(asked)))
        fresh: list[SipUri] = []
        for target in contacts_by_preference(response):
            key = _key(target)
            if key not in self.seen and len(self.seen) <= MAX_TARGETS:
                self.seen.add(key)
                fresh.append(target)
        self.waiting.extendleft(reversed(fresh))


def contacts_by_preference(response: Response) -> list[SipUri]:
    """The SIP URIs of a redirection that can be called, the highest q first (RFC 3261 20.10)."""
    named = sorted(response.contacts, key=_preference, reverse=True)
    return [each.uri.without_headers() for each in named if isinstance(each.uri, SipUri)]


def told(response: Response) -> HeaderList:
    """What a caller is told of a redirection that is passed on: its contacts as they came."""
    contacts = response.headers.get_all("Contact")
    return (("Contact", ", ".join(contacts)),) if contacts else ()


def _preference(contact: NameAddr) -> float:
    try:
        return min(max(float(contact.params.get("q") or 1.0), 0.0), 1.0)
    except ValueError:
        return 0.0


def _key(uri: SipUri) -> str:
    """What two URIs of one target have in common; parameters but the transport do not count."""
    return (
        f"{uri.scheme}:{uri.user or ''}@{uri.host.lower()}:{uri.port or ''};{(uri.transport or '').lower()}"
    )
