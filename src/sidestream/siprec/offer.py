"""Offers to a recorder, and what its answers mean (RFC 7866 sections 7.1 and 7.2, RFC 3264, RFC 4574).

One `sendonly` m-line with a label for each participant; `inactive` to pause. Answers are read by index, with
every sloppy form that recorders have been seen to give: what can be recorded is, what was odd is noted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from sidestream.sdp.codecs import DYNAMIC, OFFERABLE, STATIC, Codec, CodecKey
from sidestream.sdp.crypto import CryptoLine, SrtpKeys, agreed_keys
from sidestream.sdp.errors import NegotiationError
from sidestream.sdp.model import (
    SECURE_RTP,
    Connection,
    Direction,
    Line,
    MediaDescription,
    Origin,
    SessionDescription,
)
from sidestream.sdp.negotiate import MediaAddress, NegotiatedCodec, leg_codecs, remote_address
from sidestream.sdp.negotiate import refused as refused_section
from sidestream.sdp.protection import Protection, no_secret

FALLBACKS: Final = ("PCMA", "PCMU")
"""What every recorder can take, and what the engine can make of what it decodes."""

PTIME_MS: Final = 20
PTIME_MIN_MS: Final = 10
PTIME_MAX_MS: Final = 200


@dataclass(frozen=True, slots=True)
class StreamSource:
    """One participant's audio as we can offer it.

    Attributes:
        label: its label (RFC 4574), a token.
        local: where we send from and hear the recorder's RTCP.
        codec: what the participant sends in; None while that is unknown.
        event: its telephone-event, when key presses are relayed to the recorder.
        fallbacks: names of the codecs that `codec` can be transcoded to, in the order of preference.
        secure: whether it is sent by SRTP only.

    Raises:
        ValueError: there is nothing that it could be sent in.
    """

    label: str
    local: MediaAddress
    codec: Codec | None = None
    event: Codec | None = None
    fallbacks: tuple[str, ...] = FALLBACKS
    secure: bool = False

    def __post_init__(self) -> None:
        if self.codec is None and not self.fallbacks:
            raise ValueError("a stream without a codec cannot be offered")


class Note(StrEnum):
    """What was odd about an answer; each is counted by its name."""

    NO_DESCRIPTION = "no-description"
    """A 2xx to a re-INVITE without a session description: taken as no change."""
    NO_DIRECTION = "no-direction"
    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    """Illegal for an offer of `sendonly`: nothing is sent."""
    NOT_INACTIVE = "not-inactive"
    """`recvonly` or the like for an offer of `inactive`: nothing is sent all the same."""
    FEWER_SECTIONS = "fewer-sections"
    MORE_SECTIONS = "more-sections"
    NO_LABEL = "no-label"
    OTHER_LABEL = "other-label"
    """Sections are told apart by their place, whatever they are called."""
    SAME_PORT = "same-port"
    NO_ADDRESS = "no-address"
    """0.0.0.0 or the like."""
    NO_COMMON_CODEC = "no-common-codec"
    OTHER_TRANSPORT = "other-transport"
    """Neither RTP nor SRTP as it was offered, or no key that was offered."""


class StreamState(StrEnum):
    """What the recorder makes of a stream."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    WAITING = "waiting"
    """Not wanted now: `inactive` on either side."""


