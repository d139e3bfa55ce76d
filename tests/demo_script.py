"""A recorded call as the demonstration sees one, without sockets: real files, documents by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from sidestream.tools.compare import Frame
from sidestream.tools.demo_evidence import Party, Quality
from sidestream.tools.demo_recording import CallTimes
from sidestream.tools.recorder_metadata import Party as Participant
from sidestream.tools.recorder_result import Facts, MetadataEntry, SessionResult
from sidestream.tools.recorder_store import FinishedTrack, SessionStore
from sidestream.tools.recorder_track import Track
from sidestream.tools.rtp import RtpPacket, event_payload
from siprec_client import Ids, held, snapshot, stopped
from stream_script import FRAME, distinct

BEGIN = datetime(2026, 3, 3, 9, 15, tzinfo=UTC)
LOOP_BEGIN = 50.0
ANSWERED_S = 1.0
ENDED_S = 3.0
TIMES = CallTimes(BEGIN, LOOP_BEGIN, ANSWERED_S, ENDED_S)
FRAMES = 60
KEY_SLOT = 30
"""The caller presses a key instead of speaking here."""


def stamp(seconds: float) -> str:
    """A time of day as metadata tells it, so many seconds into the call."""
    return (BEGIN + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def documents(ids: Ids) -> list[tuple[float, str, str]]:
    """What a client tells of the call, by hand: when, in which message, and the document."""
    begin, answer = stamp(0), stamp(ANSWERED_S)
    joined = f'participant_id="{ids.bob}" session_id="{ids.session}"><associate-time>'
    first = snapshot(ids, begin).replace(joined + begin, joined + answer)
    resumed = f"""<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns="urn:ietf:params:xml:ns:recording:1">
<datamode>partial</datamode>
<participantstreamassoc participant_id="{ids.alice}"><send>{ids.first}</send><recv>{ids.second}</recv></participantstreamassoc>
<participantstreamassoc participant_id="{ids.bob}"><send>{ids.second}</send><recv>{ids.first}</recv></participantstreamassoc>
</recording>
"""  # noqa: E501 - as it goes over the wire
    return [
        (1.0, "INVITE", first),
        (1.8, "UPDATE", held(ids)),
        (2.2, "UPDATE", resumed),
        (3.0, "UPDATE", stopped(ids, stamp(ENDED_S))),
    ]


def said(channel: int) -> tuple[Frame, ...]:
    """What a phone said; the caller leaves room for a key."""
    slots = [slot for slot in range(FRAMES) if channel or not KEY_SLOT <= slot < KEY_SLOT + 5]
    return tuple(
        Frame(7_000 + slot * FRAME, distinct(slot, channel), LOOP_BEGIN + 1.2 + slot * 0.02) for slot in slots
    )


def party(role: str) -> Party:
    """One phone of the call."""
    caller = role == "caller"
    return Party(
        role=role,
        name="Ada" if caller else "Grace",
        number="+3225550100" if caller else "200",
        address="somewhere",
        sent=said(0 if caller else 1),
        heard=(),
        presses=((7_000 + KEY_SLOT * FRAME, "5"),) if caller else (),
        keys_heard="" if caller else "5",
        statuses=(180, 200),
        ending="we hung up" if caller else "the far side hung up",
        quality=Quality(FRAMES, FRAMES, 0, 0, 0, 0.5, 1.5),
    )


@dataclass
class Recorded:
    """Makes the recording of the call as a recorder would.

    Attributes:
        directory: where it is kept.
        documents: what the client tells.
        lost: slots of the caller whose packet never comes.
        swapped: whether the streams have each other's labels.
        key_slot: where the key is recorded; None for nowhere.
    """

    directory: Path
    documents: Sequence[tuple[float, str, str]] = field(default_factory=lambda: documents(Ids()))
    lost: frozenset[int] = frozenset()
    swapped: bool = False
    key_slot: int | None = KEY_SLOT

    def result(self) -> SessionResult:
        """Play the call."""
        store = SessionStore.open(self.directory, "call")
        for number, (at, message, text) in enumerate(self.documents, 1):
            entry = MetadataEntry(number, BEGIN + timedelta(seconds=at), message, "complete", True, (), None)
            store.keep_document(text.encode(), entry)
        store.keep_message(BEGIN, "received", b"INVITE sip:rec@127.0.0.4 SIP/2.0\r\n\r\n")
        tracks = [self._track(store, channel) for channel in (0, 1)]
        return store.finish(self._facts(), [FinishedTrack(track) for track in tracks])

    def _track(self, store: SessionStore, channel: int) -> Track:
        track = Track(channel + 1, partial(store.write, channel + 1), keep=True)
        track.label = str(2 - channel if self.swapped else channel + 1)
        track.open("PCMU", 0, 101)
        frames = {frame.position: frame.payload for frame in said(channel)}
        sequence = 0
        # The recording begins before anybody speaks, the callee's stream a little later than the caller's.
        for slot in range(-5 + channel, FRAMES + 3):
            position, at = 7_000 + slot * FRAME, LOOP_BEGIN + 1.201 + slot * 0.02
            packets = [(0, frames.get(position, b"\xff" * FRAME))]
            if channel == 0 and slot == self.key_slot:
                packets.append((101, event_payload("5", 5 * FRAME, end=True)))
            for payload_type, payload in packets:
                if channel or slot not in self.lost:
                    timestamp = 900 * (channel + 1) + position
                    track.receive(RtpPacket(payload_type, sequence, timestamp, channel + 1, payload), at)
                sequence += 1
        track.finish()
        return track

    def _facts(self) -> Facts:
        return Facts(
            call_id="call",
            peer="127.0.0.1:5060",
            ending="the client said BYE",
            wanted_end=True,
            ended_by_recorder=True,
            invite_status=200,
            began_at=BEGIN,
            headers=(("X-Call-Ref", "0192"),),
            parties=(Participant("id", "sip:a@b", "", ("1",), (), gone=True),),
            metadata_ended=True,
        )
