"""Which streams a call has, and what each tells its endpoint: pure functions from configuration and call."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol

from sidestream.call.facts import HeaderList, Participant
from sidestream.call.side import Side
from sidestream.config.model import MediaStreamIntegration, VoiceService
from sidestream.config.templates import HEADER_PREFIX
from sidestream.config.values import Encoding, Layout, milliseconds
from sidestream.gateway.engine_messages import ChannelSpec, ConnectAttempt, StreamSpec
from sidestream.sdp.negotiate import NegotiatedCodec
from sidestream.sip.message import Headers
from sidestream.stream import messages
from sidestream.stream.messages import Connect, Direction, MediaFormat, Start, rfc3339
from sidestream.stream.upgrade import Credentials, Endpoint, UpgradeFacts, upgrade_headers

CHANNELS: Final[Mapping[Side, int]] = {Side.A: 0, Side.B: 1}
"""Stream protocol section 3: the caller is channel 0."""

_L16_RATES: Final = frozenset({8000, 16000, 24000, 48000})

EngineEncoding = Literal["PCMU", "PCMA", "L16"]
EngineLayout = Literal["separate", "interleaved", "mixed"]

_LAYOUTS: Final[Mapping[Layout, EngineLayout]] = {
    Layout.SEPARATE: "separate",
    Layout.INTERLEAVED: "interleaved",
    Layout.MIXED: "mixed",
}


class Named(Protocol):
    """An integration, of whatever type."""

    @property
    def name(self) -> str:
        """Its name."""
        ...


class Chosen(Protocol):
    """An integration that is used for a call."""

    @property
    def integration(self) -> Named:
        """What is used."""
        ...

    @property
    def service(self) -> str:
        """The voice service that has it."""
        ...

    @property
    def direction(self) -> Direction:
        """Of the call, as that service sees it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamChoice:
    """An integration that is used for a call."""

    integration: MediaStreamIntegration
    service: str
    """The voice service that has it."""
    direction: Direction
    """Of the call, as that service sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """What is known about a call before its streams begin."""

    node: str
    version: str
    call_id: str
    account: str
    sip_call_id: str
    traceparent: str
    caller: Participant
    callee: Participant
    invite: Headers
    """Headers of the caller's INVITE."""


@dataclass(frozen=True, slots=True)
class StreamFormat:
    """The fixed format of a stream; `sample_rate` in Hz."""

    encoding: EngineEncoding
    sample_rate: int
    frame_ms: int
    layout: EngineLayout

    @property
    def described(self) -> MediaFormat:
        """The format as `start` says it."""
        return MediaFormat(
            encoding=self.encoding,
            sample_rate=self.sample_rate,
            frame_duration_ms=self.frame_ms,
            layout=self.layout,
            channels=[0] if self.layout == "mixed" else [0, 1],
        )


def choose_streams(caller: VoiceService, callee: VoiceService) -> list[StreamChoice]:
    """Return the integrations of both services of a call; one that is the same on both counts once.

    Args:
        caller: the service that the call comes from.
        callee: the service that it goes to.
    """
    chosen = [
        StreamChoice(integration=each, service=callee.name, direction="inbound")
        for each in callee.media_streams
    ]
    known = [choice.integration for choice in chosen]
    chosen += [
        StreamChoice(integration=each, service=caller.name, direction="outbound")
        for each in caller.media_streams
        if each not in known
    ]
    return chosen


def format_of(integration: MediaStreamIntegration, codec: NegotiatedCodec | None) -> StreamFormat | None:
    """Return the stream's format; None when the call's codec, which it should follow, cannot be streamed.

    Args:
        integration: what is configured.
        codec: the codec of the call at this instant.
    """
    frame, layout = milliseconds(integration.frame), _LAYOUTS[integration.layout]
    match integration.encoding:
        case Encoding.CALL:
            return _format_of_call(codec, frame, layout)
        case Encoding.PCMU:
            return StreamFormat("PCMU", 8000, frame, layout)
        case Encoding.PCMA:
            return StreamFormat("PCMA", 8000, frame, layout)
        case Encoding.L16:
            return StreamFormat("L16", integration.rate, frame, layout)
        case _:
            return None


def _format_of_call(codec: NegotiatedCodec | None, frame: int, layout: EngineLayout) -> StreamFormat | None:
    if codec is None or codec.channels != 1:
        return None
    match codec.name.upper():
        case "PCMU":
            return StreamFormat("PCMU", 8000, frame, layout)
        case "PCMA":
            return StreamFormat("PCMA", 8000, frame, layout)
        case "L16" if codec.clock_rate in _L16_RATES:
            return StreamFormat("L16", codec.clock_rate, frame, layout)
        case _:
            return None