@dataclass(frozen=True, slots=True)
class StreamResult:
    """What was agreed on one stream.

    Attributes:
        label: which stream.
        state: what it may do.
        remote: where the recorder wants RTP and RTCP, its host possibly a domain name; None when nowhere.
        codec: what is sent; `remote_pt` is the payload type that goes on the wire. None unless accepted.
        event: the telephone-event that is sent, when both sides have one of the codec's clock rate.
        choices: every format that was agreed; `codec` and `event` are of them.
        ptime_ms: length of the packets that the recorder wants.
        srtp: the keys; None: plain RTP.
    """

    label: str
    state: StreamState
    remote: MediaAddress | None = None
    codec: NegotiatedCodec | None = None
    event: NegotiatedCodec | None = None
    choices: tuple[NegotiatedCodec, ...] = ()
    ptime_ms: int = PTIME_MS
    srtp: SrtpKeys | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer or an offer of the recorder means: one result for each of our streams, in order."""

    streams: tuple[StreamResult, ...]
    notes: tuple[Note, ...] = ()

    @property
    def accepted(self) -> tuple[StreamResult, ...]:
        """The streams that are sent."""
        return tuple(stream for stream in self.streams if stream.state is StreamState.ACCEPTED)

    @property
    def refused_all(self) -> bool:
        """Whether there is nothing to record with."""
        return all(stream.state is StreamState.REFUSED for stream in self.streams)


@dataclass(slots=True)
class OfferBook:
    """What we have said on one recording session, so that each offer continues the last (RFC 3264 section 8).

    Attributes:
        origin: our `o=` line; its version counts the changes.
        last: the newest description that we sent.
        plain: whether only the fall-back codecs are offered, without telephone-event.
        refused: labels of streams that the recorder refused: they keep port 0 until they have another codec.
        secret: makes so many bytes that nobody can guess, for keys.
    """

    origin: Origin
    last: SessionDescription | None = None
    plain: bool = False
    refused: frozenset[str] = frozenset()
    secret: Callable[[int], bytes] = field(default=no_secret, repr=False)
    _numbers: dict[int, tuple[CodecKey, str | None]] = field(default_factory=dict)
    _protections: dict[str, Protection] = field(default_factory=dict, repr=False)

    def offer(self, sources: Sequence[StreamSource], direction: Direction) -> SessionDescription:
        """Make the next offer.

        Args:
            sources: all streams, the known ones first and in their order.
            direction: `sendonly`, or `inactive` to pause.
        """
        sections = [self._section(source, direction) for source in sources]
        return self._say(sections, sources[0].local.host)

    def answer(
        self, sources: Sequence[StreamSource], theirs: SessionDescription, *, paused: bool
    ) -> tuple[SessionDescription, Reading]:
        """Answer an offer of the recorder, which may take streams away or back, not add any (RFC 7866 7.2).

        Args:
            sources: our streams.
            theirs: the offer.
            paused: whether nothing is to be sent, whatever the recorder wants.
        """
        keys = [
            self._protection(source).answer(section)
            for source, section in zip(sources, theirs.media, strict=False)
        ]
        reading = read_offer(sources, theirs, paused=paused, keys=keys)
        sections = []
        for index, section in enumerate(theirs.media):
            result = reading.streams[index] if index < len(sources) else None
            if result is None or result.state is StreamState.REFUSED:
                sections.append(refused_section(section))
                continue
            direction = Direction.SENDONLY if result.state is StreamState.ACCEPTED else Direction.INACTIVE
            codecs = _known(section, sources[index])
            self._remember(codecs)
            crypto = [line] if (line := keys[index]) is not None else []
            protocol = section.protocol
            sections.append(_write(sources[index], codecs, direction, crypto=crypto, protocol=protocol))
        return self._say(sections, sources[0].local.host), reading

    def adds_nothing(self, sources: Sequence[StreamSource]) -> bool:
        """Whether offering only the fall-back codecs would offer the same formats as the last offer did."""
        if self.last is None:
            return False
        if any(not source.fallbacks for source in sources):
            return True
        before = [{codec.key for codec in section.codecs} for section in self.last.media]
        return before == [{codec.key for codec in _fallbacks(source)} for source in sources]

    def covers(self, sources: Sequence[StreamSource]) -> bool:
        """Whether every codec that an offer would hold now was in our last description already."""
        sections = self.last.media if self.last is not None else ()
        if len(sections) != len(sources):
            return False
        if any(
            source.secure and not _is_secure(each) for source, each in zip(sources, sections, strict=True)
        ):
            return False
        said = [{codec.key for codec in section.codecs} for section in sections]
        return all(
            source.label in self.refused or {codec.key for codec in self._codecs(source)} <= keys
            for source, keys in zip(sources, said, strict=True)
        )

    def _codecs(self, source: StreamSource) -> list[Codec]:
        return _fallbacks(source) if self.plain else offered_codecs(source)

    def _section(self, source: StreamSource, direction: Direction) -> MediaDescription:
        numbered = [self._numbered(codec) for codec in self._codecs(source)]
        crypto = self._protection(source).proposals() if source.secure else ()
        return _write(source, numbered, direction, refused=source.label in self.refused, crypto=crypto)

    def _protection(self, source: StreamSource) -> Protection:
        """Our keys for a stream in this session: the same in each description."""
        if source.label not in self._protections:
            self._protections[source.label] = Protection(secure=True, secret=self.secret)
        return self._protections[source.label]

    def _numbered(self, codec: Codec) -> Codec:
        """Give a codec the number it had, or its own, or a free one: a number never changes its meaning."""
        meaning = codec.key, codec.fmtp
        for number, known in self._numbers.items():
            if known == meaning:
                return Codec(codec.name, codec.clock_rate, codec.channels, number, codec.fmtp)
        number = codec.payload_type
        if number in self._numbers or (number in STATIC and STATIC[number] != codec.key):
            number = next((each for each in DYNAMIC if each not in self._numbers), number)
        made = Codec(codec.name, codec.clock_rate, codec.channels, number, codec.fmtp)
        self._remember([made])
        return made

    def _remember(self, codecs: Sequence[Codec]) -> None:
        for codec in codecs:
            self._numbers.setdefault(codec.payload_type, (codec.key, codec.fmtp))

    def _say(self, sections: Sequence[MediaDescription], host: str) -> SessionDescription:
        lines = (
            Line("v", "0"),
            Line("o", self.origin.value),
            Line("s", "-"),
            Line("c", Connection.of(host).value),
            Line("t", "0 0"),
        )
        said = SessionDescription(lines, tuple(sections))
        if self.last is not None and said != self.last:
            self.origin = self.origin.with_version(self.origin.version + 1)
            said = said.with_origin(self.origin)
        self.last = said
        return said


def offered_codecs(source: StreamSource) -> list[Codec]:
    """The codecs of a stream's offer: the participant's own, what it can be made into, its key presses."""
    codecs = [source.codec] if source.codec is not None else []
    known = {codec.key for codec in codecs}
    codecs += [codec for codec in _fallbacks(source) if codec.key not in known]
    if source.event is not None and source.event.clock_rate in {codec.clock_rate for codec in codecs}:
        codecs.append(source.event)
    return codecs


def labels_of(description: SessionDescription) -> tuple[str, ...]:
    """The labels that a description defines."""
    return tuple(section.label for section in description.media if section.label)


def read_answer(offer: SessionDescription, answer: SessionDescription) -> Reading:
    """Read the recorder's answer to an offer of ours.

    Args:
        offer: what we offered; its sections have labels.
        answer: what came back, with as many sections or not.
    """
    notes: list[Note] = []
    if len(answer.media) != len(offer.media):
        few = len(answer.media) < len(offer.media)
        notes.append(Note.FEWER_SECTIONS if few else Note.MORE_SECTIONS)
    results = []
    for index, ours in enumerate(offer.media):
        theirs = answer.media[index] if index < len(answer.media) else None
        results.append(_read_section(ours, theirs, answer, notes))
    _note_same_port(results, notes)
    return Reading(tuple(results), tuple(dict.fromkeys(notes)))


def read_offer(
    sources: Sequence[StreamSource],
    offer: SessionDescription,
    *,
    paused: bool,
    keys: Sequence[CryptoLine | None] = (),
) -> Reading:
    """Read an offer of the recorder: what it wants of our streams, and what each will do.

    Args:
        sources: our streams.
        offer: the offer.
        paused: whether nothing is to be sent.
        keys: our answers to the keys of its sections, in order.
    """
    notes: list[Note] = []
    if len(offer.media) != len(sources):
        notes.append(Note.FEWER_SECTIONS if len(offer.media) < len(sources) else Note.MORE_SECTIONS)
    results = []
    for index, source in enumerate(sources):
        theirs = offer.media[index] if index < len(offer.media) else None
        if theirs is None or theirs.port == 0:
            results.append(StreamResult(source.label, StreamState.REFUSED))
            continue
        direction = Direction.INACTIVE if paused else Direction.SENDONLY
        crypto = [line] if index < len(keys) and (line := keys[index]) is not None else []
        ours = _write(source, _known(theirs, source), direction, crypto=crypto, protocol=theirs.protocol)
        if source.secure and not crypto:
            notes.append(Note.OTHER_TRANSPORT)
            results.append(StreamResult(source.label, StreamState.REFUSED))
            continue
        results.append(_judge(ours, theirs, offer, notes, we_answer=True))
    _note_same_port(results, notes)
    # An offer that comes while we pause cannot know of it: nothing is odd about wanting media then.
    return Reading(tuple(results), tuple(dict.fromkeys(n for n in notes if n is not Note.NOT_INACTIVE)))


def _read_section(
    ours: MediaDescription, theirs: MediaDescription | None, answer: SessionDescription, notes: list[Note]
) -> StreamResult:
    label = ours.label or ""
    if ours.port == 0 or theirs is None or theirs.port == 0:
        return StreamResult(label, StreamState.REFUSED)
    if theirs.label is None:
        notes.append(Note.NO_LABEL)
    elif theirs.label != label:
        notes.append(Note.OTHER_LABEL)
    return _judge(ours, theirs, answer, notes)


def _judge(
    ours: MediaDescription,
    theirs: MediaDescription,
    whole: SessionDescription,
    notes: list[Note],
    *,
    we_answer: bool = False,
) -> StreamResult:
    """What becomes of a stream, given both sides' sections."""
    label = ours.label or ""
    same = _is_secure(ours) is _is_secure(theirs)
    try:
        keys = agreed_keys(ours, theirs, we_answered=we_answer)
    except NegotiationError:
        same, keys = False, None
    if theirs.kind != "audio" or not theirs.is_rtp or not same:
        notes.append(Note.OTHER_TRANSPORT)
        return StreamResult(label, StreamState.REFUSED)
    codecs = leg_codecs(ours, theirs)
    codec = _in_use(ours, codecs)
    if codec is None:
        notes.append(Note.NO_COMMON_CODEC)
        return StreamResult(label, StreamState.REFUSED)
    remote = remote_address(whole, theirs)
    if remote is None:
        notes.append(Note.NO_ADDRESS)
    if not _wanted(ours, theirs, whole, notes) or remote is None:
        return StreamResult(label, StreamState.WAITING, remote, choices=tuple(codecs), srtp=keys)
    event = _event_for(codec, codecs)
    length = _packet_length(theirs)
    return StreamResult(label, StreamState.ACCEPTED, remote, codec, event, tuple(codecs), length, keys)


