"""The streams of one recording session: m-lines on one side, ports and tracks on the other."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field, replace
from functools import partial

from sidestream import sdp
from sidestream.sdp.crypto import CryptoLine, usable_lines
from sidestream.sdp.model import SECURE_RTP
from sidestream.sdp.protection import Protection
from sidestream.tools.g711 import law_of
from sidestream.tools.recorder_media import MediaPort
from sidestream.tools.recorder_options import RecorderOptions
from sidestream.tools.recorder_sdp import RecordedLine, choose, describe
from sidestream.tools.recorder_store import FinishedTrack, SessionStore
from sidestream.tools.recorder_track import Track


@dataclass(slots=True)
class Line:
    """One m-line: what we last said about it, and its stream once it was taken."""

    number: int
    track: Track
    port: MediaPort | None = None
    said: RecordedLine = field(default_factory=lambda: RecordedLine(0))
    protection: Protection = field(
        default_factory=lambda: Protection(secure=True, secret=secrets.token_bytes)
    )


@dataclass(slots=True)
class Lines:
    """The m-lines of a session in their order.

    Attributes:
        options: how the recorder works.
        store: takes the audio.
        ready: whether media is wanted already.
        theirs: the client's newest description.
        ours: our newest description.
    """

    options: RecorderOptions
    store: SessionStore
    ready: bool = True
    theirs: sdp.SessionDescription | None = None
    ours: sdp.SessionDescription | None = None
    _lines: list[Line] = field(default_factory=list)
    _session_id: int = field(default_factory=lambda: secrets.randbits(62))

    async def answer(self, offer: sdp.SessionDescription, host: str) -> sdp.SessionDescription:
        """Answer an offer: bind ports for what is new, open what may be sent, pause what may not.

        Raises:
            OSError: a port cannot be bound.
            PortsExhaustedError: none is free.
        """
        for index, media in enumerate(offer.media):
            if index == len(self._lines):
                self._lines.append(Line(index + 1, self._track(index + 1)))
            line = self._lines[index]
            line.said = await self._judge(line, media, host)
            self._apply(line, media, line.said.direction.receives)
        for line in self._lines[len(offer.media) :]:
            line.track.pause(_now())
            line.said = RecordedLine(0)
        self.theirs = offer
        return self._describe(host)

    def offer(self, host: str) -> sdp.SessionDescription:
        """Return what we say, as an offer of ours."""
        return self._describe(host)

    def make_ready(self) -> None:
        """Media is wanted from now on."""
        self.ready = True
        for line in self._lines:
            if line.said.port:
                line.said = replace(line.said, direction=sdp.Direction.RECVONLY)

    def take_answer(self, answer: sdp.SessionDescription) -> None:
        """Take the client's answer to our offer."""
        for line, media in zip(self._lines, answer.media, strict=False):
            if not line.said.port or not media.port:
                line.track.pause(_now())
                continue
            chosen = choose(media, self.options.codecs)
            if chosen is not None:
                line.said = replace(line.said, codec=chosen[0], events=chosen[1])
            self._apply(line, media, line.said.direction.receives and media.declared_direction.sends)
        self.theirs = answer

    async def close(self) -> list[FinishedTrack]:
        """Close every port; returns every track, finished."""
        finished = []
        for line in self._lines:
            reports = 0
            if line.port is not None:
                await line.port.close()
                reports = line.port.reports_sent
            line.track.finish()
            finished.append(FinishedTrack(line.track, reports, refused=line.port is None))
        return finished

    @property
    def refused_all(self) -> bool:
        """Whether no stream is taken at all."""
        return not any(line.said.port for line in self._lines)

    @property
    def tracks(self) -> list[Track]:
        """Every stream."""
        return [line.track for line in self._lines]

    @property
    def words(self) -> str:
        """What is agreed, in one line."""
        told = []
        for line in self._lines:
            codec = line.said.codec
            state = f"{codec.name} {line.said.direction.value}" if codec and line.said.port else "refused"
            told.append(f"stream {line.number} {state}")
        return ", ".join(told)

    def _track(self, number: int) -> Track:
        return Track(number, partial(self.store.write, number), keep=self.options.keep_frames)

    async def _judge(self, line: Line, media: sdp.MediaDescription, host: str) -> RecordedLine:
        chosen = choose(media, self.options.codecs)
        crypto = line.protection.answer(media) if self.options.srtp else None
        unprotected = media.protocol in SECURE_RTP and crypto is None
        if chosen is None or unprotected or line.number in self.options.behaviour.refuse_streams:
            return RecordedLine(0)
        if line.port is None:
            line.port = await MediaPort.open(host, line.track, self.options.report_interval_s)
        wanted = self.ready and media.declared_direction.sends
        label = None if self.options.behaviour.no_labels else media.label
        direction = sdp.Direction.RECVONLY if wanted else sdp.Direction.INACTIVE
        return RecordedLine(line.port.port, direction, *chosen, label, crypto)

    def _apply(self, line: Line, media: sdp.MediaDescription, open_: bool) -> None:
        line.track.label = media.label or line.track.label
        codec = line.said.codec
        if line.port is None or codec is None or not open_:
            line.track.pause(_now())
            return
        connection = media.connection
        if connection is not None:
            line.port.remote = connection.host, media.port, media.rtcp_port
        keys = _keys(line.said.crypto, media)
        line.track.suite = keys.receive.suite.value if keys is not None else ""
        line.port.srtp.agree(keys)
        line.track.open(law_of(codec.name), codec.payload_type, line.said.events)

    def _describe(self, host: str) -> sdp.SessionDescription:
        """Write what we say; the version in o= goes on by one when that is new (RFC 3264 section 8)."""
        if self.theirs is None:
            raise sdp.NegotiationError("there is no offer to answer")
        lines = [line.said for line in self._lines[: len(self.theirs.media)]]
        version = self.ours.origin.version if self.ours is not None else 1
        origin = sdp.Origin("-", self._session_id, version, host)
        made = describe(lines, self.theirs, host, origin)
        if self.ours is not None and made != self.ours:
            made = made.with_origin(origin.with_version(version + 1))
        self.ours = made
        return made


def _keys(ours: CryptoLine | None, theirs: sdp.MediaDescription) -> sdp.SrtpKeys | None:
    """The keys of a stream: the client's is under our tag, whoever offered (RFC 4568 section 7.1)."""
    if ours is None:
        return None
    found = (line.material for line in usable_lines(theirs) if line.tag == ours.tag)
    return next((sdp.SrtpKeys(ours.material, material) for material in found), None)


def _now() -> float:
    return asyncio.get_running_loop().time()
