"""What is known about a recording server: what it is told to be, and what it has taught us."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sidestream.sip.digest_client import DigestClient
from sidestream.siprec.body import MetadataType
from sidestream.siprec.metadata import DataMode


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerProfile:
    """How a server wants to be spoken to.

    Attributes:
        metadata_type: the name of the metadata's media type that is tried first.
        mode: complete documents on every change, or partial ones after the first (RFC 7866 section 9.1).
        update: whether changes of the metadata alone go by UPDATE; else always by re-INVITE.
        session_expires_s: session interval that is asked for (RFC 4028), in seconds; None: not asked for.
            What the server asks for is done either way.
        metadata_in_bye: whether the last document rides in the BYE (as RFC 8068 shows) instead of before it.
    """

    metadata_type: MetadataType = MetadataType.XML
    mode: DataMode = DataMode.COMPLETE
    update: bool = True
    session_expires_s: int | None = 1800
    metadata_in_bye: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerMemory:
    """What a server has shown of itself, kept from one recording session to the next.

    Attributes:
        update_refused: it turned down an UPDATE that a re-INVITE had to replace.
        metadata_type: the type name that it accepted after refusing the other with 415.
        plain_codecs: it accepted only the fall-back codecs.
    """

    update_refused: bool = False
    metadata_type: MetadataType | None = None
    plain_codecs: bool = False


STRICT: Final = ServerProfile()
"""RFC 7866, RFC 7865 and RFC 9806 to the letter."""

NOTHING_LEARNED: Final = ServerMemory()


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server of a group.

    Attributes:
        uri: its SIP URI; its `transport` parameter says how it is reached.
        priority: lower is tried first.
        weight: share among servers of one priority; 0 comes last.
        profile: how it wants to be spoken to.
        auth: answers its challenges, if there are credentials for it.
    """

    uri: str
    priority: int = 1
    weight: int = 1
    profile: ServerProfile = STRICT
    auth: DigestClient | None = None