def template_values(call: CallFacts, choice: Chosen) -> dict[str, str]:
    """Return what templates may name; headers by `sip.header.` and their lower-case name."""
    values = {
        HEADER_PREFIX + name.lower(): value for name, value in reversed(list(call.invite))
    }  # reversed, so that the first line of a name stays
    for who, participant in (("caller", call.caller), ("callee", call.callee)):
        values[f"{who}.number"] = participant.number
        values[f"{who}.uri"] = participant.uri
        values[f"{who}.name"] = participant.display_name
    return values | {
        "call.id": call.call_id,
        "call.direction": choice.direction,
        "call.sip_call_id": call.sip_call_id,
        "account.id": call.account,
        "account.name": call.account,
        "service.name": choice.service,
        "integration.name": choice.integration.name,
        "node.name": call.node,
    }


def participant_body(participant: Participant) -> messages.Participant:
    """Return a participant as the stream protocol writes it."""
    return messages.Participant(
        id=participant.id,
        role=participant.role.value,
        channel=CHANNELS[participant.side],
        uri=participant.uri,
        number=participant.number,
        display_name=participant.display_name,
    )


def forwarded(headers: HeaderList, wanted: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the values of the wanted headers by name as it is configured; absent ones are left out."""
    found: dict[str, list[str]] = {}
    names = {name.lower(): name for name in wanted}
    for name, value in headers:
        spelling = names.get(name.lower())
        if spelling is not None:
            found.setdefault(spelling, []).append(value)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamIdentity:
    """One stream: its name, its call, its format and the instant of its sample 0."""

    stream_id: str
    call: CallFacts
    choice: StreamChoice
    format: StreamFormat
    started_at: datetime
    start_ns: int
    """CLOCK_MONOTONIC of `started_at`."""


def stream_spec(stream: StreamIdentity) -> StreamSpec:
    """Return the order that opens the stream in the engine."""
    integration = stream.choice.integration
    participants = (stream.call.caller, stream.call.callee)
    return StreamSpec(
        stream_id=stream.stream_id,
        encoding=stream.format.encoding,
        sample_rate=stream.format.sample_rate,
        frame_ms=stream.format.frame_ms,
        layout=stream.format.layout,
        channels=[
            ChannelSpec(channel=CHANNELS[each.side], side=each.side.value, participant=each.id)
            for each in participants
        ],
        started_at_unix_ms=round(stream.started_at.timestamp() * 1000),
        start_ns=stream.start_ns,
        jitter_window_ms=milliseconds(integration.jitter_window),
        flush_ms=milliseconds(integration.flush),
        queue_ms=milliseconds(integration.queue),
        replay_ms=milliseconds(integration.replay),
        ping_ms=milliseconds(integration.ping_interval),
    )


def connect_body(stream: StreamIdentity, connection: int, *, resumed: bool) -> Connect:
    """Return the body of `connect`."""
    name = stream.choice.integration.name
    return Connect(integration_id=name, integration_name=name, connection=connection, resumed=resumed)


def start_body(stream: StreamIdentity) -> Start:
    """Return the body of `start`."""
    call, choice = stream.call, stream.choice
    values = template_values(call, choice)
    return Start(
        call_id=call.call_id,
        account_id=call.account,
        account_name=call.account,
        voice_service=choice.service,
        trunk=choice.service,
        direction=choice.direction,
        sip_call_id=call.sip_call_id,
        started_at=rfc3339(stream.started_at),
        participants=[participant_body(call.caller), participant_body(call.callee)],
        media=stream.format.described,
        parameters={name: text.render(values) for name, text in choice.integration.parameters},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One attempt: where it goes and what it says."""

    endpoint: Endpoint
    addresses: list[str]
    ca_pem: str | None
    number: int
    """Counts from 1."""
    resumed: bool


def connect_attempt(stream: StreamIdentity, connection: Connection) -> ConnectAttempt:
    """Return the order that connects the stream."""
    integration, endpoint = stream.choice.integration, connection.endpoint
    auth, call = integration.auth, stream.call
    credentials = Credentials(
        bearer=auth.bearer.reveal() if auth.bearer else None,
        basic=(auth.basic.username, auth.basic.password.reveal()) if auth.basic else None,
        headers=tuple((name, secret.reveal()) for name, secret in auth.headers),
    )
    facts = UpgradeFacts(
        version=call.version,
        stream_id=stream.stream_id,
        call_id=call.call_id,
        account_id=call.account,
        traceparent=call.traceparent,
    )
    values = template_values(call, stream.choice)
    custom = [(name, text.render(values)) for name, text in integration.headers]
    body = connect_body(stream, connection.number, resumed=connection.resumed)
    return ConnectAttempt(
        addresses=connection.addresses,
        port=endpoint.port,
        server_name=endpoint.host if endpoint.secure else None,
        ca_pem=connection.ca_pem,
        host_header=endpoint.host_header,
        path=endpoint.path,
        headers=upgrade_headers(facts, credentials, custom),
        subprotocol=messages.SUBPROTOCOL,
        connect=messages.encode(body).decode(),
        start=messages.encode(start_body(stream)).decode(),
        timeout_ms=milliseconds(integration.connect_timeout),
    )
