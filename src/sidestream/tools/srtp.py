"""SRTP of the tools: the media engine's own, packet by packet."""

from __future__ import annotations

from sidestream.gateway.engine_messages import SrtpPair, encode
from sidestream.gateway.media import MediaError, Srtp
from sidestream.sdp.crypto import SrtpKeys


class SrtpParty:
    """Protects what a party sends and opens what it receives; with no keys, both go as they are.

    `refused` counts packets that were not opened, by reason.
    """

    def __init__(self) -> None:
        self.refused: dict[str, int] = {}
        self._srtp: Srtp | None = None
        self._keys: SrtpKeys | None = None

    def agree(self, keys: SrtpKeys | None) -> None:
        """Take the keys that were agreed on; those in use already go on."""
        if keys == self._keys:
            return
        self._keys = keys
        if keys is None:
            self._srtp = None
            return
        pair = encode(SrtpPair.of(keys))
        if self._srtp is None:
            self._srtp = Srtp(pair)
        else:
            self._srtp.rekey(pair)

    def protect(self, packet: bytes) -> bytes:
        """Return an RTP packet as it goes out."""
        return packet if self._srtp is None else self._srtp.protect(packet)

    def protect_report(self, packet: bytes) -> bytes:
        """Return an RTCP packet as it goes out."""
        return packet if self._srtp is None else self._srtp.protect_report(packet)

    def unprotect(self, packet: bytes) -> bytes | None:
        """Return an RTP packet as it was before; None when it is refused."""
        if self._srtp is None:
            return packet
        try:
            return self._srtp.unprotect(packet)
        except MediaError as error:
            self._count(error)
            return None

    def unprotect_report(self, packet: bytes) -> bytes | None:
        """Return an RTCP packet as it was before; None when it is refused."""
        if self._srtp is None:
            return packet
        try:
            return self._srtp.unprotect_report(packet)
        except MediaError as error:
            self._count(error)
            return None

    def _count(self, error: MediaError) -> None:
        self.refused[error.kind] = self.refused.get(error.kind, 0) + 1
