"""One recording session from its INVITE to its verdict, and what is said on the way."""

import pytest

from sidestream.errors import StateError
from sidestream.sdp import Direction
from sidestream.siprec.commands import (
    Cancel,
    Finish,
    InviteSent,
    SendAck,
    SendRequest,
    SessionLost,
    SetTimer,
    StartMedia,
    StopMedia,
)
from sidestream.siprec.context import MOVES, UP_STATES, SessionSetup, State, Trigger, WallClock
from sidestream.siprec.events import (
    CallEnded,
    MediaFailed,
    PauseAsked,
    PeerLost,
    PeerSuspected,
    RequestTimedOut,
    RequestTransportFailed,
    ResponseArrived,
    ResumeAsked,
    SnapshotDue,
    StopAsked,
    TimerFired,
    TimerName,
)
from sidestream.siprec.profile import Server, ServerProfile
from sidestream.siprec.verdicts import Cause, SessionSlug
from siprec_script import (
    BEGIN,
    at,
    fact,
    facts,
    find,
    identity,
    make_response,
    offer_of,
    only,
    script,
    sources,
)


def test_the_table_leaves_no_state_but_the_last_and_reaches_each() -> None:
    assert {state for state, _ in MOVES} == set(State) - {State.FINISHED}
    assert set(MOVES.values()) == set(State) - {State.NEW}
    for state in set(State) - {State.FINISHED}:
        assert (state, Trigger.FINISH) in MOVES
    assert {state for state, trigger in MOVES if trigger is Trigger.LEAVE} >= UP_STATES


def test_a_move_that_the_table_does_not_list_raises() -> None:
    session = script().session
    with pytest.raises(StateError, match="cannot take 'leave'"):
        session._ctx.move(Trigger.LEAVE)


def test_the_invite_says_everything_that_a_recorder_may_ask_for() -> None:
    invite = script(x_headers=(("X-Tenant", "acme"), ("X-Call-Ref", "0192"))).start().request
    headers = invite.headers
    assert invite.uri == "sip:rec@127.0.0.9:5070;transport=tcp"
    assert headers.get("Require") == "siprec"
    assert headers.get("Contact") == "<sip:sidestream@127.0.0.1:5060;transport=tcp>;+sip.src"
    assert headers.get("Accept") == "application/sdp, application/rs-metadata+xml, application/rs-metadata"
    assert "UPDATE" in headers.values("Allow")
    assert headers.values("Supported") == ["timer"]  # `siprec` is never meant for Supported
    assert headers.get("Date") == "Tue, 03 Mar 2026 09:15:00 GMT"
    assert (headers.get("X-Tenant"), headers.get("X-Call-Ref")) == ("acme", "0192")
    assert invite.from_.tag
    assert str(invite.from_.uri) != str(invite.to.uri)
    assert invite.to.tag is None
    assert invite.content_type == "multipart/mixed"


def test_the_dialog_is_named_before_anything_comes_back() -> None:
    play = script()
    play.start()
    sent = fact(play.commands, InviteSent)
    assert play.session.dialog_id == (sent.sip_call_id, sent.local_tag)
    assert only(play.commands, SetTimer) == SetTimer(1, TimerName.SETUP, 5.0)


