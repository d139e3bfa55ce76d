"""Names for new things: calls, streams, dialogs.

Their randomness is the system's, taken in blocks: a call needs ten draws, and each system call gives up the
interpreter's lock. Used from the loop's thread only.
"""

import os
import time
from typing import Final
from uuid import UUID

TOKEN_BYTES = 12
"""Of randomness in tags and Call-IDs; RFC 3261 section 19.3 asks for 4 at least."""


_BLOCK: Final = 4096


class _Randomness:
    """Unguessable bytes, each given out once."""

    def __init__(self) -> None:
        self._block = b""
        self._at = 0

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes, at most `_BLOCK`."""
        begin, self._at = self._at, self._at + size
        if self._at > len(self._block):
            self._block, begin, self._at = os.urandom(_BLOCK), 0, size
        return self._block[begin : self._at]


_randomness = _Randomness()


def new_id() -> str:
    """Return a UUID of version 7 (RFC 9562 section 5.7): unique, and in order of time by the millisecond."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(_randomness.take(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(UUID(int=value))


def new_token() -> str:
    """Return an unguessable word that may stand in a tag, a branch or a Call-ID."""
    return _randomness.take(TOKEN_BYTES).hex()


def new_traceparent() -> str:
    """Return the root of a new trace (W3C Trace Context, version 00, sampled)."""
    return f"00-{_randomness.take(16).hex()}-{_randomness.take(8).hex()}-01"
