"""Key presses in the body of an INFO: `application/dtmf-relay` and `application/dtmf`.

Neither has an RFC; both are what RFC 6086 section 1 calls legacy usage. The first has lines `Signal=5` and
`Duration=160` (milliseconds), the second the key alone.
"""

from typing import Final

from sidestream.sip.message import Request

DEFAULT_DURATION_MS: Final = 250
"""What a key press lasts when its sender does not say."""

MAX_DURATION_MS: Final = 65_535
"""Longer presses are told as this: the longest that RFC 4733 can tell at 1 kHz."""

_KEYS: Final = {
    **{key: key for key in "0123456789*#ABCD"},
    # Some senders write the event codes of RFC 4733 section 3.2.
    "10": "*",
    "11": "#",
    "12": "A",
    "13": "B",
    "14": "C",
    "15": "D",
}


def key_press(info: Request) -> tuple[str, int] | None:
    """The key and its duration in ms; None when the INFO tells no key press."""
    text = info.body[:256].decode("ascii", "replace")
    kind = info.content_type
    if kind == "application/dtmf":
        fields = {"signal": text}
    elif kind == "application/dtmf-relay":
        pairs = (line.partition("=") for line in text.splitlines())
        fields = {name.strip().lower(): value for name, _, value in pairs}
    else:
        return None
    key = _KEYS.get(fields.get("signal", "").strip().upper())
    return None if key is None else (key, _duration(fields.get("duration", "").strip()))


def _duration(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        return DEFAULT_DURATION_MS
    return min(int(text), MAX_DURATION_MS)
