"""Offers to recorders, and answers in every form that recorders give (RFC 7866 section 7, RFC 3264)."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import pytest

from sidestream.sdp import Direction, MediaAddress, Origin, SessionDescription
from sidestream.sdp.crypto import OFFERED, SrtpKeys, usable_lines
from sidestream.siprec.offer import (
    Note,
    OfferBook,
    Reading,
    StreamSource,
    StreamState,
    labels_of,
    preferring,
    read_answer,
)
from siprec_script import EVENT, G722, OPUS, PCMA, PCMU, answer_sdp, described, recorders_key, sources

ACCEPTED, REFUSED, WAITING = StreamState.ACCEPTED, StreamState.REFUSED, StreamState.WAITING


def book() -> OfferBook:
    return OfferBook(Origin("-", 7, 1, "127.0.0.1"))


def offer(direction: Direction = Direction.SENDONLY) -> SessionDescription:
    return book().offer(sources(), direction)


def read(body: bytes, direction: Direction = Direction.SENDONLY) -> Reading:
    return read_answer(offer(direction), described(body))


def states(reading: Reading) -> list[StreamState]:
    return [stream.state for stream in reading.streams]


# --- offers ----------------------------------------------------------------------------------------------


def test_one_sendonly_line_with_a_label_for_each_participant() -> None:
    made = offer()
    assert [(each.port, each.declared_direction, each.label) for each in made.media] == [
        (40000, Direction.SENDONLY, "1"),
        (40002, Direction.SENDONLY, "2"),
    ]
    assert labels_of(made) == ("1", "2")
    assert [codec.name for codec in made.media[0].codecs] == ["PCMA", "PCMU", "telephone-event"]
    assert made.media[0].ptime_ms == 20
    assert made.connection is not None
    assert made.connection.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("codec", "event", "names"),
    [
        (PCMU, EVENT, ["PCMU", "PCMA", "telephone-event"]),
        (G722, None, ["G722", "PCMA", "PCMU"]),
        (OPUS, None, ["opus", "PCMA", "PCMU"]),
        (None, EVENT, ["PCMA", "PCMU", "telephone-event"]),
        (OPUS, replace(EVENT, clock_rate=16000), ["opus", "PCMA", "PCMU"]),
    ],
)
def test_the_calls_own_codec_comes_first_then_what_it_can_be_made_into(
    codec: object, event: object, names: list[str]
) -> None:
    made = book().offer(sources(codec, event), Direction.SENDONLY)  # type: ignore[arg-type]
    assert [each.name for each in made.media[0].codecs] == names


def test_a_pause_is_inactive_and_the_version_counts_changes_only() -> None:
    said = book()
    first = said.offer(sources(), Direction.SENDONLY)
    assert said.offer(sources(), Direction.SENDONLY) == first
    paused = said.offer(sources(), Direction.INACTIVE)
    assert {each.declared_direction for each in paused.media} == {Direction.INACTIVE}
    assert (first.origin.version, paused.origin.version) == (1, 2)
    assert said.offer(sources(), Direction.SENDONLY).origin.version == 3
    assert paused.origin.session_id == first.origin.session_id


def test_a_payload_type_never_changes_its_meaning() -> None:
    said = book()
    said.offer(sources(OPUS), Direction.SENDONLY)
    other = replace(OPUS, name="speex", clock_rate=16000, channels=1, fmtp=None)
    second = said.offer(sources(other), Direction.SENDONLY)
    numbers = {codec.name: codec.payload_type for codec in second.media[0].codecs}
    assert numbers["speex"] not in {111, 0, 8, 101}
    third = said.offer(sources(OPUS), Direction.SENDONLY)
    assert third.media[0].codecs[0].payload_type == 111


def test_a_number_that_is_static_for_another_codec_is_not_used() -> None:
    made = book().offer(sources(replace(OPUS, payload_type=9)), Direction.SENDONLY)
    assert made.media[0].codecs[0].payload_type >= 96


def test_rtcp_elsewhere_is_told() -> None:
    moved = tuple(replace(each, local=MediaAddress("127.0.0.1", 40000, 41000)) for each in sources())
    assert book().offer(moved, Direction.SENDONLY).media[0].rtcp_port == 41000


def test_plain_offers_hold_what_every_recorder_takes() -> None:
    said = book()
    said.offer(sources(G722), Direction.SENDONLY)
    assert not said.adds_nothing(sources(G722))
    said.plain = True
    made = said.offer(sources(G722), Direction.SENDONLY)
    assert [codec.name for codec in made.media[0].codecs] == ["PCMA", "PCMU"]
    assert said.adds_nothing(sources(G722))


def test_what_cannot_be_transcoded_is_offered_as_it_is_or_not_at_all() -> None:
    opaque = tuple(replace(each, fallbacks=()) for each in sources(G722, None))
    said = book()
    made = said.offer(opaque, Direction.SENDONLY)
    assert [codec.name for codec in made.media[0].codecs] == ["G722"]
    assert said.adds_nothing(opaque)
    with pytest.raises(ValueError, match="cannot be offered"):
        replace(opaque[0], codec=None)


def test_a_stream_that_was_refused_keeps_its_place_and_port_0() -> None:
    said = book()
    said.refused = frozenset({"2"})
    made = said.offer(sources(), Direction.SENDONLY)
    assert [each.port for each in made.media] == [40000, 0]
    assert labels_of(made) == ("1", "2")
    reading = read_answer(made, described(answer_sdp(made)))
    assert states(reading) == [ACCEPTED, REFUSED]


def test_what_has_been_offered_need_not_be_offered_again() -> None:
    said = book()
    assert not said.covers(sources())
    said.offer(sources(PCMA, None), Direction.SENDONLY)
    assert said.covers(sources(PCMU, None))
    assert not said.covers(sources(G722, None))
    assert not said.covers(sources(PCMA, None)[:1])


# --- answers ---------------------------------------------------------------------------------------------


def test_recvonly_is_accepted_with_address_codec_and_key_presses() -> None:
    reading = read(answer_sdp(offer()))
    assert (states(reading), reading.notes) == ([ACCEPTED, ACCEPTED], ())
    stream = reading.streams[1]
    assert stream.remote == MediaAddress("127.0.0.9", 50002, 50003)
    assert stream.codec is not None
    assert stream.event is not None
    assert (stream.codec.name, stream.codec.remote_pt, stream.event.remote_pt) == ("PCMA", 8, 101)


@pytest.mark.parametrize(
    ("direction", "state", "note"),
    [
        (None, ACCEPTED, Note.NO_DIRECTION),
        ("sendrecv", ACCEPTED, Note.SENDRECV),
        ("sendonly", WAITING, Note.SENDONLY),
        ("inactive", WAITING, None),
    ],
)
def test_directions_that_are_not_by_the_book(
    direction: str | None, state: StreamState, note: Note | None
) -> None:
    reading = read(answer_sdp(offer(), direction=direction))
    assert states(reading) == [state, state]
    assert reading.notes == ((note,) if note else ())


@pytest.mark.parametrize(
    ("lines", "ptime_ms"),
    [
        (b"", 20),
        (b"a=ptime:30\r\n", 30),
        (b"a=maxptime:10\r\n", 10),
        (b"a=ptime:25\r\n", 20),
        (b"a=ptime:900\r\n", 200),
    ],
)
def test_the_recorders_packet_length_is_taken(lines: bytes, ptime_ms: int) -> None:
    reading = read(answer_sdp(offer()).replace(b"a=recvonly\r\n", b"a=recvonly\r\n" + lines))
    assert {each.ptime_ms for each in reading.streams} == {ptime_ms}


def test_port_0_refuses_one_stream_and_the_other_goes_on() -> None:
    reading = read(answer_sdp(offer(), ports=(50000, 0)))
    assert states(reading) == [ACCEPTED, REFUSED]
    assert not reading.refused_all
    assert read(answer_sdp(offer(), ports=(0, 0))).refused_all


def test_an_unspecified_address_gets_no_media() -> None:
    reading = read(answer_sdp(offer(), host="0.0.0.0"))  # noqa: S104 - as recorders write it
    assert (states(reading), reading.notes) == ([WAITING, WAITING], (Note.NO_ADDRESS,))
    assert reading.accepted == ()


@pytest.mark.parametrize(
    ("sections", "expected", "note"),
    [(1, [ACCEPTED, REFUSED], Note.FEWER_SECTIONS), (3, [ACCEPTED, ACCEPTED], Note.MORE_SECTIONS)],
)
def test_another_number_of_sections_is_read_by_index(
    sections: int, expected: Sequence[StreamState], note: Note
) -> None:
    reading = read(answer_sdp(offer(), sections=sections))
    assert states(reading) == expected
    assert note in reading.notes


def test_labels_are_informative_only() -> None:
    assert read(answer_sdp(offer(), labels=False)).notes == (Note.NO_LABEL,)
    swapped = answer_sdp(offer()).replace(b"label:1", b"label:x").replace(b"label:2", b"label:1")
    reading = read(swapped)
    assert [stream.label for stream in reading.streams] == ["1", "2"]
    assert reading.streams[0].remote == MediaAddress("127.0.0.9", 50000, 50001)
    assert reading.notes == (Note.OTHER_LABEL,)


def test_the_same_port_twice_is_accepted_and_noted() -> None:
    reading = read(answer_sdp(offer(), ports=(50000, 50000)))
    assert (states(reading), reading.notes) == ([ACCEPTED, ACCEPTED], (Note.SAME_PORT,))


def test_the_codec_of_the_call_is_kept_wherever_it_is_accepted() -> None:
    made = book().offer(sources(PCMU), Direction.SENDONLY)
    reading = read_answer(made, described(answer_sdp(made, formats="8 0 101")))
    assert [stream.codec.name for stream in reading.streams if stream.codec] == ["PCMU", "PCMU"]
    fallback = read_answer(made, described(answer_sdp(made, formats="8")))
    assert [stream.codec.name for stream in fallback.streams if stream.codec] == ["PCMA", "PCMA"]
    assert fallback.streams[0].event is None


def test_the_answers_numbers_go_on_the_wire() -> None:
    made = book().offer(sources(OPUS, None), Direction.SENDONLY)
    body = answer_sdp(made, formats="120").replace(b"a=recvonly", b"a=rtpmap:120 opus/48000/2\r\na=recvonly")
    codec = read_answer(made, described(body)).streams[0].codec
    assert codec is not None
    assert (codec.local_pt, codec.remote_pt) == (111, 120)


def test_no_codec_in_common_refuses_the_stream() -> None:
    reading = read(answer_sdp(offer(), formats="3"))
    assert (reading.refused_all, reading.notes) == (True, (Note.NO_COMMON_CODEC,))
    only_events = read(answer_sdp(offer(), formats="101"))
    assert only_events.refused_all


def test_another_transport_refuses_the_stream() -> None:
    body = answer_sdp(offer()).replace(b"RTP/AVP", b"RTP/SAVP")
    assert (read(body).refused_all, read(body).notes) == (True, (Note.OTHER_TRANSPORT,))


@pytest.mark.parametrize("direction", ["recvonly", "sendrecv", None])
def test_a_recorder_that_wants_media_while_paused_gets_none(direction: str | None) -> None:
    body = answer_sdp(offer(), direction=direction)
    reading = read(body, Direction.INACTIVE)
    assert (states(reading), reading.notes) == ([WAITING, WAITING], (Note.NOT_INACTIVE,))


def test_another_of_the_agreed_codecs_may_be_chosen_later() -> None:
    reading = read(answer_sdp(offer()))
    chosen = preferring(reading, {"1": PCMU.key, "2": G722.key})
    assert [stream.codec.name for stream in chosen.streams if stream.codec] == ["PCMU", "PCMA"]
    assert chosen.streams[0].event is not None


# --- the recorder's offers -------------------------------------------------------------------------------


def answered(body: bytes, *, paused: bool = False) -> tuple[SessionDescription, Reading]:
    said = book()
    said.offer(sources(), Direction.SENDONLY)
    return said.answer(sources(), described(body), paused=paused)


def test_recvonly_after_inactive_starts_the_media() -> None:
    said, reading = answered(answer_sdp(offer()))
    assert states(reading) == [ACCEPTED, ACCEPTED]
    assert [(each.declared_direction, each.label) for each in said.media] == [
        (Direction.SENDONLY, "1"),
        (Direction.SENDONLY, "2"),
    ]
    assert said.origin.version == 1  # the same as was offered: nothing has changed


def test_inactive_stops_it() -> None:
    said, reading = answered(answer_sdp(offer(), direction="inactive"))
    assert states(reading) == [WAITING, WAITING]
    assert {each.declared_direction for each in said.media} == {Direction.INACTIVE}


def test_a_stream_taken_away_is_confirmed_with_port_0() -> None:
    said, reading = answered(answer_sdp(offer(), ports=(50000, 0)))
    assert states(reading) == [ACCEPTED, REFUSED]
    assert [each.port for each in said.media] == [40000, 0]


def test_added_streams_are_refused() -> None:
    said, reading = answered(answer_sdp(offer(), sections=4))
    assert [each.port for each in said.media] == [40000, 40002, 0, 0]
    assert reading.notes == (Note.MORE_SECTIONS,)


def test_fewer_sections_than_before_lose_a_stream() -> None:
    said, reading = answered(answer_sdp(offer(), sections=1))
    assert len(said.media) == 1
    assert states(reading) == [ACCEPTED, REFUSED]


def test_while_paused_an_offer_is_answered_inactive_without_a_note() -> None:
    said, reading = answered(answer_sdp(offer()), paused=True)
    assert (states(reading), reading.notes) == ([WAITING, WAITING], ())
    assert {each.declared_direction for each in said.media} == {Direction.INACTIVE}


def test_an_answer_keeps_the_recorders_numbers_and_our_order() -> None:
    said, _ = answered(
        answer_sdp(offer(), formats="101 0 8").replace(
            b"a=label", b"a=rtpmap:101 telephone-event/8000\r\na=label"
        )
    )
    assert said.media[0].formats == ("8", "0", "101")


# --- SRTP ------------------------------------------------------------------------------------------------


def secret_book() -> OfferBook:
    numbers = count(1)
    return OfferBook(Origin("-", 7, 1, "127.0.0.1"), secret=lambda length: bytes([next(numbers)]) * length)


def secure() -> tuple[StreamSource, ...]:
    return tuple(replace(source, secure=True) for source in sources())


def test_secure_streams_are_offered_with_keys_of_their_own_that_stay() -> None:
    book = secret_book()
    made = book.offer(secure(), Direction.SENDONLY)
    assert [media.protocol for media in made.media] == ["RTP/SAVP", "RTP/SAVP"]
    keys = [line.material.key_salt for media in made.media for line in usable_lines(media)]
    assert len(set(keys)) == len(keys) == 2 * len(OFFERED)
    assert book.offer(secure(), Direction.SENDONLY) == made
    assert secret_book().offer(sources(), Direction.SENDONLY).media[0].protocol == "RTP/AVP"


def test_an_answer_with_a_key_is_sent_to_under_ours() -> None:
    made = secret_book().offer(secure(), Direction.SENDONLY)
    reading = read_answer(made, described(answer_sdp(made, crypto=True)))
    assert (states(reading), reading.notes) == ([ACCEPTED, ACCEPTED], ())
    for stream, media in zip(reading.streams, made.media, strict=True):
        line = usable_lines(media)[0]
        assert stream.srtp == SrtpKeys(line.material, recorders_key(line.material.suite))


def test_an_answer_that_is_less_protected_than_the_offer_is_no_agreement() -> None:
    made = secret_book().offer(secure(), Direction.SENDONLY)
    reading = read_answer(made, described(answer_sdp(made)))
    assert reading.refused_all
    assert reading.notes == (Note.OTHER_TRANSPORT,)
    other = described(answer_sdp(made, crypto=True).replace(b"a=crypto:1 ", b"a=crypto:9 "))
    assert read_answer(made, other).refused_all


def test_a_plain_session_does_not_cover_secure_streams() -> None:
    book = secret_book()
    book.offer(sources(), Direction.SENDONLY)
    assert book.covers(sources())
    assert not book.covers(secure())
    book.offer(secure(), Direction.SENDONLY)
    assert book.covers(secure())


def test_a_recorder_that_offers_is_answered_in_kind_or_refused() -> None:
    book = secret_book()
    first = book.offer(secure(), Direction.SENDONLY)
    theirs = described(answer_sdp(first, crypto=True))
    said, reading = book.answer(secure(), theirs, paused=False)
    assert [media.protocol for media in said.media] == ["RTP/SAVP", "RTP/SAVP"]
    for index, stream in enumerate(reading.streams):
        assert stream.srtp is not None
        assert stream.srtp.send == usable_lines(said.media[index])[0].material
    said, reading = book.answer(secure(), described(answer_sdp(first)), paused=False)
    assert reading.refused_all
    assert [media.port for media in said.media] == [0, 0]
