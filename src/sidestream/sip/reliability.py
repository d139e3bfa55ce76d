"""Reliable provisional responses (RFC 3262): RSeq, RAck, and the option tags of messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sidestream.sip.errors import ParseError
from sidestream.sip.grammar import is_token, parse_digits
from sidestream.sip.message import Message, Response

TAG: Final = "100rel"
"""The option tag (RFC 3262 section 8.1)."""

MAX_RSEQ: Final = 2**32 - 1
MAX_FIRST_RSEQ: Final = 2**31 - 1
"""The largest number that the first reliable response of an INVITE may have (section 3)."""


@dataclass(frozen=True, slots=True)
class RAck:
    """What a PRACK acknowledges (section 7.2)."""

    rseq: int
    cseq: int
    method: str

    def __str__(self) -> str:
        return f"{self.rseq} {self.cseq} {self.method}"


def parse_rack(value: str) -> RAck:
    """Read a RAck value.

    Raises:
        ParseError: 400 when it is not two numbers and a method.
    """
    parts = value.split()
    if len(parts) != 3 or not is_token(parts[2]):
        raise ParseError(400, "Invalid RAck")
    rseq = parse_digits(parts[0], "RAck", MAX_RSEQ)
    return RAck(rseq, parse_digits(parts[1], "RAck", MAX_RSEQ), parts[2])


def rseq_of(response: Response) -> int | None:
    """The number of a reliable provisional response; None for one that is not, or not in due form."""
    value = response.headers.get("RSeq")
    if value is None or not 100 < response.status < 200 or not requires(response, TAG):
        return None
    try:
        number = parse_digits(value.strip(), "RSeq", MAX_RSEQ)
    except ParseError:
        return None
    return number or None


def option_tags(message: Message, header: str) -> tuple[str, ...]:
    """The option tags of `Supported`, `Require` or `Unsupported` as written; none when it is malformed."""
    try:
        return tuple(message.headers.values(header))
    except ParseError:
        return ()


def supports(message: Message, tag: str) -> bool:
    """Whether the sender of a message says that it knows an extension (RFC 3261 20.37)."""
    return tag in {each.lower() for each in option_tags(message, "Supported")} or requires(message, tag)


def requires(message: Message, tag: str) -> bool:
    """Whether a message insists on an extension (RFC 3261 20.32)."""
    return tag in {each.lower() for each in option_tags(message, "Require")}
