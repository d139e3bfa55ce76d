"""What a party asks to have withheld, and how that is done (RFC 3323, RFC 3325, RFC 7044 section 10.1)."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from sidestream.sip.errors import ParseError
from sidestream.sip.headers import NameAddr, parse_name_addr
from sidestream.sip.message import Headers
from sidestream.sip.uri import SipUri

ANONYMOUS: Final = '"Anonymous" <sip:anonymous@anonymous.invalid>'
"""The From of a caller who is not to be known (RFC 3323 4.1.1.3)."""

_NOBODY: Final = SipUri("sip", "anonymous", "anonymous.invalid")
_GRANTED: Final = frozenset({"header", "history", "id", "session", "user"})
_TO_BE_KEPT: Final = frozenset({"none"})


@dataclass(frozen=True, slots=True)
class Privacy:
    """The privacy that a message asks for: the values of its `Privacy` headers in lower case, in order."""

    values: tuple[str, ...] = ()

    @staticmethod
    def of(headers: Headers) -> "Privacy":
        """Read what a message asks for; values may stand behind `;` or, as some write it, `,`."""
        words = (
            word.strip().lower()
            for line in headers.get_all("Privacy")
            for word in line.replace(",", ";").split(";")
        )
        return Privacy(tuple(dict.fromkeys(word for word in words if word)))

    @property
    def withholds_identity(self) -> bool:
        """Whether the asserted identity is for nobody outside (RFC 3325 9.3)."""
        return "id" in self.values

    @property
    def hides_caller(self) -> bool:
        """Whether From must not name the caller.

        Asked for by `user`, and by `id`, since From mostly repeats the asserted number.
        """
        return "user" in self.values or "id" in self.values

    @property
    def hides_user(self) -> bool:
        """Whether what a user tells of itself is withheld (RFC 3323 5.3)."""
        return "user" in self.values

    @property
    def hides_history(self) -> bool:
        """Whether every entry of History-Info is withheld (RFC 7044 10.1.1)."""
        return not {"header", "history", "session"}.isdisjoint(self.values)

    @property
    def unmet(self) -> tuple[str, ...]:
        """What is asked for and not known here, where it is `critical` (RFC 3323 5); else nothing."""
        return self._unknown if "critical" in self.values else ()

    @property
    def left(self) -> str:
        """The Privacy header once all that is known here was done (RFC 3323 5): empty for none."""
        kept = [each for each in self.values if each in _TO_BE_KEPT or each in self._unknown]
        return ";".join([*kept, "critical"] if kept and "critical" in self.values else kept)

    @property
    def _unknown(self) -> tuple[str, ...]:
        return tuple(
            each for each in self.values if each not in _GRANTED | _TO_BE_KEPT and each != "critical"
        )


def without_history(value: str, *, all_of_it: bool) -> str:
    """A History-Info line with the entries anonymous that ask for it (RFC 7044 10.1.2).

    Args:
        value: The line.
        all_of_it: Whether every entry is to be anonymous, and not only those whose own URI says so.

    Returns:
        The line; empty when it cannot be read, since what it tells cannot be known either.
    """
    try:
        entries = [parse_name_addr(entry, "History-Info") for entry in _entries(value)]
    except ParseError:
        return ""
    return ", ".join(
        str(NameAddr(_NOBODY, "", entry.params)) if all_of_it or _asks(entry) else str(entry)
        for entry in entries
    )


def anonymous_from(tag: str) -> str:
    """The From header of a leg whose caller is not to be known."""
    return f"{ANONYMOUS};tag={tag}"


def _entries(value: str) -> list[str]:
    return Headers([("History-Info", value)]).values("History-Info")


def _asks(entry: NameAddr) -> bool:
    if not isinstance(entry.uri, SipUri):
        return False
    pairs = [piece.partition("=") for piece in entry.uri.headers.split("&")]
    own = Headers([("Privacy", unquote(text)) for name, _, text in pairs if _is_privacy(name, text)])
    wishes = Privacy.of(own)
    return wishes.hides_history or wishes.hides_caller


def _is_privacy(name: str, text: str) -> bool:
    return unquote(name).lower() == "privacy" and not {"\r", "\n"} & set(unquote(text))
