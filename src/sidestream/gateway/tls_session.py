"""TLS of one connection as bytes in and bytes out; whoever has the socket carries them (RFC 8446)."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Final

from sidestream.gateway.tls_reasons import trouble_of
from sidestream.sip.domain_certificate import CertificateNames
from sidestream.sip.tls_failure import TlsFailure, TlsTrouble

_READ_BYTES: Final = 64 * 1024
_RECORD_HEADER: Final = 5
_HANDSHAKE: Final = 22
_ALERT: Final = 21


class TlsError(Exception):
    """The handshake, or a record, failed; `trouble` says why."""

    def __init__(self, trouble: TlsTrouble) -> None:
        super().__init__(str(trouble))
        self.trouble = trouble


Judge = Callable[[bytes | None], CertificateNames | None]
"""Looks at the certificate that the peer showed (DER, None without one) once its chain has been verified.

Returns what it says about the peer, None where nothing was verified.

Raises:
    TlsError: it is not who was wanted.
"""


class TlsSession:
    """One side of TLS.

    Args:
        context: versions, ciphers, our certificate, whom to trust.
        judge: decides about the peer's certificate.
        server: whether we are the server.
        server_name: what the client asks for (SNI); None for an IP address.

    Attributes:
        established: whether the handshake is done.
        certificate: what the peer's certificate says.
    """

    __slots__ = ("_first", "_incoming", "_judge", "_object", "_outgoing", "certificate", "established")

    def __init__(
        self, context: ssl.SSLContext, judge: Judge, *, server: bool, server_name: str | None = None
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server, server_name)
        self._judge = judge
        self._first: bytes | None = b""
        self.established = False
        self.certificate: CertificateNames | None = None

    @property
    def version(self) -> str:
        """Such as `TLSv1.3`; empty before the handshake."""
        return self._object.version() or ""

    @property
    def cipher(self) -> str:
        """Name of the cipher suite; empty before the handshake."""
        found = self._object.cipher()
        return found[0] if found else ""

    def feed(self, data: bytes) -> None:
        """Take in what came.

        Raises:
            TlsError: it does not begin as TLS does.
        """
        if self._first is not None:
            self._first += data[:_RECORD_HEADER]
            _check_beginning(self._first)
            if len(self._first) >= _RECORD_HEADER:
                self._first = None
        self._incoming.write(data)

    def feed_eof(self) -> None:
        """Take note that nothing more comes."""
        self._incoming.write_eof()

    def shake_hands(self) -> bool:
        """Go on with the handshake; true when it is done.

        Raises:
            TlsError: it failed; what is outgoing still tells the peer.
        """
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            raise TlsError(trouble_of(error)) from error
        self.certificate = self._judge(self._object.getpeercert(binary_form=True))
        self.established = True
        return True

    def read(self) -> tuple[bytes, bool]:
        """Take what the peer said; the flag says that it has closed.

        Raises:
            TlsError: a record cannot be read, or is an alert.
        """
        pieces = []
        try:
            while piece := self._object.read(_READ_BYTES):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            return b"".join(pieces), False
        except ssl.SSLZeroReturnError:
            return b"".join(pieces), True
        except ssl.SSLError as error:
            raise TlsError(trouble_of(error)) from error
        return b"".join(pieces), True

    def write(self, data: bytes) -> None:
        """Encrypt bytes.

        Raises:
            TlsError: nothing can be sent any more.
        """
        try:
            self._object.write(data)
        except ssl.SSLError as error:
            raise TlsError(trouble_of(error)) from error

    def say_goodbye(self) -> None:
        """Tell the peer that nothing more is sent (close_notify, RFC 8446 §6.1)."""
        try:
            self._object.unwrap()
        except ssl.SSLError:
            return  # it waits for the peer's, or the session is broken: either way all is said

    def outgoing(self) -> bytes:
        """What is to be sent; it is taken away."""
        return self._outgoing.read()


def _check_beginning(first: bytes) -> None:
    """Tell at the first bytes that a peer speaks something else, as SIP in the clear does.

    OpenSSL waits for the five of a record's header; a port scanner that sends fewer would be waited for.
    """
    if first[0] not in {_HANDSHAKE, _ALERT} or (len(first) > 1 and first[1] != 3):
        shown = "".join(chr(each) if 32 <= each < 127 else "." for each in first[:_RECORD_HEADER])
        raise TlsError(TlsTrouble(TlsFailure.NOT_TLS, f"it begins with {shown!r}, which is no TLS"))