def _packet_length(theirs: MediaDescription) -> int:
    """What the recorder wants of packet lengths, within what a codec of 8 kHz can be cut into."""
    wanted = min(theirs.ptime_ms or PTIME_MS, theirs.maxptime_ms or PTIME_MAX_MS)
    return max(PTIME_MIN_MS, min(wanted - wanted % 10, PTIME_MAX_MS))


def _event_for(codec: NegotiatedCodec, codecs: Sequence[NegotiatedCodec]) -> NegotiatedCodec | None:
    """The key presses that go with a codec: of its clock rate (RFC 4733 section 2.5.1.1)."""
    named = (each for each in codecs if each.name.upper() == "TELEPHONE-EVENT")
    return next((each for each in named if each.clock_rate == codec.clock_rate), None)


def preferring(reading: Reading, keys: Mapping[str, CodecKey]) -> Reading:
    """The same agreement, each stream sent in the codec that its label is given, where that was agreed."""
    streams = []
    for stream in reading.streams:
        key = keys.get(stream.label)
        found = [
            each
            for each in stream.choices
            if CodecKey(each.name.upper(), each.clock_rate, each.channels) == key
        ]
        if stream.state is StreamState.ACCEPTED and found:
            event = _event_for(found[0], stream.choices)
            streams.append(replace(stream, codec=found[0], event=event))
        else:
            streams.append(stream)
    return replace(reading, streams=tuple(streams))


