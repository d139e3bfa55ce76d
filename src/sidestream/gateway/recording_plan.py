"""Which recordings a call has, and what each is made from: pure functions from configuration and call."""

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from sidestream.call.commands import UpdateLegMedia
from sidestream.call.facts import Participant
from sidestream.call.side import Side
from sidestream.call.verdict import RULES, ResultClass, Verdict
from sidestream.config.model import RecordingServer, SiprecIntegration, VoiceService
from sidestream.config.values import Dtmf, OnLoss, Policy, RecordingSrtp, Srtp, Strategy, milliseconds
from sidestream.gateway.engine_messages import (
    RecordedStream,
    RecordingCodec,
    RecordingSpec,
    RecordingStreamTarget,
    RemoteAddress,
    srtp_of,
)
from sidestream.gateway.ids import new_token
from sidestream.gateway.stream_plan import CallFacts, template_values
from sidestream.sdp.codecs import OFFERABLE, Codec
from sidestream.sdp.negotiate import MediaAddress, NegotiatedCodec
from sidestream.sip.digest_client import DigestClient
from sidestream.sip.errors import ParseError
from sidestream.sip.secure import is_secure
from sidestream.sip.uri import OpaqueUri, parse_uri
from sidestream.siprec.body import MetadataType
from sidestream.siprec.events import StreamCodec
from sidestream.siprec.group import GroupPolicy, ServerGroup
from sidestream.siprec.ledger import LABELS, Ledger, LedgerSetup, Party
from sidestream.siprec.metadata import DataMode, Reason
from sidestream.siprec.offer import FALLBACKS, StreamResult, StreamSource, StreamState
from sidestream.siprec.profile import Server, ServerProfile
from sidestream.stream.messages import Direction

LABEL_OF: Final[Mapping[Side, str]] = {Side.A: LABELS["a"], Side.B: LABELS["b"]}
"""The label (RFC 4574) of each side's stream."""

SIDE_NAMES: Final[Mapping[Side, Literal["a", "b"]]] = {Side.A: "a", Side.B: "b"}

TRANSCODED: Final = frozenset({"PCMU", "PCMA", "L16"})
"""What the media engine can make G.711 of."""

_SESSION_ID: Final = re.compile(r"[0-9a-f]{32}(?:;remote=[0-9a-f]{32})?\Z", re.IGNORECASE)
_REASON: Final = re.compile(r'(?P<protocol>[\w.]+);cause=(?P<cause>\d{1,5})(?:;text="(?P<text>[^"]*)")?')
_CLEARED: Final = Reason(cause=16, text="Normal call clearing", protocol="Q.850")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingChoice:
    """An integration that records a call."""

    integration: SiprecIntegration
    service: str
    """The voice service that has it."""
    direction: Direction
    """Of the call, as that service sees it."""
    srtp_due: bool = False
    """Whether a trunk of the call carries SRTP only, so that the call is not recorded otherwise."""

    @property
    def is_secure(self) -> bool:
        """Whether its recording is SRTP from the begin."""
        return self.integration.srtp is RecordingSrtp.REQUIRED or (self.follows_srtp and self.srtp_due)

    @property
    def follows_srtp(self) -> bool:
        """Whether a call with SRTP is recorded by SRTP."""
        return self.integration.srtp is RecordingSrtp.CALL

    @property
    def mandatory(self) -> bool:
        """Whether the call is not carried without it."""
        return self.integration.policy is Policy.MANDATORY


def choose_recordings(caller: VoiceService, callee: VoiceService) -> list[RecordingChoice]:
    """Return the integrations of both services of a call; one that is the same on both counts once.

    Args:
        caller: the service that the call comes from.
        callee: the service that it goes to.
    """
    trunks = [service.trunk for service in (caller, callee) if service.trunk is not None]
    srtp_due = any(trunk.srtp is Srtp.REQUIRED for trunk in trunks)
    chosen = [
        RecordingChoice(integration=each, service=callee.name, direction="inbound", srtp_due=srtp_due)
        for each in callee.recordings
    ]
    known = [choice.integration for choice in chosen]
    chosen += [
        RecordingChoice(integration=each, service=caller.name, direction="outbound", srtp_due=srtp_due)
        for each in caller.recordings
        if each not in known
    ]
    return chosen


