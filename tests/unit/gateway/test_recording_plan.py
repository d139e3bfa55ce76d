"""What recordings are made from: pure functions of configuration and call."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sidestream.call.commands import UpdateLegMedia
from sidestream.call.facts import Participant, Role
from sidestream.call.participants import callee_of, caller_of
from sidestream.call.side import Side
from sidestream.call.verdict import Slug, verdict
from sidestream.config import parse
from sidestream.config.model import SiprecIntegration
from sidestream.config.values import Dtmf
from sidestream.gateway.recording_plan import (
    RecordingChoice,
    choose_recordings,
    group_of,
    ledger_of,
    party_of,
    reason_of,
    recording_spec,
    sources_of,
    stream_codec,
    stream_target,
    x_headers_of,
)
from sidestream.gateway.stream_plan import CallFacts
from sidestream.sdp.negotiate import MediaAddress, NegotiatedCodec
from sidestream.siprec.body import MetadataType
from sidestream.siprec.ledger import View
from sidestream.siprec.metadata import DataMode, Reason
from sidestream.siprec.offer import FALLBACKS, StreamResult, StreamState
from unit.gateway.fake_recorder import recording
from unit.gateway.samples import TEXT, configuration, request

AT = datetime(2026, 3, 3, 9, 15, tzinfo=UTC)
PCMU = NegotiatedCodec("PCMU", 8000, 1, 0, 0, None)
G722 = NegotiatedCodec("G722", 8000, 1, 9, 9, None)
OPUS = NegotiatedCodec("opus", 48000, 2, 111, 96, "useinbandfec=1")
EVENT = NegotiatedCodec("telephone-event", 8000, 1, 101, 96, "0-15")
WIDE = NegotiatedCodec("telephone-event", 48000, 1, 110, 97, "0-15")


def integration(text: str) -> SiprecIntegration:
    service = configuration(stream=text).accounts[0].service("desk")
    assert service is not None
    (found,) = service.recordings
    return found


def choice(text: str = "") -> RecordingChoice:
    return RecordingChoice(integration=integration(text or recording()), service="desk", direction="inbound")


def facts(**headers: str) -> CallFacts:
    invite = request()
    for name, value in headers.items():
        invite.headers.set(name.replace("_", "-"), value)
    return CallFacts(
        node="gw",
        version="1",
        call_id="call",
        account="acme",
        sip_call_id="x",
        traceparent="t",
        caller=caller_of(invite),
        callee=callee_of(invite),
        invite=invite.headers,
    )


def leg(*codecs: NegotiatedCodec, side: Side = Side.A) -> UpdateLegMedia:
    return UpdateLegMedia(side, None, codecs, 20, False)


def test_both_services_record_and_the_same_integration_once() -> None:
    text = TEXT.format(max_calls=10, rate=10, desk_calls="unlimited", stream=recording())
    text = text.replace("kind: carrier", f"kind: contact_center\n        integrations: [{recording()}]")
    account = parse(text.encode(), "test.yaml", Path("/"), {}).accounts[0]
    carrier, desk = account.service("carrier"), account.service("desk")
    assert carrier is not None
    assert desk is not None
    assert [(each.service, each.direction) for each in choose_recordings(carrier, desk)] == [
        ("desk", "inbound")
    ]
    other = replace(carrier, integrations=(replace(desk.recordings[0], name="other"),))
    both = choose_recordings(other, desk)
    assert [(each.service, each.direction) for each in both] == [("desk", "inbound"), ("carrier", "outbound")]


def test_servers_are_spoken_to_as_they_are_configured() -> None:
    servers = (
        '[{uri: "sip:192.0.2.1", metadata_type: application/rs-metadata, metadata: partial, update: false, '
        'metadata_in_bye: true, session_expires: 10m, weight: 3}, {uri: "sip:192.0.2.2;transport=udp", '
        "session_expires: off, priority: 2}]"
    )
    settings = "strategy: round_robin, setup_deadline: 2s, retry: off"
    text = f"{{name: keep, type: siprec, servers: {servers}, {settings}}}"
    group = group_of(integration(text), lambda: 0.0)
    first, second = group.servers
    assert (first.uri, second.uri) == ("sip:192.0.2.1;transport=tcp", "sip:192.0.2.2;transport=udp")
    profile = first.profile
    assert (profile.metadata_type, profile.mode) == (MetadataType.PLAIN, DataMode.PARTIAL)
    assert (profile.update, profile.metadata_in_bye, profile.session_expires_s) == (False, True, 600)
    assert second.profile.session_expires_s is None
    assert (first.weight, second.priority) == (3, 2)
    policy = group.policy
    assert (policy.strategy, policy.setup_deadline_s, policy.retry_s) == ("round_robin", 2.0, None)
    assert policy.stop_codes == {403, 603}


def test_headers_are_filled_with_the_call() -> None:
    chosen = choice(recording(x_headers='{X-Call: "{call.id}", X-Queue: "{sip.header.X-Queue}"}'))
    assert x_headers_of(facts(), chosen) == (("X-Call", "call"), ("X-Queue", "gold"))


@pytest.mark.parametrize(
    ("spoken", "told"),
    [
        ("ab" * 16, ("ab" * 16,)),
        (f"{'ab' * 16};remote={'0' * 32}", (f"{'ab' * 16};remote={'0' * 32}",)),
        ("call-1@192.0.2.1", ()),
    ],
)
def test_a_session_id_is_told_when_it_is_one(spoken: str, told: tuple[str, ...]) -> None:
    ledger = ledger_of(facts(Session_ID=spoken), choice(), AT)
    (session,) = ledger.document(View(associated_at=AT)).sessions
    assert session.sip_session_ids == told


@pytest.mark.parametrize(
    ("uri", "aor"),
    [
        ("sip:+15551234@192.0.2.1:5080;user=phone;transport=tcp", "sip:+15551234@192.0.2.1:5080"),
        ("sips:200@pbx.example?subject=x", "sips:200@pbx.example"),
        ("tel:+15551234;ext=5", "tel:+15551234;ext=5"),
    ],
)
def test_an_address_of_record_has_no_parameters(uri: str, aor: str) -> None:
    assert party_of(Participant("caller", Role.CALLER, Side.A, uri, "", "Ada")).aor == aor


@pytest.mark.parametrize(
    ("slug", "reason"),
    [
        (Slug.CALLER_HUNG_UP, Reason(16, "Normal call clearing", "Q.850")),
        (Slug.MAX_DURATION, Reason(102, "Maximum call duration reached", "Q.850")),
        (Slug.SHUTDOWN, Reason(503, "Gateway shutting down", "SIP")),
        (Slug.BUSY, Reason(486, "The callee was busy.", "SIP")),
    ],
)
def test_the_reason_of_an_end_is_told_in_its_protocol(slug: Slug, reason: Reason) -> None:
    assert reason_of(verdict(slug)) == reason


def test_what_a_leg_sends_is_offered_with_what_it_can_be_made_into() -> None:
    codec = stream_codec(leg(PCMU, G722, EVENT), Dtmf.RELAY)
    assert codec is not None
    assert (codec.codec.name, codec.fallbacks) == ("PCMU", FALLBACKS)
    assert codec.event is not None
    assert codec.event.payload_type == 101
    assert stream_codec(leg(), Dtmf.RELAY) is None
    suppressed = stream_codec(leg(PCMU, EVENT), Dtmf.SUPPRESS)
    assert suppressed is not None
    assert suppressed.event is None


def test_a_codec_that_is_not_decoded_is_offered_alone_and_with_key_presses_of_its_clock() -> None:
    codec = stream_codec(leg(OPUS, EVENT, WIDE, side=Side.B), Dtmf.RELAY)
    assert codec is not None
    assert (codec.label, codec.fallbacks, codec.codec.fmtp) == ("2", (), "useinbandfec=1")
    assert codec.event is not None
    assert codec.event.clock_rate == 48000


def test_before_the_answer_g711_is_offered() -> None:
    first, second = sources_of("192.0.2.10", [30000, 30002], {}, Dtmf.RELAY)
    assert (first.label, first.codec, first.local) == ("1", None, MediaAddress("192.0.2.10", 30000, 30001))
    assert (second.label, second.local.rtp_port) == ("2", 30002)
    assert first.event is not None
    (silent, _) = sources_of("192.0.2.10", [30000, 30002], {}, Dtmf.SUPPRESS)
    assert silent.event is None


def test_a_copy_is_opened_with_both_sides() -> None:
    spec = recording_spec("id", {Side.A: "ca", Side.B: "cb"}, integration(recording(early="500ms")), 7)
    assert [(each.label, each.side, each.cname) for each in spec.streams] == [
        ("1", "a", "ca"),
        ("2", "b", "cb"),
    ]
    assert (spec.dtmf, spec.early_ms, spec.start_ns) == ("relay", 500, 7)


def test_an_agreement_becomes_an_order_of_the_engine() -> None:
    agreed = StreamResult(
        "1", StreamState.ACCEPTED, MediaAddress("192.0.2.41", 7000, 7001), PCMU, EVENT, (PCMU, EVENT), 30
    )
    target = stream_target(agreed, "192.0.2.41")
    assert (target.on, target.ptime_ms, target.event_payload_type) == (True, 30, 96)
    assert target.codec is not None
    assert (target.codec.name, target.codec.payload_type) == ("PCMU", 0)
    for nothing in (
        stream_target(agreed, None),
        stream_target(replace(agreed, state=StreamState.WAITING), "192.0.2.41"),
        stream_target(replace(agreed, codec=None), "192.0.2.41"),
    ):
        assert (nothing.on, nothing.remote, nothing.codec) == (False, None, None)
