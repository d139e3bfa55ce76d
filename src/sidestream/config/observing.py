"""Sections of `node` about what is kept of calls for troubleshooting, and where it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sidestream.config.kinds import CollectorUrl, Duration, Flag, SecretText, Size, Whole
from sidestream.config.values import CollectorAddress, Seconds, Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What is kept of each call for troubleshooting: its SIP messages, secrets masked, and what happened.

    It is written beside the journal, into the directory `trace`, and served at `/v1/calls/ID/trace`. Calls
    never wait for it: what does not fit within a bound is left out and counted.
    """

    enabled: Annotated[bool, Flag()] = True
    """Whether SIP messages are kept. Without them the API still lists calls with their records."""
    retention: Annotated[Seconds, Duration("1h", "8760h")] = 168 * 3600
    """How long ended calls are kept."""
    size: Annotated[int, Size("16MiB", "1TiB")] = 1024**3
    """Disk space for all of them; the oldest make room."""
    memory: Annotated[int, Size("1MiB", "16GiB")] = 64 * 1024**2
    """Memory for messages of live calls and for what waits to be written."""
    per_call: Annotated[int, Size("16KiB", "16MiB")] = 256 * 1024
    """For one call. Beyond it the middle of the call is left out: its begin and its end stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hep:
    """A collector, such as HOMER, that gets the SIP messages and a quality report of each call (HEP3)."""

    to: Annotated[CollectorAddress, CollectorUrl()]
    """Where it listens, over UDP or TCP. HEP has no encryption: keep it within a protected network."""
    node_id: Annotated[int, Whole(0, 2**32 - 1)]
    """Number of this gateway in the collector (capture agent id)."""
    password: Annotated[Secret | None, SecretText()] = None
    """What the collector knows the gateway by; sent in the clear."""
