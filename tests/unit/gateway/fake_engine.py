"""Stands in for the media engine where a unit looks at what it orders and says what the engine would tell."""

import json
from typing import Any, cast

from sidestream._media import Engine

_TOTALS = (
    "calls streams recordings portsInUse portsTotal receivedPackets sentPackets malformedPackets "
    "alienPackets unsentPackets rtcpReceived rtcpSent streamMessages streamBytes streamDroppedSamples "
    "recordingPackets recordingUnsent eventsDropped"
)


class FakeEngine:
    """Notes every order as (verb, handle, argument); tells the events that a test gives it."""

    def __init__(self) -> None:
        self.orders: list[tuple[str, int, Any]] = []
        self.refuse: dict[str, Exception] = {}
        self._told: list[dict[str, object]] = []
        self._handles = 0

    @property
    def engine(self) -> Engine:
        """Itself, as what it stands in for."""
        return cast("Engine", self)

    @property
    def verbs(self) -> list[str]:
        return [verb for verb, _, _ in self.orders]

    def all_of(self, verb: str) -> list[Any]:
        return [argument for name, _, argument in self.orders if name == verb]

    def tell(self, **event: object) -> None:
        self._told.append(event)

    def fileno(self) -> int:
        return -1

    def events(self) -> bytes:
        told, self._told = self._told, []
        return json.dumps(told).encode()

    def open_call(self) -> tuple[int, int, int]:
        handle = self._next()
        self._note("open_call", handle)
        return handle, 20000, 20002

    def set_leg(self, call: int, spec: bytes) -> None:
        self._note("set_leg", call, json.loads(spec))

    def bridge(self, call: int, on: bool, /) -> None:
        self._note("bridge", call, on)

    def open_stream(self, call: int, spec: bytes) -> int:
        self._note("open_stream", call, json.loads(spec))
        return self._next()

    def connect_stream(self, stream: int, attempt: bytes) -> None:
        self._note("connect_stream", stream, json.loads(attempt))

    def send_on_stream(self, stream: int, event: str, body: bytes) -> None:
        self._note("send_on_stream", stream, (event, json.loads(body)))

    def pause_stream(self, stream: int, on: bool, /) -> None:
        self._note("pause_stream", stream, on)

    def close_stream(self, stream: int, body: bytes, code: int, drain_ms: int) -> None:
        self._note("close_stream", stream, (json.loads(body), code, drain_ms))

    def abort_stream(self, stream: int) -> None:
        self._note("abort_stream", stream)

    def open_recording(self, call: int, spec: bytes) -> tuple[int, list[int]]:
        order = json.loads(spec)
        self._note("open_recording", call, order)
        return self._next(), [30000 + 2 * index for index in range(len(order["streams"]))]

    def set_recording(self, recording: int, target: bytes) -> None:
        self._note("set_recording", recording, json.loads(target))

    def pause_recording(self, recording: int, on: bool, /) -> None:
        self._note("pause_recording", recording, on)

    def query_recording(self, recording: int) -> None:
        self._note("query_recording", recording)

    def close_recording(self, recording: int) -> None:
        self._note("close_recording", recording)

    def query_call(self, call: int) -> None:
        self._note("query_call", call)

    def close_call(self, call: int) -> None:
        self._note("close_call", call)

    def totals(self) -> bytes:
        return json.dumps(dict.fromkeys(_TOTALS.split(), 7)).encode()

    def shutdown(self) -> None:
        self._note("shutdown", 0)

    def _note(self, verb: str, handle: int, argument: object = None) -> None:
        if verb in self.refuse:
            raise self.refuse[verb]
        self.orders.append((verb, handle, argument))

    def _next(self) -> int:
        self._handles += 1
        return self._handles
