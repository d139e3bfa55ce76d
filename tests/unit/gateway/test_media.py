from base64 import b64encode

from sidestream.call.commands import UpdateLegMedia
from sidestream.call.side import Side
from sidestream.gateway.engine_messages import (
    CallClosed,
    EngineEvent,
    RecordedStream,
    RecordingCodec,
    RecordingSpec,
    RecordingStreamTarget,
    RecordingTarget,
    RemoteAddress,
    StreamSpec,
    srtp_of,
)
from sidestream.gateway.media import Media, read_metrics
from sidestream.observe import metrics
from sidestream.sdp.crypto import CryptoSuite, KeyMaterial, SrtpKeys
from sidestream.sdp.negotiate import MediaAddress, NegotiatedCodec
from unit.gateway.fake_engine import FakeEngine

SPEC = StreamSpec(
    stream_id="s",
    encoding="PCMU",
    sample_rate=8000,
    frame_ms=20,
    layout="separate",
    channels=[],
    started_at_unix_ms=0,
    start_ns=0,
)


def test_events_reach_the_listener_of_their_call_or_stream_until_the_last() -> None:
    fake = FakeEngine()
    media = Media(fake.engine)
    call, heard = media.open_call(), list[EngineEvent]()
    media.listen_to_call(call, heard.append)
    stream = media.open_stream(call, SPEC, heard.append)
    fake.tell(event="text", stream=stream, text="hello")
    fake.tell(event="text", stream=stream + 7, text="nobody's")
    fake.tell(event="media_timeout", call=call.handle, idleMs=5)
    fake.tell(event="call_closed", call=call.handle, sides=[])
    fake.tell(event="media_timeout", call=call.handle, idleMs=6)
    media.take_events()
    assert [type(event).__name__ for event in heard] == ["StreamText", "MediaTimeout", "CallClosed"]
    media.forget_stream(stream)
    fake.tell(event="text", stream=stream, text="late")
    media.take_events()
    assert isinstance(heard[-1], CallClosed)


def test_what_cannot_be_read_is_survived() -> None:
    fake = FakeEngine()
    media = Media(fake.engine)
    fake.tell(event="from the future")
    media.take_events()
    fake.tell(event="media_timeout", call=1, idleMs=5)
    heard: list[object] = []
    media.listen_to_call(media.open_call(), heard.append)
    media.take_events()
    assert len(heard) == 1


def test_a_leg_is_told_as_it_was_agreed() -> None:
    fake = FakeEngine()
    media = Media(fake.engine)
    call = media.open_call()
    codec = NegotiatedCodec("PCMA", 8000, 1, 8, 98, None)
    media.set_leg(call, UpdateLegMedia(Side.B, MediaAddress("192.0.2.1", 4000, 4001), (codec,), 30, True))
    media.set_leg(call, UpdateLegMedia(Side.A, None, (), 20, False))
    first, second = fake.all_of("set_leg")
    assert first == {
        "side": "b",
        "remote": {"host": "192.0.2.1", "rtpPort": 4000, "rtcpPort": 4001},
        "codecs": [{"name": "PCMA", "clockRate": 8000, "channels": 1, "localPt": 8, "remotePt": 98}],
        "ptimeMs": 30,
        "held": True,
        "srtp": None,
    }
    assert second["remote"] is None


def test_a_leg_is_told_its_keys_and_no_key_is_ever_shown() -> None:
    fake = FakeEngine()
    media = Media(fake.engine)
    ours = KeyMaterial(CryptoSuite.AEAD_AES_128_GCM, b"\x01" * 28)
    theirs = KeyMaterial(CryptoSuite.AES_CM_128_HMAC_SHA1_80, b"\x02" * 30, 2**31)
    update = UpdateLegMedia(Side.A, None, (), 20, False, SrtpKeys(ours, theirs))
    media.set_leg(media.open_call(), update)
    (spec,) = fake.all_of("set_leg")
    assert spec["srtp"] == {
        "send": {"suite": "AEAD_AES_128_GCM", "keySalt": b64encode(b"\x01" * 28).decode(), "lifetime": None},
        "receive": {
            "suite": "AES_CM_128_HMAC_SHA1_80",
            "keySalt": b64encode(b"\x02" * 30).decode(),
            "lifetime": 2**31,
        },
    }
    shown = repr(update) + repr(srtp_of(update.srtp))
    for material in (ours, theirs):
        assert b64encode(material.key_salt).decode() not in shown
        assert repr(material.key_salt) not in shown


def test_a_recording_is_ordered_and_told_until_its_end() -> None:
    fake = FakeEngine()
    media, heard = Media(fake.engine), list[EngineEvent]()
    call = media.open_call()
    streams = [RecordedStream(label="1", side="a", cname="x"), RecordedStream(label="2", side="b", cname="y")]
    spec = RecordingSpec(recording_id="r", streams=streams, dtmf="relay", start_ns=5)
    recording, ports = media.open_recording(call, spec, heard.append)
    assert ports == [30000, 30002]
    target = RecordingStreamTarget(
        label="1",
        remote=RemoteAddress(host="127.0.0.1", rtp_port=4000, rtcp_port=4001),
        on=True,
        codec=RecordingCodec(name="PCMA", payload_type=8, clock_rate=8000),
    )
    media.set_recording(recording, RecordingTarget(streams=[target]))
    media.pause_recording(recording, on=True)
    media.query_recording(recording)
    media.close_recording(recording)
    assert fake.verbs[-4:] == ["set_recording", "pause_recording", "query_recording", "close_recording"]
    assert fake.all_of("set_recording") == [
        {
            "streams": [
                {
                    "label": "1",
                    "remote": {"host": "127.0.0.1", "rtpPort": 4000, "rtcpPort": 4001},
                    "on": True,
                    "codec": {"name": "PCMA", "payloadType": 8, "clockRate": 8000, "channels": 1},
                    "eventPayloadType": None,
                    "ptimeMs": 20,
                    "srtp": None,
                }
            ]
        }
    ]
    first = {"recording": recording, "label": "1", "afterSetMs": 1, "afterStartMs": 9}
    fake.tell(event="recording_first_packet", **first)
    fake.tell(event="recording_closed", recording=recording, streams=[], failure=None)
    fake.tell(event="recording_first_packet", **first)
    media.take_events()
    assert [type(event).__name__ for event in heard] == ["RecordingFirstPacket", "RecordingClosed"]


def test_totals_become_metrics() -> None:
    readings = read_metrics(Media(FakeEngine().engine).totals())
    assert readings[metrics.MEDIA_PORTS_IN_USE] == 7
    assert all(metric.live for metric in readings)