# --- servers -----------------------------------------------------------------------------------------------


def group_of(integration: SiprecIntegration, chance: Callable[[], float]) -> ServerGroup:
    """Return the group of an integration's servers, of which nothing is known yet.

    Args:
        integration: what is configured.
        chance: gives a random number from 0 up to 1.
    """
    policy = GroupPolicy(
        strategy="round_robin" if integration.strategy is Strategy.ROUND_ROBIN else "hunt",
        setup_deadline_s=integration.setup_deadline,
        stop_codes=frozenset(integration.stop_codes),
        probe_s=integration.options_ping or 0.0,
        retry_s=integration.retry,
    )
    return ServerGroup(tuple(_server(each) for each in integration.servers), policy, chance)


def _server(server: RecordingServer) -> Server:
    profile = ServerProfile(
        metadata_type=MetadataType(server.metadata_type.value),
        mode=DataMode(server.metadata.value),
        update=server.update,
        session_expires_s=None if server.session_expires is None else round(server.session_expires),
        metadata_in_bye=server.metadata_in_bye,
    )
    auth = server.auth
    return Server(
        uri=server_uri(server),
        priority=server.priority,
        weight=server.weight,
        profile=profile,
        auth=None
        if auth is None
        else DigestClient(auth.username, auth.password.reveal(), auth.realm, new_token),
    )


def server_uri(server: RecordingServer) -> str:
    """Return a server's URI with the transport that it is reached by."""
    uri = server.uri
    named = ";transport=" in uri.text.lower() or is_secure(uri.text)
    return uri.text if named or uri.transport == "udp" else f"{uri.text};transport={uri.transport}"


def on_loss_of(integration: SiprecIntegration) -> Literal["continue", "warn", "hang_up"]:
    """Return what the loss of a recording means for its call."""
    match integration.on_loss:
        case OnLoss.WARN:
            return "warn"
        case OnLoss.HANG_UP:
            return "hang_up"
        case _:
            return "continue"


def x_headers_of(call: CallFacts, choice: RecordingChoice) -> tuple[tuple[str, str], ...]:
    """Return the headers of a recording session, filled with the facts of the call."""
    values = template_values(call, choice)
    return tuple((name, text.render(values)) for name, text in choice.integration.x_headers)


# --- the call as the metadata tells it ---------------------------------------------------------------------


def party_of(participant: Participant) -> Party:
    """Return a participant as the metadata names it: by an address without parameters (RFC 3261 10.3)."""
    try:
        uri = parse_uri(participant.uri)
    except ParseError:
        return Party(participant.uri, participant.display_name)
    plain = uri if isinstance(uri, OpaqueUri) else replace(uri, params={}, headers="")
    return Party(str(plain), participant.display_name)


def ledger_of(call: CallFacts, choice: RecordingChoice, started_at: datetime) -> Ledger:
    """Return the ledger of one recording: a call that has begun and is not answered."""
    spoken = (value.strip() for value in call.invite.get_all("Session-ID"))
    setup = LedgerSetup(
        started_at=started_at,
        caller=party_of(call.caller),
        callee=party_of(call.callee),
        call_id=call.call_id,
        sip_call_id=call.sip_call_id,
        sip_session_ids=tuple(value for value in spoken if _SESSION_ID.match(value)),
        account=call.account,
        voice_service=choice.service,
        direction=choice.direction,
        random=secrets.token_bytes,
    )
    return Ledger(setup)


def reason_of(ending: Verdict) -> Reason:
    """Return why a call ended, as the metadata says it (RFC 3326, ITU-T Q.850)."""
    if ending.result is ResultClass.COMPLETED:
        return _CLEARED
    known = _REASON.match(RULES[ending.slug].reason or "")
    if known is not None:
        return Reason(cause=int(known["cause"]), text=known["text"] or "", protocol=known["protocol"])
    return Reason(cause=ending.sip_status, text=RULES[ending.slug].sentence)


# --- media -------------------------------------------------------------------------------------------------