def _wanted(
    ours: MediaDescription, theirs: MediaDescription, whole: SessionDescription, notes: list[Note]
) -> bool:
    """Whether the stream is to be sent; directions that are not by the book are noted."""
    direction = theirs.declared_direction
    told = _tells_direction(theirs) or _tells_direction(whole)
    if not ours.declared_direction.sends:
        if direction is not Direction.INACTIVE:
            notes.append(Note.NOT_INACTIVE)
        return False
    if direction is Direction.SENDRECV:
        notes.append(Note.SENDRECV if told else Note.NO_DIRECTION)
    elif direction is Direction.SENDONLY:
        notes.append(Note.SENDONLY)
    return direction.receives


def _tells_direction(section: MediaDescription | SessionDescription) -> bool:
    names = {direction.value for direction in Direction}
    return any(attribute.name in names for attribute in section.attributes)


def _in_use(ours: MediaDescription, codecs: Sequence[NegotiatedCodec]) -> NegotiatedCodec | None:
    """Which codec to send in: our first that was accepted, for what is not transcoded is bit-exact."""
    voices = {each.local_pt: each for each in codecs if each.name.upper() not in {"TELEPHONE-EVENT", "CN"}}
    return next((voices[each.payload_type] for each in ours.codecs if each.payload_type in voices), None)


