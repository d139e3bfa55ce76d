"""The border between two trunks: what of one side's headers the other side may see.

Identities that the network vouches for are worth something only among those who trust each other (RFC 3325
section 5). They come from a trusted trunk and go to a trusted trunk, or they stay here. What a party asks to
have withheld is withheld where a message leaves the trusted trunks (RFC 3323 section 5); among them its wish
goes on with the message.
"""

from dataclasses import dataclass
from typing import Final

from sidestream.call.headers_policy import HeaderPolicy
from sidestream.call.numbers import Numbering
from sidestream.call.privacy import Privacy, without_history
from sidestream.sip.message import Headers

VOUCHED: Final = frozenset({"p-asserted-identity", "p-preferred-identity", "remote-party-id"})
"""Headers that cross between trusted trunks only: an assertion, the wish for one, and their forerunner."""

_OF_THE_USER: Final = frozenset({"call-info", "organization", "subject"})
"""What RFC 3323 5.3 has removed for `user`, besides From and what never crosses."""

_SIGNED: Final = "identity"
"""Names the caller inside its signature (RFC 8224 4)."""


@dataclass(frozen=True, slots=True)
class Border:
    """What crosses from one trunk to another."""

    policy: HeaderPolicy
    """The headers that cross at all."""
    from_trusted: bool = True
    """Whether the trunk that a message came from is trusted."""
    to_trusted: bool = True
    """Whether the trunk that it goes to is trusted."""
    numbering: Numbering | None = None
    """What becomes of the numbers of those who are vouched for; None where they stay."""

    def copy(self, source: Headers, target: Headers) -> None:
        """Add to `target` what of `source` may cross, in order."""
        wishes = Privacy() if self.to_trusted else Privacy.of(source)
        said = False
        for name, value in source:
            if not self.policy.passes(name):
                continue
            low = name.lower()
            if low == "privacy" and not self.to_trusted:
                value, said = "" if said else wishes.left, True  # noqa: PLW2901 - one line for all
            elif low == "history-info" and not self.to_trusted:
                value = without_history(value, all_of_it=wishes.hides_history)  # noqa: PLW2901
            elif self._stops(low, wishes):
                continue
            elif low in VOUCHED and self.numbering is not None:
                value = self.numbering.identities(value)  # noqa: PLW2901
            if value or low not in {"privacy", "history-info"}:
                target.add(name, value)

    def hides_caller(self, source: Headers) -> bool:
        """Whether From must not name the caller on the other side."""
        return not self.to_trusted and Privacy.of(source).hides_caller

    def unmet(self, source: Headers) -> tuple[str, ...]:
        """What a message insists on and cannot have here."""
        return () if self.to_trusted else Privacy.of(source).unmet

    def _stops(self, name: str, wishes: Privacy) -> bool:
        if name in VOUCHED:
            return not (self.from_trusted and self.to_trusted)
        if name == _SIGNED:
            return wishes.hides_caller
        return wishes.hides_user and name in _OF_THE_USER
