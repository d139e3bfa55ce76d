"""Calls that are recorded, between a fake SIP stack and a fake engine: a test speaks for the recorders."""

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

from sidestream.gateway.recorder import RecordingView
from sidestream.sip.builder import response_to
from sidestream.sip.dialog import Dialog
from sidestream.sip.events import ClientKey, RequestReceived, ResponseReceived, ServerKey
from sidestream.sip.hop import Source
from sidestream.sip.message import Request, Response
from sidestream.siprec.body import read_body
from unit.gateway.fake_gateway import PEER, FakeGateway
from unit.gateway.samples import OFFER, configuration, request

RECORDING = "{{name: keep, type: siprec, servers: [{servers}], options_ping: off{settings}}}"
FIRST, SECOND = "sip:192.0.2.41:5070;transport=tcp", "sip:192.0.2.42:5070;transport=tcp"


def recording(*servers: str, **settings: str) -> str:
    """Return an integration for `samples.configuration`."""
    listed = ", ".join(f'{{uri: "{uri}", priority: {rank}}}' for rank, uri in enumerate(servers or (FIRST,)))
    extra = "".join(f", {name}: {value}" for name, value in settings.items())
    return RECORDING.format(servers=listed, settings=extra)


def from_recorder(host: str = "192.0.2.41") -> Source:
    return Source("tcp", host, 5070, 9, "127.0.0.1", 5060)


def answer_to(invite: Request, *directions: str) -> str:
    """Return a recorder's answer: a direction for each stream; `refused` is port 0."""
    offer = read_body(invite).description
    assert offer is not None
    lines = ["v=0", "o=- 7 1 IN IP4 192.0.2.41", "s=-", "c=IN IP4 192.0.2.41", "t=0 0"]
    wanted = directions or ("recvonly",) * len(offer.media)
    for number, (section, direction) in enumerate(zip(offer.media, wanted, strict=True)):
        formats = " ".join(str(codec.payload_type) for codec in section.codecs)
        port = 0 if direction == "refused" else 7000 + 2 * number
        lines.append(f"m=audio {port} RTP/AVP {formats}")
        lines += [f"a=rtpmap:{codec.rtpmap}" for codec in section.codecs]
        lines += [f"a=label:{section.label}", *([] if direction == "refused" else [f"a={direction}"])]
    return "\r\n".join(lines) + "\r\n"


