"""The media of a recording: what the engine is told, and what it tells the sessions."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from sidestream._media import MediaError
from sidestream.call.side import Side
from sidestream.gateway.media import Media
from sidestream.gateway.names import Names
from sidestream.gateway.recording_media import MediaNews, RecordingMedia
from sidestream.gateway.recording_plan import recording_spec
from sidestream.observe.logging import logger
from sidestream.sdp.crypto import CryptoSuite, KeyMaterial, SrtpKeys
from sidestream.sdp.negotiate import MediaAddress, NegotiatedCodec
from sidestream.siprec.commands import StartMedia, StopMedia
from sidestream.siprec.events import FirstPacketSent, MediaFailed, PeerLost
from sidestream.siprec.offer import StreamResult, StreamState
from unit.gateway.fake_engine import FakeEngine
from unit.gateway.fake_gateway import lookup
from unit.gateway.fake_recorder import recording
from unit.gateway.test_recording_plan import integration

pytestmark = pytest.mark.asyncio

PCMU = NegotiatedCodec("PCMU", 8000, 1, 0, 0, None)
FIRST = StreamResult("1", StreamState.ACCEPTED, MediaAddress("192.0.2.41", 7000, 7001), PCMU)
NAMED = replace(FIRST, remote=MediaAddress("media.example", 7000, 7001))


class Copies:
    """The copies of one recording on a fake engine."""

    def __init__(self, count: int = 1) -> None:
        self.fake = FakeEngine()
        self.media = Media(self.fake.engine)
        self.news: list[MediaNews] = []
        self.closed = 0
        self.copies = RecordingMedia(
            self.media,
            Names(lookup),
            "192.0.2.10",
            tell=self.news.append,
            guard=lambda step: step(),
            in_turn=lambda step: step(),
            log=logger(),
        )
        legs = self.media.open_call()
        spec = recording_spec("id", dict.fromkeys(Side, "name"), integration(recording()), 1)
        self.ports = self.copies.open(legs, [spec] * count)

    def tell(self, **event: object) -> None:
        self.fake.tell(**event)
        self.media.take_events()

    def on_closed(self) -> None:
        self.closed += 1

    def sent(self) -> list[tuple[str, bool, str | None]]:
        orders = [each for order in self.fake.all_of("set_recording") for each in order["streams"]]
        return [(each["label"], each["on"], each["remote"] and each["remote"]["host"]) for each in orders]


async def test_streams_start_and_stop_where_they_were() -> None:
    copies = Copies()
    assert copies.ports == [[30000, 30002]]
    copies.copies.start(StartMedia(7, 0, (FIRST,)))
    copies.copies.stop(StopMedia(7, 0, ("1", "2")))
    assert copies.sent() == [
        ("1", True, "192.0.2.41"),
        ("1", False, "192.0.2.41"),
        ("2", False, None),
    ]


async def test_a_session_that_was_replaced_stops_nothing() -> None:
    copies = Copies()
    copies.copies.start(StartMedia(7, 0, (FIRST,)))
    copies.copies.start(StartMedia(8, 0, (FIRST,)))
    copies.copies.stop(StopMedia(7, 0, ("1",)))
    assert [on for _, on, _ in copies.sent()] == [True, True]


async def test_an_address_that_is_a_name_is_looked_up_first() -> None:
    copies = Copies()
    copies.copies.start(StartMedia(7, 0, (NAMED,)))
    assert copies.sent() == []
    await asyncio.sleep(0.01)
    assert copies.sent() == [("1", True, "203.0.113.9")]


async def test_a_name_that_is_found_too_late_starts_nothing() -> None:
    copies = Copies()
    copies.copies.start(StartMedia(7, 0, (NAMED,)))
    copies.copies.stop(StopMedia(7, 0, ("1",)))
    await asyncio.sleep(0.01)
    assert [on for _, on, _ in copies.sent()] == [False]


async def test_a_name_that_does_not_resolve_fails_the_session() -> None:
    copies = Copies()
    nowhere = replace(FIRST, remote=MediaAddress("nowhere.example", 7000, 7001))
    copies.copies.start(StartMedia(7, 0, (nowhere,)))
    await asyncio.sleep(0.01)
    (news,) = copies.news
    assert isinstance(news, MediaFailed)
    assert (news.session, "nowhere.example" in news.detail) == (7, True)


async def test_every_copy_is_paused_at_once_and_closed_ones_are_left_alone() -> None:
    copies = Copies(3)
    copies.copies.close(2)
    copies.copies.pause()
    copies.copies.resume()
    assert copies.fake.all_of("pause_recording") == [True, True, False, False]


async def test_what_the_engine_tells_is_the_sessions_that_it_sends_for() -> None:
    copies = Copies()
    copies.copies.start(StartMedia(7, 0, (FIRST,)))
    copies.tell(event="recording_first_packet", recording=2, label="1", afterSetMs=1, afterStartMs=2)
    copies.tell(event="recording_unreachable", recording=2, label="1", detail="refused")
    copies.tell(event="recording_codec_unsupported", recording=2, label="1")
    copies.tell(event="recording_stats", recording=2, streams=[])
    assert copies.news == [FirstPacketSent(7), PeerLost(7, "nobody takes the media: refused")]


async def test_what_waits_its_turn_is_the_former_sessions_when_the_streams_have_moved_on() -> None:
    copies = Copies()
    waiting: list[Callable[[], None]] = []
    copies.copies._in_turn = waiting.append
    copies.copies.start(StartMedia(7, 0, (FIRST,)))
    before = time.monotonic()
    copies.tell(event="recording_unreachable", recording=2, label="2", detail="refused")
    noticed = time.monotonic()
    copies.copies.start(StartMedia(8, 0, (FIRST,)))
    for step in waiting:
        step()
    (lost,) = copies.news
    assert isinstance(lost, PeerLost)
    assert lost.session == 7, "the recorder that took over was given up"
    assert lost.noticed_at is not None
    assert before <= lost.noticed_at <= noticed


async def test_an_engine_that_loses_a_copy_fails_its_session() -> None:
    copies = Copies()
    copies.copies.start(StartMedia(7, 0, (FIRST,)))
    copies.tell(event="recording_closed", recording=2, streams=[], failure="a panic")
    assert copies.news == [MediaFailed(7, "the media engine lost the recording: a panic")]
    copies.copies.start(StartMedia(8, 0, (FIRST,)))
    assert len(copies.sent()) == 1


async def test_an_order_that_is_refused_fails_its_session() -> None:
    copies = Copies()
    error = MediaError("no such family")
    error.kind = "bad_spec"
    copies.fake.refuse["set_recording"] = error
    copies.copies.start(StartMedia(7, 0, (FIRST,)))
    assert copies.news == [MediaFailed(7, "the media engine refused an order: no such family")]


async def test_copies_are_closed_once_and_confirmed() -> None:
    copies = Copies(2)
    copies.copies.close(0)
    copies.copies.close_all(copies.on_closed)
    copies.copies.close_all(copies.on_closed)
    assert copies.fake.verbs.count("close_recording") == 2
    for handle in (2, 3):
        assert not copies.copies.all_closed
        copies.tell(event="recording_closed", recording=handle, streams=[], failure=None)
    assert (copies.copies.all_closed, copies.closed, copies.news) == (True, 2, [])
    assert set(copies.copies.closed()) == {0, 1}


async def test_a_copy_that_cannot_be_opened_leaves_none_open() -> None:
    copies = Copies()
    error = MediaError("no ports")
    error.kind = "ports_exhausted"
    copies.fake.refuse["open_recording"] = error
    spec = recording_spec("id", dict.fromkeys(Side, "name"), integration(recording()), 1)
    with pytest.raises(MediaError):
        copies.copies.open(copies.media.open_call(), [spec])
    assert copies.fake.verbs.count("close_recording") == 1


async def test_an_engine_that_has_let_go_before_is_no_error() -> None:
    copies = Copies()
    error = MediaError("unknown handle")
    error.kind = "unknown_handle"
    copies.fake.refuse["close_recording"] = error
    copies.copies.close(0)
    assert copies.news == []


async def test_nothing_leaves_unprotected_once_srtp_is_required() -> None:
    copies = Copies()
    key = KeyMaterial(CryptoSuite.AEAD_AES_128_GCM, b"k" * 28)
    secure = replace(FIRST, srtp=SrtpKeys(key, key))
    copies.copies.start(StartMedia(7, 0, (FIRST,)))
    copies.copies.require_srtp()
    copies.copies.start(StartMedia(7, 0, (FIRST,)))
    copies.copies.start(StartMedia(7, 0, (secure,)))
    orders = [each for order in copies.fake.all_of("set_recording") for each in order["streams"]]
    assert [(each["on"], each["srtp"] is not None) for each in orders] == [
        (True, False),
        (False, False),
        (False, False),
        (True, True),
    ]
