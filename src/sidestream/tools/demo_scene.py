"""The call of the demonstration: a gateway, two phones, an endpoint, a recorder, and what they do."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from sidestream.errors import SidestreamError
from sidestream.gateway.sip_options import ListenAddress
from sidestream.tools.call import load_frames
from sidestream.tools.demo_evidence import CALLEE, CALLER, Mark
from sidestream.tools.g711 import Law
from sidestream.tools.gateway_process import GatewayProcess
from sidestream.tools.listener import Connected, Listener, ListenerEvent, ListenerOptions, Received
from sidestream.tools.phone import Phone, PhoneOptions
from sidestream.tools.phone_call import CallFailedError, PhoneCall
from sidestream.tools.recorder import Recorder
from sidestream.tools.recorder_events import Documented, Noted, RecorderEvent
from sidestream.tools.recorder_options import RecorderOptions
from sidestream.tools.rtp import FRAME_MS
from sidestream.tools.stream_messages import Envelope

SPEECH = Path(__file__).parent / "speech"
GATEWAY_HOST, CARRIER_HOST, DESK_HOST, RECORDER_HOST = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"
CALLER_NUMBER, CALLED_NUMBER = "+14155550100", "+14155550199"
MEDIA_PORTS = "24000-25999"
LAW: Law = "PCMU"
KEYS = "12#"
KEYS_AT_FRAME = 497
"""The caller has said "one, two, and hash"."""
HOLD_AT_FRAME = 603
"""The callee has said "please hold the line"."""
HOLD_S = 2.0
RING_S = 0.6
SETTLE_S = 0.4
"""Between the answer and the first word, and between the last word and the BYE."""
ANSWER_TIMEOUT_S = 15.0
STREAM_TIMEOUT_S = 15.0
RECORDING_TIMEOUT_S = 15.0
TOKEN_VARIABLE = "SIDESTREAM_DEMO_TOKEN"  # noqa: S105 - the variable's name
BIND_ATTEMPTS = 50
LEFT_DIRECTORIES = ("endpoint", "recorder", "recording-metadata", "gateway")
LEFT_FILES = (
    "endpoint.wav",
    "transcript.jsonl",
    "recorder.wav",
    "recorder-caller.wav",
    "recorder-callee.wav",
)
"""What an earlier run left; nothing of it may stand beside what a later one leaves."""

_CONFIGURATION = """\
# Made for the demonstration: a carrier and a support desk, both played by phones on this machine.
node:
  name: demo
  sip: [udp://{gateway}:{sip}, tcp://{gateway}:{sip}]
  media: {{address: {gateway}, ports: {media}, threads: auto}}
  api: http://{gateway}:{api}
  database: sqlite:///{directory}/sidestream.db
  limits: {{max_calls: 100, calls_per_second: 50, max_call_duration: 1h}}
  drain_timeout: 2s
accounts:
  - name: acme
    subscriptions: [voice-integration]
    voice_services:
      - name: carrier
        kind: carrier
        trunk:
          peers: [{{uri: "sip:{carrier}:{carrier_port};transport=udp"}}]
          codecs: [PCMU, PCMA, telephone-event]
      - name: support-desk
        kind: contact_center
        trunk:
          peers: [{{uri: "sip:{desk}:{desk_port};transport=udp"}}]
          codecs: [PCMU, PCMA, telephone-event]
        integrations:
          - name: live-transcript
            type: media_stream
            url: wss://{gateway}:{endpoint}/calls
            ca: {ca}
            encoding: call
            auth: {{bearer: {{env: {token}}}}}
            parameters: {{queue: "{{sip.header.X-Queue}}"}}
            forward_headers: [User-to-User]
          - name: compliance
            type: siprec
            servers: [{{uri: "{recorder}"}}]
            x_headers: {{X-Call-Ref: "{{call.id}}"}}
    routes:
      - {{from: carrier, to: support-desk}}
      - {{from: support-desk, to: carrier}}
"""

_T = TypeVar("_T")
StepKind = Literal["doing", "done", "note"]
Tell = Callable[[StepKind, str], None]


class DemoError(SidestreamError):
    """The demonstration could not be carried out; nothing is proven."""


@dataclass(slots=True)
class Scene:
    """One run. `run` it; then its attributes say what happened, on the event loop's clock.

    Attributes:
        directory: where everything is left.
        tell: is told each step.
        marks: keys and holds, in seconds since `begin`.
        begin: when the call began.
        answered: when the caller had the answer, in seconds since `begin`.
        wall_offset: what is to be added to the loop's clock to get the time of day.
    """

    directory: Path
    tell: Tell
    marks: list[Mark] = field(default_factory=list)
    begin: float = 0.0
    answered: float = 0.0
    wall_offset: float = 0.0
    tls: str = ""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: float = 0.0
    _gateway: GatewayProcess | None = None
    _listener: Listener | None = None
    _recorder: Recorder | None = None
    _caller: Phone | None = None
    _callee: Phone | None = None
    _outgoing: PhoneCall | None = None
    _incoming: PhoneCall | None = None
    _sip: int = 0
    _frames: dict[str, list[bytes]] = field(default_factory=dict)

    @property
    def gateway(self) -> GatewayProcess:
        """The gateway's process."""
        return _there(self._gateway)

    @property
    def listener(self) -> Listener:
        """The endpoint."""
        return _there(self._listener)

    @property
    def recorder(self) -> Recorder:
        """The recording server."""
        return _there(self._recorder)

    @property
    def phones(self) -> tuple[Phone, Phone]:
        """The caller's phone and the callee's."""
        return _there(self._caller), _there(self._callee)

    @property
    def calls(self) -> tuple[PhoneCall, PhoneCall]:
        """The call as the caller has it, and as the callee has it."""
        return _there(self._outgoing), _there(self._incoming)

    @property
    def journal(self) -> Path:
        """Where the gateway keeps its records."""
        return self.directory / "gateway" / "journal"

    @property
    def talking(self) -> bool:
        """Whether the call is answered and not over."""
        return self._incoming is not None and self.seconds == 0.0

    @property
    def progress(self) -> tuple[int, int]:
        """Frames of speech sent by the caller, and all there are."""
        sent = len(self._outgoing.media.sent) if self._outgoing is not None else 0
        return sent, len(self._frames.get(CALLER, ()))

    async def run(self) -> None:
        """Carry the call from the first socket to the last.

        Raises:
            SidestreamError: something could not be started, or the call failed.
        """
        self._prepare()
        try:
            await self._open()
            await self._connect()
            await self._talk()
            await self._finish()
        except SidestreamError as error:
            error.hint = error.hint or f"The gateway's log is {self.directory / 'gateway' / 'gateway.log'}"
            raise
        finally:
            await self._close()

    def _prepare(self) -> None:
        for name in LEFT_DIRECTORIES:
            shutil.rmtree(self.directory / name, ignore_errors=True)
        for name in LEFT_FILES:
            (self.directory / name).unlink(missing_ok=True)
        (self.directory / "gateway").mkdir(parents=True)
        for role in (CALLER, CALLEE):
            self._frames[role] = load_frames(SPEECH / f"{role}.wav", LAW)

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        self.wall_offset = time.time() - loop.time()
        token = secrets.token_urlsafe(24)
        self.tell("doing", "The endpoint opens, with a certificate authority of its own")
        options = ListenerOptions(self.directory / "endpoint", GATEWAY_HOST, 0, token=token)
        self._listener = Listener(options, self._heard)
        await self._listener.start()
        self.tell("done", f"The endpoint listens on {self._listener.url}")
        await self._open_recorder()
        self._caller = await self._phone(CARRIER_HOST, CALLER_NUMBER, "Ada")
        self._callee = await self._phone(DESK_HOST, CALLED_NUMBER, "Grace")
        self.tell("done", "Two phones are there: Ada behind a carrier, Grace at a support desk")
        self.tell("doing", "The gateway starts")
        sip = free_port(GATEWAY_HOST, socket.SOCK_DGRAM, socket.SOCK_STREAM)
        configuration = self._configure(sip)
        self._gateway = await GatewayProcess.start(configuration, {TOKEN_VARIABLE: token})
        self.tell("done", f"The gateway is ready on {GATEWAY_HOST}:{sip}")
        self._sip = sip

    async def _open_recorder(self) -> None:
        listen = (ListenAddress("tcp", RECORDER_HOST, 0),)
        options = RecorderOptions(directory=self.directory / "recorder", listen=listen, keep_frames=True)
        self._recorder = Recorder(options, self._recorded)
        await self._recorder.start()
        self.tell("done", f"The recorder listens on {self._recorder.uris[0]}")

    async def _phone(self, host: str, user: str, name: str) -> Phone:
        return await Phone.open(PhoneOptions(ListenAddress("udp", host, 0), user, name, LAW))

    def _configure(self, sip: int) -> Path:
        caller, callee = self.phones
        configuration = self.directory / "gateway" / "gateway.yaml"
        configuration.write_text(
            _CONFIGURATION.format(
                gateway=GATEWAY_HOST,
                sip=sip,
                media=MEDIA_PORTS,
                api=free_port(GATEWAY_HOST, socket.SOCK_STREAM),
                directory=configuration.parent.resolve(),
                carrier=CARRIER_HOST,
                carrier_port=caller.port,
                desk=DESK_HOST,
                desk_port=callee.port,
                endpoint=self.listener.port,
                ca=self.listener.ca.resolve(),
                recorder=self.recorder.uris[0],
                token=TOKEN_VARIABLE,
            )
        )
        return configuration

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        caller, callee = self.phones
        self.begin, self.at = loop.time(), datetime.now(UTC)
        self.tell("doing", f"Ada calls {CALLED_NUMBER}")
        headers = [("X-Queue", "gold"), ("User-to-User", "0123456789;encoding=hex")]
        self._outgoing = await caller.dial(f"sip:{CALLED_NUMBER}@{GATEWAY_HOST}:{self._sip}", headers)
        self._incoming = await callee.wait_call(ANSWER_TIMEOUT_S)
        if self._incoming is None:
            raise DemoError(
                f"the call did not reach the support desk: {self._outgoing.ending or 'no INVITE'}"
            )
        self._incoming.ring()
        self.tell("done", "Grace's phone rings")
        await asyncio.sleep(RING_S)
        self._incoming.answer()
        await self._outgoing.answered(ANSWER_TIMEOUT_S)
        await asyncio.wait_for(self._incoming.acknowledged.wait(), ANSWER_TIMEOUT_S)
        self.answered = self._now()
        self.tell("done", "Grace answers")
        await asyncio.sleep(SETTLE_S)

    async def _talk(self) -> None:
        outgoing, incoming = self.calls
        said = self._frames
        self.tell("doing", "They talk, and every word goes to the endpoint and the recorder as it is said")
        await self._say(0, KEYS_AT_FRAME)
        self.tell("note", f"Ada presses {KEYS}")
        begin = self._now()
        outgoing.media.press(KEYS)
        await self._say(KEYS_AT_FRAME, HOLD_AT_FRAME)
        self.marks.append(Mark("keys", f"keys {KEYS}", begin, begin + len(KEYS) * 0.16))
        await self._hold(incoming)
        await self._say(HOLD_AT_FRAME, len(said[CALLER]))
        self.tell("done", f"They have talked for {len(said[CALLER]) * FRAME_MS / 1_000:.1f} s")
        await asyncio.sleep(SETTLE_S)

    async def _say(self, begin: int, end: int) -> None:
        """Let both sides go on with the conversation, and wait until that is said."""
        outgoing, incoming = self.calls
        outgoing.media.play(self._frames[CALLER][begin:end])
        incoming.media.play(self._frames[CALLEE][begin:end])
        said = asyncio.ensure_future(asyncio.gather(outgoing.media.drained(), incoming.media.drained()))
        ended = [asyncio.ensure_future(call.over.wait()) for call in (outgoing, incoming)]
        waits: list[asyncio.Future[Any]] = [said, *ended]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finished = said.done()
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        if not finished:
            raise DemoError(f"the call ended in the middle: {outgoing.ending}; {incoming.ending}")

    async def _hold(self, incoming: PhoneCall) -> None:
        begin = self._now()
        try:
            await incoming.hold()
            self.tell("note", "Grace puts Ada on hold")
            await asyncio.sleep(HOLD_S)
            await incoming.resume()
        except CallFailedError as error:
            raise DemoError(f"hold and resume failed: {error}") from error
        self.tell("note", "Grace takes Ada back")
        self.marks.append(Mark("hold", "on hold", begin, self._now()))

    async def _finish(self) -> None:
        outgoing, incoming = self.calls
        self.tell("doing", "Ada hangs up")
        await outgoing.hang_up()
        self.seconds = self._now()
        if not await incoming.ended(ANSWER_TIMEOUT_S):
            raise DemoError("the BYE did not reach the support desk")
        if not await self.listener.wait_finished(1, STREAM_TIMEOUT_S):
            self.tell("note", "The endpoint has seen no close")
        if not await self.recorder.wait_ended(1, RECORDING_TIMEOUT_S):
            self.tell("note", "The recorder has seen no end")
        self.tell("done", "The call is over")

    async def _close(self) -> None:
        for phone in (self._caller, self._callee):
            if phone is not None:
                await phone.close()
        if self._gateway is not None:
            self.tell("doing", "The gateway drains and ends")
            await self._gateway.stop()
            log = self.directory / "gateway" / "gateway.log"
            log.write_text("\n".join(self._gateway.lines) + "\n")
        if self._listener is not None:
            await self._listener.stop()
        if self._recorder is not None:
            await self._recorder.stop()
        if self._gateway is not None:
            self.tell("done", "Everything is closed")

    def _now(self) -> float:
        return asyncio.get_running_loop().time() - self.begin

    def _heard(self, event: ListenerEvent) -> None:
        match event:
            case Connected(tls=tls):
                self.tls = tls
            case Received(message=message) if _is_of_interest(message):
                self.tell("note", f"The endpoint is told: {_words(message)}")
            case _:
                pass

    def _recorded(self, event: RecorderEvent) -> None:
        match event:
            case Documented(entry=entry, text=text):
                self.tell("note", f"The recorder is told by {entry.message}: {text}")
            case Noted(finding=finding):
                self.tell("note", f"The recorder finds: {finding}")
            case _:
                pass


def _is_of_interest(message: Envelope) -> bool:
    if message.metadata is not None:
        return message.metadata.type.startswith(("call.", "participant."))
    return message.media is None


def _words(message: Envelope) -> str:
    if message.metadata is not None:
        return message.metadata.type
    return f"key {message.dtmf.digit}" if message.dtmf is not None else message.event


def free_port(host: str, *kinds: socket.SocketKind) -> int:
    """Return a port that is free for every kind of socket at this moment.

    Raises:
        DemoError: none was found.
    """
    for _ in range(BIND_ATTEMPTS):
        with socket.socket(socket.AF_INET, kinds[0]) as first:
            first.bind((host, 0))
            port: int = first.getsockname()[1]
            try:
                for kind in kinds[1:]:
                    with socket.socket(socket.AF_INET, kind) as other:
                        other.bind((host, port))
            except OSError:
                continue
            return port
    raise DemoError(f"no port on {host} is free")


def _there(value: _T | None) -> _T:
    if value is None:
        raise DemoError("the scene has not been opened")
    return value
