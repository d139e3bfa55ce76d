"""How a development recorder listens, judges and, for tests of its clients, misbehaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sidestream.gateway.sip_options import ListenAddress, TlsMaker
from sidestream.tools.g711 import Law

MAX_SESSIONS: Final = 2_000
DEFAULT_LISTEN: Final = (ListenAddress("udp", "127.0.0.1", 5070), ListenAddress("tcp", "127.0.0.1", 5070))
LAWS: Final[tuple[Law, ...]] = ("PCMU", "PCMA")


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What a recorder does beside recording; nothing of it by default. Times in seconds.

    Attributes:
        reject: status that every INVITE is refused with.
        answer_delay_s: how long an INVITE waits for its answer, with nothing but a 100.
        inactive_for_s: answer `inactive`, and ask for the media by re-INVITE so much later.
        refuse_streams: numbers of m-lines, from 1, that are refused with port 0.
        multipart_answer: answer in `multipart/mixed`, with the client's own metadata beside the SDP.
        no_labels: leave `a=label` out of answers.
        snapshot_after_s: ask for a snapshot by UPDATE, so long after the ACK.
        bye_after_s: end the session, so long after the ACK.
        refuse_update: answer every UPDATE with 488.
        session_expires_s: session timer that is refreshed by re-INVITE, at half its time (RFC 4028).
    """

    reject: int | None = None
    answer_delay_s: float = 0.0
    inactive_for_s: float | None = None
    refuse_streams: tuple[int, ...] = ()
    multipart_answer: bool = False
    no_labels: bool = False
    snapshot_after_s: float | None = None
    bye_after_s: float | None = None
    refuse_update: bool = False
    session_expires_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderOptions:
    """How a recorder works.

    Attributes:
        directory: where sessions are kept.
        listen: addresses; port 0 for any free one.
        strict: refuse what breaks a rule with 400; else record it and tell.
        codecs: what it takes.
        behaviour: what else it does.
        keep_frames: keep every frame in memory, for comparing them with what was sent.
        report_interval_s: mean time between receiver reports (RFC 3550 section 6.2).
        max_sessions: sessions at once; more are refused with 503.
        srtp: take streams that are offered with SRTP.
        tls: makes the TLS of its connections; a `tls` address wants it.
    """

    directory: Path
    listen: tuple[ListenAddress, ...] = DEFAULT_LISTEN
    strict: bool = True
    codecs: tuple[Law, ...] = LAWS
    behaviour: Behaviour = field(default_factory=Behaviour)
    keep_frames: bool = False
    report_interval_s: float = 5.0
    max_sessions: int = MAX_SESSIONS
    srtp: bool = True
    tls: TlsMaker | None = None
