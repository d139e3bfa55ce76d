"""Names for new things: calls, streams, dialogs."""

import secrets
import time
from uuid import UUID

TOKEN_BYTES = 12
"""Of randomness in tags and Call-IDs; RFC 3261 section 19.3 asks for 4 at least."""


def new_id() -> str:
    """Return a UUID of version 7 (RFC 9562 section 5.7): unique, and in order of time by the millisecond."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(UUID(int=value))


def new_token() -> str:
    """Return an unguessable word that may stand in a tag, a branch or a Call-ID."""
    return secrets.token_hex(TOKEN_BYTES)


def new_traceparent() -> str:
    """Return the root of a new trace (W3C Trace Context, version 00, sampled)."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
