"""A TLS connection as a transport of asyncio: what is above it sees plain bytes, what is below TCP.

asyncio's own TLS does its handshakes unseen: none can be bounded, told apart or given its turn. Here each
handshake is known to a keeper from its first byte on, and the layer above hears of a connection only when
its peer has proven who it is.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol, cast

from sidestream.gateway.tls_session import TlsError, TlsSession
from sidestream.sip.domain_certificate import CertificateNames
from sidestream.sip.tls_failure import TlsFailure, TlsTrouble

CERTIFICATE: Final = "sip_certificate"
"""Name of the extra information that holds what the peer's certificate says."""
_READ_IN_HANDSHAKE: Final = 256 * 1024
"""What a peer may send in a handshake: chains of certificates have some kilobytes."""


class HandshakeKeeper(Protocol):
    """Who knows the handshakes that are open."""

    def begun(self, wire: TlsWire) -> bool:
        """A connection stands and wants its handshake; false when it is not wanted."""
        ...

    def give_turn(self, wire: TlsWire) -> None:
        """Call `TlsWire.take_turn` when its turn has come; once for each time it is asked."""
        ...

    def done(self, wire: TlsWire) -> None:
        """A handshake that was begun has succeeded."""
        ...

    def failed(self, wire: TlsWire, trouble: TlsTrouble) -> None:
        """A handshake that was begun has failed, or what stood broke; told once."""
        ...


class TlsWire(asyncio.Transport, asyncio.Protocol):
    """One connection.

    Args:
        session: its TLS.
        above: what hears plain bytes once the handshake is done.
        keeper: knows the handshakes.
        dialed: whether we opened it.

    Attributes:
        dialed: whether we opened it.
        peer: the peer's address and port, as text; empty before the connection stands.
        host: the peer's address.
    """

    def __init__(
        self, session: TlsSession, above: asyncio.Protocol, keeper: HandshakeKeeper, *, dialed: bool
    ) -> None:
        super().__init__()
        self.dialed = dialed
        self.peer = ""
        self.host = ""
        self._session = session
        self._above = above
        self._keeper = keeper
        self._tcp: asyncio.Transport | None = None
        self._reading = True
        self._in_handshake = 0
        self._waits = False
        self._over = False

    @property
    def session(self) -> TlsSession:
        """Its TLS."""
        return self._session

    @property
    def above(self) -> asyncio.Protocol:
        """What hears plain bytes."""
        return self._above

    # --- below: see asyncio.Protocol --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        tcp = self._tcp = cast("asyncio.Transport", transport)
        peer = tcp.get_extra_info("peername")
        if not peer:
            self._over = True
            tcp.abort()
            return
        self.host, self.peer = peer[0], f"{peer[0]}:{peer[1]}"
        if not self._keeper.begun(self):
            self._over = True
            tcp.abort()
        elif self.dialed:
            self._ask_for_turn()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._over:
            return
        try:
            self._session.feed(data)
        except TlsError as error:
            self.give_up(error.trouble)
            return
        if self._session.established:
            self._pass_up()
            return
        self._in_handshake += len(data)
        if self._in_handshake > _READ_IN_HANDSHAKE:
            self.give_up(TlsTrouble(TlsFailure.BROKEN, "the handshake has no end"))
        else:
            self._ask_for_turn()

    def eof_received(self) -> bool:
        """See `asyncio.Protocol`: what the peer has closed for sending is closed altogether."""
        if self._waits:
            self.take_turn()  # its last words may complete the handshake
        if not self._over and not self._session.established:
            self.give_up(TlsTrouble(TlsFailure.LOST, "the peer closed the connection within the handshake"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if self._session.established:
            self._over = True
            self._above.connection_lost(exc)
        elif not self._over:
            self._over = True
            what = "it was reset" if exc is not None else "it was closed"
            self._keeper.failed(self, TlsTrouble(TlsFailure.LOST, f"{what} within the handshake"))

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        if self._session.established:
            self._above.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        if self._session.established:
            self._above.resume_writing()

    # --- the handshake ----------------------------------------------------------------------------------

    def take_turn(self) -> None:
        """Go on with the handshake, for the keeper."""
        self._waits = False
        if self._over or self._session.established:
            return
        try:
            done = self._session.shake_hands()
        except TlsError as error:
            self.give_up(error.trouble)
            return
        self._flush()
        if done:
            self._keeper.done(self)
            self._above.connection_made(self)
            self._pass_up()

    def give_up(self, trouble: TlsTrouble) -> None:
        """Close for this reason: the alert goes out, and nothing else."""
        if self._over:
            return
        self._over = True
        self._flush()
        self._keeper.failed(self, trouble)
        if self._tcp is not None:
            # A peer that does not read keeps its socket open no longer than its owner lets it.
            self._tcp.abort() if self._tcp.get_write_buffer_size() else self._tcp.close()

    def _ask_for_turn(self) -> None:
        if not self._waits:
            self._waits = True
            self._keeper.give_turn(self)

    def _pass_up(self) -> None:
        """Bring plain bytes up."""
        try:
            data, closed = self._session.read()
        except TlsError as error:
            self.give_up(error.trouble)
            return
        if data:
            self._above.data_received(data)
        self._flush()
        if closed and not self._over:
            self.close()

    def _flush(self) -> None:
        data = self._session.outgoing()
        if data and self._tcp is not None and not self._tcp.is_closing():
            self._tcp.write(data)

    # --- above: see asyncio.Transport -------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See `asyncio.Transport`."""
        if self._over:
            return
        try:
            self._session.write(bytes(data))
        except TlsError as error:
            self.give_up(error.trouble)
            return
        self._flush()

    def close(self) -> None:
        """See `asyncio.Transport`; the peer is told that nothing more comes (RFC 8446 §6.1)."""
        if self._tcp is not None and not self._tcp.is_closing():
            if not self._over:
                self._session.say_goodbye()
                self._flush()
            self._tcp.close()

    def abort(self) -> None:
        """See `asyncio.Transport`."""
        if self._tcp is not None:
            self._tcp.abort()

    def is_closing(self) -> bool:
        """See `asyncio.Transport`."""
        return self._over or self._tcp is None or self._tcp.is_closing()

    def pause_reading(self) -> None:
        """See `asyncio.Transport`."""
        if self._reading and self._tcp is not None:
            self._reading = False
            self._tcp.pause_reading()

    def resume_reading(self) -> None:
        """See `asyncio.Transport`."""
        if not self._reading and self._tcp is not None:
            self._reading = True
            self._tcp.resume_reading()

    def get_write_buffer_size(self) -> int:
        """See `asyncio.Transport`: encrypted bytes."""
        return 0 if self._tcp is None else self._tcp.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See `asyncio.Transport`."""
        if self._tcp is not None:
            self._tcp.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: object = None) -> object:
        """See `asyncio.Transport`; `CERTIFICATE` is what the peer's says, None without a verified one."""
        if name == CERTIFICATE:
            found: CertificateNames | None = self._session.certificate
            return found
        return default if self._tcp is None else self._tcp.get_extra_info(name, default)
