"""The native media engine: RTP legs, taps and WebSocket streams on threads of its own.

Every order returns at once; what it leads to comes back as an event. Orders that carry structure and all
events are JSON, typed in `sidestream.gateway.engine_messages`. Times named `…Ns` are readings of
CLOCK_MONOTONIC in nanoseconds (Python's `time.monotonic_ns()`).
"""

from typing import final

__version__: str

class MediaError(Exception):
    """The engine refused an order; nothing has changed.

    `kind` is one of `ports_exhausted`, `unknown_handle`, `bad_spec`, `io`, `stopped`, `limit`; of `Srtp`
    also `malformed`, `unauthentic`, `replayed`, `spent`.
    """

    kind: str

@final
class Srtp:
    """Both directions of a party's SRTP, for tools and tests. `keys` is a `SrtpPair`.

    Packets that are refused raise `MediaError`: `malformed`, `unauthentic`, `replayed` or `spent`.
    """

    def __new__(cls, keys: bytes) -> Srtp: ...
    def rekey(self, keys: bytes) -> None:
        """Go on with other keys; packets on their way under the former ones are taken all the same."""

    def protect(self, packet: bytes) -> bytes:
        """Protect an RTP packet."""

    def protect_report(self, packet: bytes) -> bytes:
        """Protect an RTCP packet."""

    def unprotect(self, packet: bytes) -> bytes:
        """Check and decrypt an RTP packet."""

    def unprotect_report(self, packet: bytes) -> bytes:
        """Check and decrypt an RTCP packet."""

@final
class Engine:
    """The media engine of one process. `spec` is an `EngineSpec`."""

    def __new__(cls, spec: bytes) -> Engine: ...
    def fileno(self) -> int:
        """Return a descriptor that is readable while events wait."""

    def events(self) -> bytes:
        """Take up to some hundred events: a JSON array of `EngineEvent`, oldest first."""

    def open_call(self) -> tuple[int, int, int]:
        """Bind two legs; return the call's handle and the RTP ports of side `a` and `b`.

        RTCP is one above each.

        Raises:
            MediaError: `ports_exhausted`, `io`, `limit` or `stopped`.
        """

    def set_leg(self, call: int, spec: bytes) -> None:
        """Say what was agreed on a leg; `spec` is a `LegSpec`."""

    def bridge(self, call: int, on: bool, /) -> None:
        """Relay media between the legs, or stop it. Taps hear each side either way."""

    def open_stream(self, call: int, spec: bytes) -> int:
        """Begin a stream.

        Its clock runs and its frames are queued from now on; `spec` is a `StreamSpec`.
        """

    def connect_stream(self, stream: int, attempt: bytes) -> None:
        """Make one attempt to connect.

        `attempt` is a `ConnectAttempt`. Ends in `connected` or `connect_failed`.
        """

    def send_on_stream(self, stream: int, event: str, body: bytes) -> None:
        """Queue a control message (`metadata` or `dtmf`).

        The engine adds the envelope. It is never dropped.
        """

    def pause_stream(self, stream: int, on: bool, /) -> None:
        """Stop a stream's media, or let it go on; its clock runs on."""

    def close_stream(self, stream: int, body: bytes, code: int, drain_ms: int) -> None:
        """Flush the taps, queue `close`, send all, then a WebSocket Close with `code`.

        The engine adds `totals` to `body`. `stream_closed` comes when the endpoint's Close has come, or 2
        s after ours, or when `drain_ms` are over. Without a connection it stays ready to be connected and
        drained.
        """

    def abort_stream(self, stream: int) -> None:
        """Let go of a stream at once; `stream_closed` comes."""

    def open_recording(self, call: int, spec: bytes) -> tuple[int, list[int]]:
        """Begin to record a call; `spec` is a `RecordingSpec`.

        Returns the recording's handle and, for each of its streams in order, the RTP port that it is sent
        from (RTCP is one above). Nothing is sent before `set_recording`; what is heard until then is
        kept, up to `early_ms`.

        Raises:
            MediaError: `ports_exhausted`, `io`, `limit`, `bad_spec`, `unknown_handle` or `stopped`.
        """

    def set_recording(self, recording: int, target: bytes) -> None:
        """Say what was agreed with the recorder.

        `target` is a `RecordingTarget`. Given again at each change.
        """

    def pause_recording(self, recording: int, on: bool, /) -> None:
        """Send nothing more, at once, or go on.

        The streams' clocks run on. What is heard meanwhile is not kept.
        """

    def query_recording(self, recording: int) -> None:
        """Ask for a `recording_stats` event."""

    def close_recording(self, recording: int) -> None:
        """Send what is left and an RTCP BYE, and free the ports; `recording_closed` comes.

        A recording whose call closes is closed with it, before `call_closed`.
        """

    def query_call(self, call: int) -> None:
        """Ask for a `call_stats` event."""

    def close_call(self, call: int) -> None:
        """Close the legs and free their ports; `call_closed` comes with the final statistics.

        Streams of the call that were told to close go on until they are drained; others are aborted.
        """

    def totals(self) -> bytes:
        """Return the `EngineTotals` of all calls ever, as JSON."""

    def shutdown(self) -> None:
        """Stop all threads; every later order is refused with `stopped`."""