def _note_same_port(results: Sequence[StreamResult], notes: list[Note]) -> None:
    targets = [(each.remote.host, each.remote.rtp_port) for each in results if each.remote is not None]
    if len(set(targets)) != len(targets):
        notes.append(Note.SAME_PORT)


def _fallbacks(source: StreamSource) -> list[Codec]:
    return [OFFERABLE[name] for name in source.fallbacks if name in OFFERABLE]


def _known(section: MediaDescription, source: StreamSource) -> list[Codec]:
    """The codecs of the recorder's section that a stream can be sent in: our order, its numbers."""
    theirs = {codec.key: codec for codec in reversed(section.codecs)}
    ours = (codec for codec in offered_codecs(source) if codec.key in theirs)
    return [replace(codec, payload_type=theirs[codec.key].payload_type) for codec in ours]


def _is_secure(section: MediaDescription) -> bool:
    return section.protocol in SECURE_RTP


def _write(
    source: StreamSource,
    codecs: Sequence[Codec],
    direction: Direction,
    *,
    refused: bool = False,
    crypto: Sequence[CryptoLine] = (),
    protocol: str = "",
) -> MediaDescription:
    formats = " ".join(str(codec.payload_type) for codec in codecs)
    protocol = protocol or ("RTP/SAVP" if crypto else "RTP/AVP")
    lines = [Line("m", f"audio {0 if refused else source.local.rtp_port} {protocol} {formats}")]
    for codec in codecs:
        lines.append(Line("a", f"rtpmap:{codec.rtpmap}"))
        if codec.fmtp is not None:
            lines.append(Line("a", f"fmtp:{codec.payload_type} {codec.fmtp}"))
    lines += [line.attribute.line for line in crypto]
    lines.append(Line("a", f"ptime:{PTIME_MS}"))
    if source.local.rtcp_port != source.local.rtp_port + 1:
        lines.append(Line("a", f"rtcp:{source.local.rtcp_port}"))
    lines += [Line("a", direction.value), Line("a", f"label:{source.label}")]
    return MediaDescription(tuple(lines))