@pytest.mark.parametrize(
    "headers",
    [
        tuple((f"X-{number}", "v") for number in range(6)),
        (("Subject", "v"),),
        (("X-Tenant", "a\r\nEvil: b"),),
        (("X-Tenant", "v" * 257),),
    ],
)
def test_headers_that_the_rules_forbid_never_get_this_far(headers: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(ValueError, match="X- header"):
        SessionSetup(
            number=1,
            copy=0,
            server=Server(uri="sip:a"),
            identity=identity(),
            sources=sources(),
            clock=WallClock(BEGIN, 0),
            x_headers=headers,
        )


def test_a_2xx_is_acknowledged_and_media_flows() -> None:
    play = script()
    play.respond(play.start())
    assert only(play.commands, SendAck).request.method == "ACK"
    start = only(play.commands, StartMedia)
    assert [stream.label for stream in start.streams] == ["1", "2"]
    assert play.session.state is State.STEADY


def test_a_2xx_that_comes_again_is_acknowledged_again() -> None:
    play = script()
    invite = play.start()
    play.respond(invite)
    (ack,) = find(play.commands, SendAck)
    assert play.respond(invite) == [ack]


def test_a_2xx_of_another_branch_is_acknowledged_and_ended() -> None:
    play = script().up()
    invite = play.last("INVITE")
    response = make_response(invite.request, 200)
    response.headers.set("To", "<sip:rec@127.0.0.9>;tag=another")
    commands = play.apply(ResponseArrived(1, invite.request_id, response))
    assert only(commands, SendAck).request.to_tag == "another"
    bye = only(commands, SendRequest).request
    assert (bye.method, bye.to_tag) == ("BYE", "another")
    assert play.session.state is State.STEADY


# --- pause and resume ------------------------------------------------------------------------------------


def test_a_pause_stops_media_first_and_then_signals() -> None:
    play = script().up()
    commands = play.apply(PauseAsked())
    kinds = [type(command) for command in commands]
    assert kinds.index(StopMedia) < kinds.index(SendRequest)
    invite = play.last("INVITE")
    assert {each.declared_direction for each in offer_of(invite.request).media} == {Direction.INACTIVE}
    play.respond(invite)
    play.apply(ResumeAsked())
    resumed = play.last("INVITE")
    assert {each.declared_direction for each in offer_of(resumed.request).media} == {Direction.SENDONLY}
    assert offer_of(resumed.request).origin.version == offer_of(invite.request).origin.version + 1
    assert find(play.commands, StartMedia) == []
    play.respond(resumed)
    assert len(only(play.commands, StartMedia).streams) == 2


def test_media_stays_off_when_the_pause_is_refused_and_comes_back_with_the_next_word() -> None:
    play = script().up()
    play.apply(PauseAsked())
    play.respond(play.last("INVITE"), 488)
    assert find(play.commands, StartMedia) == []
    assert play.session.state is State.STEADY
    play.ledger.answered(at(1))
    play.apply(SnapshotDue())
    play.respond(play.last("UPDATE"))
    assert find(play.commands, StartMedia) == []
    play.apply(ResumeAsked())
    play.respond(play.last("INVITE"))
    assert len(only(play.commands, StartMedia).streams) == 2


def test_media_stays_off_when_the_resumption_is_refused_until_it_is_asked_for_again() -> None:
    play = script().up()
    play.apply(PauseAsked())
    play.respond(play.last("INVITE"))
    play.apply(ResumeAsked())
    play.respond(play.last("INVITE"), 500)
    assert find(play.commands, StartMedia) == []
    play.apply(ResumeAsked())
    play.respond(play.last("INVITE"))
    assert len(only(play.commands, StartMedia).streams) == 2


def test_a_pause_that_the_recorder_never_heard_of_is_taken_back_at_once() -> None:
    play = script().up()
    play.ledger.answered(at(1))
    play.apply(SnapshotDue())  # a request is open: the pause waits behind it
    assert only(play.apply(PauseAsked()), StopMedia).labels == ("1", "2")
    assert len(only(play.apply(ResumeAsked()), StartMedia).streams) == 2
    play.respond(play.last("UPDATE"))
    assert [sent.request.method for sent in play.sent] == ["INVITE", "UPDATE"]


def test_a_recorder_that_answers_a_pause_with_recvonly_gets_nothing() -> None:
    play = script().up()
    play.apply(PauseAsked())
    invite = play.last("INVITE")
    body = b"".join(line for line in (_sdp(50000), b""))
    play.respond(invite, 200, body)
    assert find(play.commands, StartMedia) == []


def _sdp(port: int) -> bytes:
    section = "m=audio {} RTP/AVP 8\r\na=recvonly\r\n"
    head = "v=0\r\no=- 1 1 IN IP4 127.0.0.9\r\ns=-\r\nc=IN IP4 127.0.0.9\r\nt=0 0\r\n"
    return (head + section.format(port) + section.format(port + 2)).encode()


def test_a_pause_before_the_answer_holds_media_back() -> None:
    play = script()
    invite = play.start()
    assert play.apply(PauseAsked()) == []
    play.respond(invite)
    assert find(play.commands, StartMedia) == []
    assert offer_of(play.last("INVITE").request).media[0].declared_direction is Direction.INACTIVE


def test_a_session_that_begins_paused_offers_inactive() -> None:
    play = script(paused=True)
    assert offer_of(play.start().request).media[0].declared_direction is Direction.INACTIVE
    play.respond(play.last("INVITE"))
    assert find(play.commands, StartMedia) == []
    play.apply(ResumeAsked())
    play.respond(play.last("INVITE"))
    assert len(only(play.commands, StartMedia).streams) == 2


# --- the end ---------------------------------------------------------------------------------------------


def test_the_end_is_told_with_stop_times_and_then_bye() -> None:
    play = script().up()
    play.ledger.ended(at(60))
    commands = play.apply(CallEnded())
    assert only(commands, StopMedia).labels == ("1", "2")
    assert b"<stop-time>2026-03-03T09:16:00Z</stop-time>" in play.documents[-1]
    assert play.session.up
    play.respond(play.last("UPDATE"))
    assert play.session.state is State.LEAVING
    commands = play.respond(play.last("BYE"))
    assert isinstance(commands[-1], Finish)
    assert commands[-1].verdict.slug is SessionSlug.COMPLETED
    assert play.apply(SnapshotDue()) == []


def test_a_recorder_that_does_not_take_the_last_document_gets_bye_soon() -> None:
    play = script().up()
    play.ledger.ended(at(60))
    play.apply(CallEnded())
    play.apply(TimerFired(1, TimerName.FAREWELL), 1.0)
    play.last("BYE")
    verdict = only(play.apply(TimerFired(1, TimerName.TEARDOWN), 5.0), Finish).verdict
    assert verdict.slug is SessionSlug.COMPLETED


def test_the_last_document_may_ride_in_the_bye() -> None:
    play = script(ServerProfile(metadata_in_bye=True)).up()
    play.ledger.ended(at(60))
    play.apply(CallEnded())
    bye = play.last("BYE").request
    assert bye.content_type == "application/rs-metadata+xml"
    assert b"<stop-time>" in play.documents[-1]
    assert b"<label>" not in play.documents[-1]


def test_a_refused_last_document_is_said_once_more_by_re_invite_and_then_bye() -> None:
    play = script().up()
    play.ledger.ended(at(60))
    play.apply(CallEnded())
    play.respond(play.last("UPDATE"), 488)
    play.respond(play.last("INVITE"), 400)
    assert play.session.state is State.LEAVING


def test_the_end_waits_for_what_is_open_but_not_long() -> None:
    play = script().up()
    play.ledger.answered(at(1))
    play.apply(SnapshotDue())
    play.ledger.ended(at(2))
    play.apply(CallEnded())
    assert [sent.request.method for sent in play.sent] == ["INVITE", "UPDATE"]
    play.respond(play.last("UPDATE"))
    assert len(play.documents) == 3
    play.respond(play.last("UPDATE"))
    assert play.sent[-1].request.method == "BYE"


def test_a_collision_at_the_end_does_not_delay_the_bye() -> None:
    play = script().up()
    play.ledger.ended(at(2))
    play.apply(CallEnded())
    play.respond(play.last("UPDATE"), 491)
    assert play.session.state is State.LEAVING


def test_an_end_while_backing_off_is_told_at_once() -> None:
    play = script().up()
    play.apply(PauseAsked())
    play.respond(play.last("INVITE"), 491)
    play.ledger.ended(at(2))
    play.apply(CallEnded())
    assert play.session.state is State.FAREWELL


def test_a_stopped_recording_ends_the_association_and_not_the_call() -> None:
    play = script().up()
    play.apply(StopAsked())
    assert b"<disassociate-time>" in play.documents[-1]
    assert b"<stop-time>" not in play.documents[-1]
    play.respond(play.last("UPDATE"))
    play.respond(play.last("BYE"))
    assert play.session.finished


def test_an_end_before_the_answer_cancels_and_a_late_2xx_is_ended() -> None:
    play = script()
    invite = play.start()
    play.ledger.ended(at(1))
    assert only(play.apply(CallEnded()), Cancel) == Cancel(1, invite.request_id)
    commands = play.respond(invite)
    only(commands, SendAck)
    assert play.sent[-1].request.method == "BYE"
    play.respond(play.last("BYE"))
    assert play.session.verdict is not None
    assert play.session.verdict.slug is SessionSlug.ABANDONED


@pytest.mark.parametrize("by", ["487", "timeout", "timer"])
def test_a_cancelled_invite_ends_however_it_goes_on(by: str) -> None:
    play = script()
    invite = play.start()
    play.ledger.ended(at(1))
    play.apply(CallEnded())
    if by == "487":
        commands = play.respond(invite, 487)
    elif by == "timeout":
        commands = play.apply(RequestTimedOut(1, invite.request_id))
    else:
        commands = play.apply(TimerFired(1, TimerName.TEARDOWN), 10.0)
    assert isinstance(commands[-1], Finish)


def test_an_end_before_the_start_ends_it() -> None:
    play = script()
    play.ledger.ended(at(0))
    assert only(play.apply(CallEnded()), Finish).verdict.slug is SessionSlug.ABANDONED


# --- loss ------------------------------------------------------------------------------------------------


def test_a_recorder_that_is_gone_is_told_of_at_once_and_said_goodbye_to() -> None:
    play = script().up()
    commands = play.apply(PeerLost(1, "port unreachable"))
    only(commands, StopMedia)
    assert fact(commands, SessionLost).cause is Cause.PEER_LOST
    assert play.sent[-1].request.method == "BYE"
    finish = only(play.apply(RequestTransportFailed(1, play.sent[-1].request_id)), Finish)
    assert finish.verdict.slug is SessionSlug.LOST


def test_a_lost_recorder_gets_no_media_whatever_is_asked_then() -> None:
    play = script().up()
    play.apply(PeerLost(1, "port unreachable"))
    assert play.apply(PauseAsked()) == []
    assert play.apply(ResumeAsked()) == []


def test_a_suspected_recorder_is_asked_and_may_answer() -> None:
    play = script().up()
    play.apply(PeerSuspected(1))
    options = play.last("OPTIONS")
    assert options.request.to_tag == "srs"
    play.respond(options, 405)
    assert play.session.state is State.STEADY
    play.apply(PeerSuspected(1))
    commands = play.apply(TimerFired(1, TimerName.REQUEST), 2.0)
    assert fact(commands, SessionLost).cause is Cause.NO_RESPONSE


def test_a_suspected_recorder_with_an_open_request_is_waited_for_less_long() -> None:
    play = script().up()
    play.ledger.answered(at(1))
    play.apply(SnapshotDue())
    assert only(play.apply(PeerSuspected(1)), SetTimer) == SetTimer(1, TimerName.REQUEST, play.now + 2.0)


def test_media_that_failed_loses_the_session() -> None:
    play = script().up()
    assert fact(play.apply(MediaFailed(1, "io")), SessionLost).cause is Cause.MEDIA_FAILED
    starting = script()
    starting.start()
    starting.apply(MediaFailed(1, "io"))
    assert starting.session.state is State.CANCELLING


def test_timers_that_were_disarmed_are_ignored() -> None:
    play = script().up()
    for name in TimerName:
        if name is not TimerName.REFRESH:
            assert play.apply(TimerFired(1, name)) == []


def test_a_failure_of_ours_ends_the_session_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    play = script().up()

    def broken(_view: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(type(play.ledger), "document", lambda _self, view: broken(view))
    play.ledger.answered(at(1))
    commands = play.apply(SnapshotDue())
    assert fact(commands, SessionLost).cause is Cause.INTERNAL_ERROR
    assert isinstance(commands[-1], Finish)
    assert isinstance(play.session.failure, RuntimeError)


def test_a_failure_of_ours_at_the_start_lets_another_server_try() -> None:
    play = script(server=Server(uri="no uri at all"))
    commands = play.session.start(0.0)
    assert "AttemptFailed" in {type(each).__name__ for each in facts(commands)}
    assert isinstance(commands[-1], Finish)
