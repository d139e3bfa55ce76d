"""How the media of one leg is protected: what may be offered and answered, and our keys for it (RFC 4568).

A key of ours stays the same over renegotiations, so that they disturb no media; once it is no longer in use
it is never used again, because its packet numbers would begin anew with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sidestream.errors import StateError
from sidestream.sdp.crypto import (
    OFFERED,
    CryptoLine,
    CryptoSuite,
    KeyMaterial,
    SrtpKeys,
    barred,
    usable_lines,
)
from sidestream.sdp.model import MediaDescription, SessionDescription


def no_secret(_length: int) -> bytes:
    """Make no key, where none is needed."""
    raise StateError("a leg without SRTP needs no key")


@dataclass(slots=True)
class Protection:
    """The protection of one leg.

    Attributes:
        plain: whether RTP without protection is accepted.
        secure: whether SRTP is accepted, and offered.
        secret: makes so many bytes that nobody can guess.
        fell_back: whether the peer would not have SRTP, and is offered plain RTP instead.
    """

    plain: bool = True
    secure: bool = False
    secret: Callable[[int], bytes] = field(default=no_secret, repr=False)
    fell_back: bool = False
    _is_secure: bool | None = None
    _in_use: KeyMaterial | None = None
    _keys: dict[CryptoSuite, KeyMaterial] = field(default_factory=dict)

    def anew(self) -> Protection:
        """The same rules for another peer, with new keys."""
        return Protection(self.plain, self.secure, self.secret)

    def admitted(self, offer: SessionDescription) -> SessionDescription:
        """What a peer offered, with the sections barred that may not be used."""
        return barred(offer, plain=self.plain, secure=self.secure)

    @property
    def may_fall_back(self) -> bool:
        """Whether a peer that refuses SRTP may be offered plain RTP."""
        return self.plain and self.secure and not self.fell_back

    def proposals(self) -> tuple[CryptoLine, ...]:
        """The lines of an offer of ours; none where plain RTP is to be offered.

        A session that was agreed on without SRTP stays so: its peer may not have it.
        """
        if not self.secure or self.fell_back or self._is_secure is False:
            return ()
        return tuple(CryptoLine(tag, self._key(suite)) for tag, suite in enumerate(OFFERED, 1))

    def answer(self, offered: MediaDescription) -> CryptoLine | None:
        """The line of our answer to a section: the first of its lines that can be used (RFC 4568 5.1.2).

        Keys beside plain RTP, as older peers offer SRTP that is not required, are taken too.
        """
        lines = usable_lines(offered) if self.secure else ()
        if not lines:
            return None
        return CryptoLine(lines[0].tag, self._key(lines[0].material.suite))

    def note_use(self, keys: SrtpKeys | None, *, with_audio: bool) -> None:
        """Take note of what is in use from now on. A leg without audio for a while gets it back as it was."""
        send = keys.send if keys is not None else None
        spent, self._in_use = self._in_use, send
        if with_audio:
            self._is_secure = keys is not None
        if spent is not None and spent != send and self._keys.get(spent.suite) == spent:
            del self._keys[spent.suite]

    def _key(self, suite: CryptoSuite) -> KeyMaterial:
        if suite not in self._keys:
            self._keys[suite] = KeyMaterial(suite, self.secret(suite.key_salt_length))
        return self._keys[suite]
