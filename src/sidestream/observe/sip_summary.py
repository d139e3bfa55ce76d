"""Says in a few words what a SIP message is, for pictures of calls. Pure; takes whatever came."""

import re
from dataclasses import dataclass
from typing import Final

_LINE_MAX: Final = 120
_HEAD_END: Final = re.compile(r"\r?\n\r?\n")
_CSEQ: Final = re.compile(r"^cseq[ \t]*:[ \t]*(\d{1,10})[ \t]+(\S{1,32})", re.IGNORECASE | re.MULTILINE)
_RTPMAP: Final = re.compile(r"rtpmap:(\d{1,3})\s+([^/\s]{1,32})")
_DIRECTIONS: Final = frozenset({"sendrecv", "sendonly", "recvonly", "inactive"})
_STATIC: Final = {
    "0": "PCMU", "3": "GSM", "4": "G723", "8": "PCMA", "9": "G722", "11": "L16", "13": "CN", "15": "G728",
    "18": "G729",
}  # fmt: skip
"""RFC 3551 section 6."""
_CODECS_MAX: Final = 8
_MEDIA_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class MessageSummary:
    """What a message is.

    Attributes:
        title: method, or status and phrase with the method that it answers.
        is_request: whether it is a request.
        sdp: one line for each m-line, such as `audio 192.0.2.1:4000 PCMU PCMA sendrecv`.
    """

    title: str
    is_request: bool
    sdp: tuple[str, ...]


def summarize_message(data: bytes) -> MessageSummary:
    """Say what a message is."""
    text = data.decode(errors="replace")
    end = _HEAD_END.search(text)
    head, body = (text[: end.start()], text[end.end() :]) if end else (text, "")
    first = head.split("\n", 1)[0].strip()[:_LINE_MAX]
    found = _CSEQ.search(head)
    if first.startswith("SIP/2.0 "):
        method = f" ({printable(found[2])})" if found else ""
        return MessageSummary(printable(first[8:]) + method, is_request=False, sdp=_descriptions(body))
    return MessageSummary(printable(first.split(" ", 1)[0]), is_request=True, sdp=_descriptions(body))


def printable(text: str) -> str:
    """Return text that moves no cursor: control and direction characters are `?`."""
    return "".join(each if each.isprintable() else "?" for each in text)


def _descriptions(body: str) -> tuple[str, ...]:
    """Read the session descriptions in a body, those in parts of it included."""
    found: list[_Media] = []
    host, direction = "", "sendrecv"
    for line in body.splitlines():
        kind, _, value = line.partition("=")
        if kind == "v":
            host, direction = "", "sendrecv"
        elif kind == "m" and len(found) < _MEDIA_MAX:
            found.append(_Media.begin(value, host, direction))
        elif kind == "c":
            address = value.split(" ")[-1].split("/")[0]
            if found and found[-1].open:
                found[-1].host = address
            else:
                host = address
        elif kind == "a" and found and found[-1].open:
            found[-1].attribute(value)
        elif kind == "a" and value in _DIRECTIONS:
            direction = value
        elif found and not line.strip():
            found[-1].open = False
    return tuple(media.words() for media in found)


@dataclass(slots=True)
class _Media:
    kind: str
    port: str
    host: str
    direction: str
    formats: list[str]
    names: dict[str, str]
    secure: bool
    open: bool = True

    @classmethod
    def begin(cls, value: str, host: str, direction: str) -> "_Media":
        parts = [*value.split(), "", "", ""]
        secure = parts[2].upper().startswith("RTP/SAVP")
        return cls(
            parts[0],
            parts[1].split("/")[0],
            host,
            direction,
            [each for each in parts[3:] if each],
            {},
            secure,
        )

    def attribute(self, value: str) -> None:
        if value in _DIRECTIONS:
            self.direction = value
        elif (found := _RTPMAP.match(value)) is not None:
            self.names[found[1]] = found[2]

    def words(self) -> str:
        if self.port == "0":
            return printable(f"{self.kind} refused")[:_LINE_MAX]
        known = [self.names.get(each) or _STATIC.get(each, each) for each in self.formats]
        codecs = " ".join(known[:_CODECS_MAX]) + (" …" if len(known) > _CODECS_MAX else "")
        where = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        kind = f"{self.kind} SRTP" if self.secure else self.kind
        return printable(f"{kind} {where} {codecs} {self.direction}")[:_LINE_MAX]