def stream_codec(update: UpdateLegMedia, dtmf: Dtmf) -> StreamCodec | None:
    """Return what a leg's party sends; None when nothing was agreed with it."""
    if not update.codecs:
        return None
    used = update.codecs[0]
    return StreamCodec(
        LABEL_OF[update.side], _as_offered(used), _event(update.codecs, dtmf), _fallbacks(used)
    )


def _as_offered(codec: NegotiatedCodec) -> Codec:
    return Codec(codec.name, codec.clock_rate, codec.channels, codec.local_pt, codec.fmtp)


def _event(codecs: Sequence[NegotiatedCodec], dtmf: Dtmf) -> Codec | None:
    """The key presses that go with the codec in use (RFC 4733 section 2.5.1.1)."""
    if dtmf is Dtmf.SUPPRESS:
        return None
    named = (each for each in codecs if each.name.upper() == "TELEPHONE-EVENT")
    found = next((each for each in named if each.clock_rate == codecs[0].clock_rate), None)
    return None if found is None else _as_offered(found)


def _fallbacks(codec: NegotiatedCodec) -> tuple[str, ...]:
    return FALLBACKS if codec.name.upper() in TRANSCODED else ()


def recording_spec(
    recording_id: str, cnames: Mapping[Side, str], integration: SiprecIntegration, start_ns: int
) -> RecordingSpec:
    """Return the order that opens one copy in the engine.

    Args:
        recording_id: for diagnostics.
        cnames: canonical name of each side, the same in all copies.
        integration: what is configured.
        start_ns: CLOCK_MONOTONIC of the recording's zero, the same for all copies.
    """
    return RecordingSpec(
        recording_id=recording_id,
        streams=[
            RecordedStream(label=LABEL_OF[side], side=SIDE_NAMES[side], cname=cnames[side]) for side in Side
        ],
        dtmf="suppress" if integration.dtmf is Dtmf.SUPPRESS else "relay",
        start_ns=start_ns,
        early_ms=milliseconds(integration.early),
    )


def sources_of(
    host: str, ports: Sequence[int], codecs: Mapping[Side, StreamCodec], dtmf: Dtmf, *, secure: bool = False
) -> tuple[StreamSource, ...]:
    """Return the streams of one copy as they are offered.

    Args:
        host: our address in descriptions.
        ports: RTP port of each side, in the order of `Side`.
        codecs: what is known of the codecs; before the answer that is nothing, and G.711 is offered.
        dtmf: whether key presses are relayed.
        secure: whether they are sent by SRTP only.
    """
    sources = []
    unknown = OFFERABLE["TELEPHONE-EVENT"] if dtmf is Dtmf.RELAY else None
    for side, port in zip(Side, ports, strict=True):
        local = MediaAddress(host, port, port + 1)
        source = StreamSource(LABEL_OF[side], local, event=unknown, secure=secure)
        codec = codecs.get(side)
        sources.append(source if codec is None else codec.within(source))
    return tuple(sources)


def stream_target(result: StreamResult, host: str | None) -> RecordingStreamTarget:
    """Return the order that has a stream sent as agreed.

    Args:
        result: what was agreed.
        host: IP address of where the recorder wants it; None: nothing is sent.
    """
    remote, codec = result.remote, result.codec
    if result.state is not StreamState.ACCEPTED or remote is None or codec is None or host is None:
        return silent_target(result.label)
    return RecordingStreamTarget(
        label=result.label,
        remote=RemoteAddress(host=host, rtp_port=remote.rtp_port, rtcp_port=remote.rtcp_port),
        on=True,
        codec=RecordingCodec(
            name=codec.name,
            payload_type=codec.remote_pt,
            clock_rate=codec.clock_rate,
            channels=codec.channels,
        ),
        event_payload_type=result.event.remote_pt if result.event is not None else None,
        ptime_ms=result.ptime_ms,
        srtp=srtp_of(result.srtp),
    )


def silent_target(label: str) -> RecordingStreamTarget:
    """Return the order that has a stream sent no more; its clock runs on."""
    return RecordingStreamTarget(label=label, remote=None, on=False, codec=None)