class RecordedCall:
    """A call of `samples.configuration` whose recorders a test speaks for."""

    def __init__(self, directory: Path, *integrations: str) -> None:
        listed = ", ".join(integrations or (recording(),))
        self.gateway = FakeGateway(directory, configuration(stream=listed))
        self.dialogs: dict[str, Dialog] = {}
        self._keys = itertools.count(900)

    # --- the call

    def begin(self) -> None:
        self.gateway.receive(request())

    async def answered(self) -> Dialog:
        """Bring the call up; returns the caller's dialog."""
        dialog = self.gateway.answered_call()
        await self.settle()
        return dialog

    def peer(self, status: int) -> None:
        """Answer the callee's INVITE, whatever recorders were sent in the meantime."""
        calls = [each for each in self.gateway.sip.sent if ":507" not in str(each[1].to.uri)]
        key, invite, _ = next(each for each in reversed(calls) if each[1].method == "INVITE")
        response = response_to(invite, status, None, "peer")
        response.headers.set("Contact", "<sip:192.0.2.33:5090>")
        response.headers.set("Content-Type", "application/sdp")
        response.body = OFFER.encode()
        self.gateway.tell(ResponseReceived(key, response, PEER))

    async def settle(self) -> None:
        for _ in range(8):
            await asyncio.sleep(0)

    def tell(self, **event: object) -> None:
        self.gateway.fake.tell(**event)
        self.gateway.media.take_events()

    async def hang_up(self, dialog: Dialog) -> None:
        self.gateway.receive(dialog.create_request("BYE"), key=next(self._keys))
        self.answer_last("BYE", to_call=True)
        await self.settle()

    def close_media(self) -> None:
        """Have the engine confirm whatever was told to close."""
        orders = self.gateway.fake.orders
        for handle in [handle for verb, handle, _ in orders if verb == "close_recording"]:
            self.gateway.fake.tell(event="recording_closed", recording=handle, streams=[], failure=None)
        self.gateway.media_closed()

    # --- the recorders

    @property
    def asked(self) -> list[tuple[ClientKey, Request]]:
        """What recorders were sent, in order."""
        return [(key, sent) for key, sent, _ in self.gateway.sip.sent if ":507" in str(sent.to.uri)]

    def methods(self) -> list[str]:
        return [sent.method for _, sent in self.asked]

    def last(self, method: str) -> tuple[ClientKey, Request]:
        return next((key, sent) for key, sent in reversed(self.asked) if sent.method == method)

    def respond(
        self,
        key: ClientKey,
        sent: Request,
        status: int,
        body: str = "",
        *,
        dress: Callable[[Response], None] | None = None,
    ) -> Response:
        response = response_to(
            sent, status, None, None if status == 100 else sent.to_tag or f"r{sent.call_id}"
        )
        response.headers.set("Contact", "<sip:192.0.2.41:5070;transport=tcp>")
        if body:
            response.headers.set("Content-Type", "application/sdp")
            response.body = body.encode()
        if dress is not None:
            dress(response)
        self.gateway.tell(ResponseReceived(key, response, from_recorder()))
        return response

    def accept(self, *directions: str) -> Dialog:
        """Answer the last INVITE to a recorder by 200, and return the recorder's dialog."""
        key, invite = self.last("INVITE")
        response = self.respond(key, invite, 200, answer_to(invite, *directions))
        dialog = Dialog.from_invite_uas(invite, response.to_tag or "", "<sip:192.0.2.41:5070;transport=tcp>")
        self.dialogs.setdefault(invite.call_id, dialog)
        return self.dialogs[invite.call_id]

    def refuse(self, status: int, method: str = "INVITE") -> None:
        key, sent = self.last(method)
        self.respond(key, sent, status)

    def answer_last(self, method: str, status: int = 200, *, to_call: bool = False) -> None:
        if to_call:
            key, sent = next((k, r) for k, r, _ in reversed(self.gateway.sip.sent) if r.method == method)
        else:
            key, sent = self.last(method)
        self.respond(key, sent, status)

    def ask(
        self, dialog: Dialog, method: str, body: str = "", kind: str = "application/sdp"
    ) -> Response | None:
        """Send a request of the recorder and return our answer."""
        sent = dialog.create_request(method)
        if body:
            sent.headers.set("Content-Type", kind)
            if kind != "application/sdp":
                sent.headers.set("Content-Disposition", "recording-session")
            sent.body = body.encode()
        before = len(self.gateway.sip.answers)
        self.gateway.tell(RequestReceived(ServerKey(next(self._keys)), sent, from_recorder()))
        answers = self.gateway.sip.answers[before:]
        return answers[-1][1] if answers else None

    def documents(self) -> list[str]:
        """The metadata that went out, oldest first."""
        found = [read_body(sent).metadata for _, sent in self.asked if sent.body]
        return [document.decode() for document in found if document is not None]

    def offers(self) -> list[str]:
        """The directions that we offered, one word for each offer."""
        found = [read_body(sent).description for _, sent in self.asked if sent.body]
        return [
            "/".join(section.direction.value for section in offer.media)
            for offer in found
            if offer is not None
        ]

    @property
    def call_id(self) -> str:
        (runner,) = self.gateway.calls._entries
        return runner.setup.call_id

    def view(self) -> RecordingView:
        (found,) = self.gateway.recordings.views(self.call_id)
        return found

    def targets(self) -> list[list[tuple[str, bool]]]:
        """What the engine was told to send: label and whether it is on, for each order."""
        orders = self.gateway.fake.all_of("set_recording")
        return [[(each["label"], each["on"]) for each in order["streams"]] for order in orders]


__all__ = ["FIRST", "OFFER", "SECOND", "RecordedCall", "answer_to", "from_recorder", "recording"]
