"""SIPREC: any order of events ends in one verdict; any bytes are a value or the one error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from sidestream.errors import RemoteError
from sidestream.sip.events import ServerKey
from sidestream.sip.message import Headers, Request
from sidestream.siprec.body import read_body
from sidestream.siprec.check import check
from sidestream.siprec.commands import (
    ClearTimer,
    Finish,
    Respond,
    SendRequest,
    SetTimer,
    StartMedia,
    StopMedia,
)
from sidestream.siprec.context import WallClock
from sidestream.siprec.errors import MetadataError
from sidestream.siprec.events import (
    AckArrived,
    AckTimedOut,
    CallEnded,
    CodecsChanged,
    MediaFailed,
    PauseAsked,
    PeerLost,
    PeerSuspected,
    RequestArrived,
    RequestTimedOut,
    RequestTransportFailed,
    ResponseArrived,
    ResumeAsked,
    SnapshotDue,
    StopAsked,
    StreamCodec,
    TimerFired,
    TimerName,
)
from sidestream.siprec.group import GroupPolicy, ServerGroup
from sidestream.siprec.ledger import Party
from sidestream.siprec.metadata import (
    DataMode,
    Extension,
    Group,
    LangText,
    NameId,
    Param,
    Participant,
    ParticipantSession,
    ParticipantStream,
    Reason,
    Recording,
    Session,
    SessionRecording,
    SnapshotRequest,
    Stream,
    make_id,
)
from sidestream.siprec.outcome import (
    ClearRecordingTimer,
    FinishRecording,
    RecordingTimer,
    RecordingTimerFired,
    SetRecordingTimer,
)
from sidestream.siprec.profile import Server, ServerProfile
from sidestream.siprec.recording import Recording as RecordingMachine
from sidestream.siprec.recording import RecordingSetup
from sidestream.siprec.xml import parse, serialize
from siprec_script import (
    BEGIN,
    G722,
    PCMU,
    Script,
    answer_sdp,
    at,
    identity,
    ledger,
    make_response,
    offer_of,
    script,
    sources,
)

# --- metadata --------------------------------------------------------------------------------------------

CHARACTERS = st.characters(
    codec="utf-8", exclude_characters="\ufffe\uffff", categories=("L", "N", "P", "S", "Zs")
)
WORDS = st.text(CHARACTERS, max_size=12)
IDS = st.binary(min_size=16, max_size=16).map(make_id)
TIMES = st.none() | st.datetimes(
    datetime(1990, 1, 1),  # noqa: DTZ001 - bounds have no zone
    datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
LANG = st.builds(LangText, WORDS, st.sampled_from([None, "en", "it"]))
NAMES = st.sampled_from(["{urn:x}a", "{http://example.com/my}b-c", "{urn:x}D"])
ATTRIBUTES = st.dictionaries(st.sampled_from(["k", "l", "{urn:y}m"]), WORDS, max_size=2).map(
    lambda found: tuple(sorted(found.items()))
)
LEAVES = st.builds(Extension, NAMES, ATTRIBUTES, WORDS, st.just(()), WORDS)
INNER = st.lists(LEAVES, max_size=2).map(tuple)
EXTENSIONS = st.lists(st.builds(Extension, NAMES, ATTRIBUTES, WORDS, INNER), max_size=2).map(tuple)
LABELS = st.none() | st.sampled_from(["1", "2", "96", "a_leg"])
TOKENS = st.sampled_from(["ab30;remote=47", "x"])


def tuples(items: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(items, max_size=2).map(tuple)


DOCUMENTS: st.SearchStrategy[Recording | SnapshotRequest] = st.one_of(
    st.builds(SnapshotRequest, st.none() | LANG, EXTENSIONS),
    st.builds(
        Recording,
        st.none() | st.sampled_from(DataMode),
        tuples(st.builds(Group, IDS, TIMES, TIMES, EXTENSIONS)),
        tuples(
            st.builds(
                Session,
                IDS,
                tuples(TOKENS),
                tuples(
                    st.builds(Reason, st.integers(-32768, 32767), WORDS, st.sampled_from(["SIP", "Q.850"]))
                ),
                st.none() | IDS,
                TIMES,
                TIMES,
                EXTENSIONS,
            )
        ),
        tuples(
            st.builds(
                Participant,
                IDS,
                st.lists(st.builds(NameId, st.just("sip:a@b"), st.none() | LANG), min_size=1, max_size=2).map(
                    tuple
                ),
                EXTENSIONS,
            )
        ),
        tuples(st.builds(Stream, IDS, st.none() | IDS, LABELS, EXTENSIONS)),
        tuples(st.builds(SessionRecording, IDS, TIMES, TIMES, EXTENSIONS)),
        tuples(
            st.builds(
                ParticipantSession, IDS, IDS, TIMES, TIMES, tuples(st.builds(Param, WORDS, WORDS)), EXTENSIONS
            )
        ),
        tuples(st.builds(ParticipantStream, IDS, tuples(IDS), tuples(IDS), TIMES, TIMES, EXTENSIONS)),
        EXTENSIONS,
    ),
)


@given(DOCUMENTS)
def test_what_is_written_is_read_back(document: Recording | SnapshotRequest) -> None:
    data = serialize(document)
    assert parse(data) == document
    assert not [error for error in check(data) if error.startswith("schema")]


@given(st.binary(max_size=300))
def test_any_bytes_are_metadata_or_the_one_error(data: bytes) -> None:
    with contextlib.suppress(MetadataError):
        parse(data)


@given(DOCUMENTS, st.data())
def test_a_damaged_document_is_metadata_or_the_one_error(document: Recording, data: st.DataObject) -> None:
    text = bytearray(serialize(document))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place : place + data.draw(st.integers(0, 9))] = data.draw(
            st.sampled_from([b"", b"<", b">", b"&", b"<a>", b"</recording>", b"<!--", b"\x00", b"\xff", b'"'])
        )
    with contextlib.suppress(MetadataError):
        parse(bytes(text))
    assert isinstance(check(bytes(text)), list)


@given(
    st.sampled_from(
        [
            None,
            "application/sdp",
            "multipart/mixed;boundary=b",
            "multipart/mixed",
            "application/rs-metadata",
            "\xe9;=",
        ]
    ),
    st.binary(max_size=200)
    | st.lists(
        st.sampled_from(
            [
                b"--b\r\n",
                b"--b--",
                b"\r\n",
                b"\r\n\r\n",
                b"Content-Type: application/sdp",
                b"v=0\r\n",
                b":",
                b"<r/>",
            ]
        ),
        max_size=12,
    ).map(b"".join),
)
def test_any_body_is_read_or_refused(content_type: str | None, body: bytes) -> None:
    request = Request("UPDATE", "sip:a@b", Headers(), body)
    if content_type is not None:
        request.headers.append_wire("Content-Type", content_type)
    with contextlib.suppress(RemoteError):
        read_body(request)


# --- one session -----------------------------------------------------------------------------------------

Step = Callable[[Script], object]

FORMS: list[dict[str, object]] = [
    {},
    {"direction": "inactive"},
    {"direction": None},
    {"ports": (50000, 0)},
    {"ports": (0, 0)},
    {"sections": 1},
    {"sections": 3},
    {"host": "0.0.0.0"},  # noqa: S104 - as recorders write it
    {"formats": "3"},
]
STATUSES = [100, 180, 200, 202, 302, 401, 408, 415, 422, 481, 487, 488, 491, 500, 503, 603]
EVENTS = [
    SnapshotDue(),
    PauseAsked(),
    ResumeAsked(),
    StopAsked(),
    PeerLost(1, "gone"),
    PeerSuspected(1),
    MediaFailed(1, "io"),
    CodecsChanged((StreamCodec("1", PCMU),)),
    CodecsChanged((StreamCodec("1", G722), StreamCodec("2", G722))),
]
BODIES = [b"", b"v=0\r\n", b"<requestsnapshot xmlns='urn:ietf:params:xml:ns:recording:1'/>", b"--x--"]


def respond(status: int, form: dict[str, object] | None, pick: int) -> Step:
    def step(play: Script) -> object:
        if not play.sent:
            return None
        sent = play.sent[pick % len(play.sent)]
        body = b""
        if form is not None and read_body(sent.request).description is not None:
            body = answer_sdp(offer_of(sent.request), **form)  # type: ignore[arg-type]
        headers = [("Session-Expires", "90;refresher=uas")] if status == 202 else []
        return play.respond(sent, status, body, headers)

    return step


def ask(method: str, form: dict[str, object] | None, body: bytes, kind: str) -> Step:
    def step(play: Script) -> object:
        if form is not None:
            return play.request(method, answer_sdp(offer_of(play.sent[0].request), **form))  # type: ignore[arg-type]
        return play.request(method, body, content_type=kind)

    return step


def acknowledge(play: Script) -> object:
    return play.apply(AckArrived(1, play.in_dialog("ACK", play._cseq)))


STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(respond, st.just(200), st.sampled_from(FORMS[:4]), st.just(-1)),
    st.builds(respond, st.sampled_from(STATUSES), st.none() | st.sampled_from(FORMS), st.integers(-3, 3)),
    st.builds(
        ask,
        st.sampled_from(["INVITE", "UPDATE", "OPTIONS", "INFO", "BYE", "REFER"]),
        st.none() | st.sampled_from(FORMS),
        st.sampled_from(BODIES),
        st.sampled_from(["application/sdp", "application/rs-metadata", "multipart/mixed;boundary=x"]),
    ),
    st.just(acknowledge),
    st.sampled_from(EVENTS).map(lambda event: lambda play: play.apply(event)),
    st.sampled_from(TimerName).map(lambda name: lambda play: play.apply(TimerFired(1, name), 40.0)),
    st.integers(1, 6).map(lambda number: lambda play: play.apply(RequestTimedOut(1, number))),
    st.integers(1, 6).map(lambda number: lambda play: play.apply(RequestTransportFailed(1, number))),
    st.integers(1, 6).map(lambda number: lambda play: play.apply(AckTimedOut(1, ServerKey(number)))),
    st.sampled_from(["a", "b"]).map(lambda side: lambda play: play.ledger.held(side)),
    st.integers(0, 9).map(
        lambda number: lambda play: play.ledger.party_updated("a", Party(f"sip:{number}@x"))
    ),
)


@given(
    st.sampled_from([None, *FORMS[:4]]),
    st.lists(STEPS, max_size=30),
    st.sampled_from(DataMode),
    st.booleans(),
)
def test_any_order_of_events_ends_a_session_in_one_verdict(
    accepted: dict[str, object] | None, steps: list[Step], mode: DataMode, bye: bool
) -> None:
    # Each document that goes out is judged by the script; a flaw fails the test at once.
    play = script(ServerProfile(mode=mode, metadata_in_bye=bye))
    watch = _Watch(play)
    play.start()
    watch.see()
    if accepted is not None:
        respond(200, accepted, 0)(play)
        watch.see()
    for step in steps:
        step(play)
        watch.see()
    play.ledger.ended(at(play.now + 1))
    play.apply(CallEnded())
    watch.see()
    for _ in range(12):
        if play.session.finished:
            break
        for name in sorted(watch.timers):
            play.apply(TimerFired(1, name), 1.0)
            watch.see()
    assert play.session.finished, play.session.state
    assert watch.finishes == 1
    assert play.session.failure is None, play.session.failure


class _Watch:
    """Holds the invariants of `siprec.session` after each event."""

    def __init__(self, play: Script) -> None:
        self._play = play
        self._commands: object = None
        self.timers: set[TimerName] = set()
        self.flowing: set[str] = set()
        self.finishes = 0
        self.answered: set[int] = set()

    def see(self) -> None:  # noqa: C901 - one case for each command
        if self._play.commands is self._commands:  # a step that was no event
            return
        self._commands = self._play.commands
        for command in self._play.commands:
            assert self.finishes == 0, "nothing is ordered after Finish"
            match command:
                case SetTimer(name=name):
                    self.timers.add(name)
                case ClearTimer(name=name):
                    self.timers.discard(name)
                case StartMedia(streams=streams):
                    self.flowing |= {stream.label for stream in streams}
                    assert all(stream.remote is not None and stream.codec is not None for stream in streams)
                case StopMedia(labels=labels):
                    assert set(labels) <= self.flowing
                    self.flowing -= set(labels)
                case Respond(key=key):
                    assert key not in self.answered, "one final response for each request"
                    self.answered.add(key)
                case Finish():
                    self.finishes += 1
                case _:
                    pass
        context = self._play.session._ctx
        self.timers &= context._timers
        if context.paused or context.ending or self.finishes:
            assert not self.flowing
        if self.finishes:
            assert not self.timers


# --- a whole recording -----------------------------------------------------------------------------------

SERVERS = tuple(Server(uri=f"sip:{name}@127.0.0.9", priority=1 + (name == "c")) for name in "abc")


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9), st.sampled_from(STATUSES), st.sampled_from([*FORMS, None]), st.integers(0, 8)
        ),
        max_size=40,
    ),
    st.integers(1, 3),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from(["hunt", "round_robin"]),
)
def test_any_order_of_events_ends_a_recording_in_one_verdict(
    steps: list[tuple[int, int, dict[str, object] | None, int]],
    copies: int,
    accepting: int,
    mandatory: bool,
    strategy: str,
) -> None:
    policy = GroupPolicy(strategy=strategy, failures_to_open=2)  # type: ignore[arg-type]
    ours = identity()
    setup = RecordingSetup(
        sources=tuple(sources(port=40000 + 10 * index) for index in range(copies)),
        identify=lambda _server: ours,
        clock=WallClock(BEGIN, 0.0),
        mandatory=mandatory,
    )
    book = ledger()
    machine = RecordingMachine(setup, book, ServerGroup(SERVERS, policy, lambda: 0.3), 0.0)
    run = _Run(machine)
    run.took(machine.start(0.0))
    for number in range(accepting):
        run.step(0, 200, {}, number)
    for kind, status, form, pick in steps:
        run.step(kind, status, form, pick)
    book.ended(at(run.now))
    run.tell(CallEnded())
    for _ in range(20):
        if machine.ended:
            break
        run.let_time_pass()
    assert run.finishes == 1
    assert not run.recording_timers
    assert machine.failures() == []


class _Run:
    """Drives a recording as a careless network would."""

    def __init__(self, machine: RecordingMachine) -> None:
        self.machine = machine
        self.now = 0.0
        self.sent: list[SendRequest] = []
        self.timers: set[tuple[int, TimerName]] = set()
        self.recording_timers: set[tuple[RecordingTimer, int]] = set()
        self.finishes = 0
        self._keys = 0

    def tell(self, event: object) -> None:
        self.now += 0.5
        self.took(self.machine.apply(event, self.now))  # type: ignore[arg-type]

    def took(self, commands: object) -> None:
        for command in commands:  # type: ignore[attr-defined]
            assert self.finishes == 0
            match command:
                case SendRequest():
                    self.sent.append(command)
                case SetTimer(session=session, name=name):
                    self.timers.add((session, name))
                case ClearTimer(session=session, name=name):
                    self.timers.discard((session, name))
                case SetRecordingTimer(name=name, copy=copy):
                    self.recording_timers.add((name, copy))
                case ClearRecordingTimer(name=name, copy=copy):
                    self.recording_timers.discard((name, copy))
                case FinishRecording(copies=copies):
                    self.finishes += 1
                    assert len(copies) == len(self.machine.setup.sources)
                case _:
                    pass

    def step(self, kind: int, status: int, form: dict[str, object] | None, pick: int) -> None:
        session = 1 + pick % 5
        simple = [PauseAsked(), ResumeAsked(), SnapshotDue(), PeerLost(session, "x"), PeerSuspected(session)]
        if kind < 4:
            self._answer(status, form, pick)
        elif kind < 6:
            self._ask(session)
        elif kind == 6:
            self.let_time_pass()
        else:
            self.tell(simple[(kind + pick) % len(simple)])

    def _answer(self, status: int, form: dict[str, object] | None, pick: int) -> None:
        if not self.sent:
            return
        sent = self.sent[-1 - pick % min(len(self.sent), 3)]
        response = make_response(sent.request, status)
        if form is not None and status < 300 and read_body(sent.request).description is not None:
            response.headers.add("Content-Type", "application/sdp")
            response.body = answer_sdp(offer_of(sent.request), **form)  # type: ignore[arg-type]
        self.tell(ResponseArrived(sent.session, sent.request_id, response))

    def _ask(self, session: int) -> None:
        for (call_id, tag), number in self.machine.dialog_ids().items():
            if number == session:
                self._keys += 1
                lines = [
                    ("Via", "SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKx"),
                    ("From", "<sip:rec@127.0.0.9>;tag=srs"),
                    ("To", f"<sip:us@127.0.0.1>;tag={tag}"),
                    ("Call-ID", call_id),
                    ("CSeq", f"{self._keys} BYE"),
                ]
                request = Request("BYE", "sip:us", Headers(lines))
                self.tell(RequestArrived(session, ServerKey(self._keys), request))

    def let_time_pass(self) -> None:
        for session, name in sorted(self.timers):
            self.timers.discard((session, name))
            self.tell(TimerFired(session, name))
        for key in sorted(self.recording_timers):
            self.recording_timers.discard(key)
            self.tell(RecordingTimerFired(*key))
