"""What the recorder is told in mid-call: one request at a time, the newest state."""

import pytest

from sidestream.sip.message import Request, Response
from sidestream.siprec.commands import (
    Collided,
    DocumentRefused,
    Established,
    MemoryLearned,
    Noted,
    PauseNotSignalled,
    PauseSignalled,
    SendAck,
    SendRequest,
    SessionLost,
    SetTimer,
    StartMedia,
    StopMedia,
    StreamsAgreed,
)
from sidestream.siprec.context import State
from sidestream.siprec.events import (
    CodecsChanged,
    PauseAsked,
    ProtectionNeeded,
    RequestTimedOut,
    ResumeAsked,
    SnapshotDue,
    StreamCodec,
    TimerFired,
    TimerName,
)
from sidestream.siprec.metadata import DataMode
from sidestream.siprec.offer import Note
from sidestream.siprec.profile import ServerMemory, ServerProfile
from sidestream.siprec.verdicts import Cause
from siprec_script import (
    EVENT,
    G722,
    PCMA,
    PCMU,
    Script,
    answer_sdp,
    fact,
    facts,
    find,
    identity,
    offer_of,
    only,
    script,
    sources,
)

PARTIAL = ServerProfile(mode=DataMode.PARTIAL)


def methods(play: Script) -> list[str]:
    return [sent.request.method for sent in play.sent]


def hold(play: Script) -> SendRequest:
    """The callee holds: a change of metadata alone."""
    play.ledger.held("b")
    return only(play.apply(SnapshotDue()), SendRequest)


def test_a_change_of_metadata_goes_by_update_with_the_offer_that_defines_its_labels() -> None:
    play = script().up()
    update = hold(play)
    assert update.request.method == "UPDATE"
    assert offer_of(update.request) == offer_of(play.sent[0].request)
    assert update.request.headers.get("Contact") == "<sip:sidestream@127.0.0.1:5060;transport=tcp>;+sip.src"
    assert update.request.headers.get("Require") == "siprec"
    assert play.respond(update)
    assert play.session.state is State.STEADY


def test_a_partial_change_goes_alone() -> None:
    play = script(PARTIAL).up()
    update = hold(play)
    assert update.request.content_type == "application/rs-metadata+xml"
    assert update.request.headers.get("Content-Disposition") == "recording-session"
    assert b"<datamode>partial</datamode>" in play.documents[-1]
    assert b"<participant " not in play.documents[-1]


def test_a_partial_change_of_a_stream_has_the_offer_beside_it() -> None:
    play = script(PARTIAL).up()
    play.ledger.codec_changed("a", "PCMU")
    update = only(play.apply(SnapshotDue()), SendRequest)
    assert update.request.content_type == "multipart/mixed"


def test_a_partial_document_that_was_refused_is_in_the_next_one() -> None:
    play = script(PARTIAL).up()
    play.respond(hold(play), 400)
    play.respond(play.last("INVITE"), 400)
    play.ledger.party_updated("b", play.ledger.setup.caller)
    play.apply(SnapshotDue())
    assert b"<participantstreamassoc " in play.documents[-1]
    assert b"<participant " in play.documents[-1]


def test_x_headers_go_on_re_invites_and_not_on_update() -> None:
    play = script(x_headers=(("X-Tenant", "acme"),)).up()
    assert hold(play).request.headers.get("X-Tenant") is None
    play.respond(play.last("UPDATE"))
    play.apply(PauseAsked())
    assert play.last("INVITE").request.headers.get("X-Tenant") == "acme"


def test_several_changes_in_a_row_are_told_together() -> None:
    play = script().up()
    hold(play)
    for number in range(5):
        play.ledger.codec_changed("a", f"C{number}")
        assert find(play.apply(SnapshotDue()), SendRequest) == []
    play.respond(play.last("UPDATE"))
    assert methods(play) == ["INVITE", "UPDATE", "UPDATE"]
    assert b">C4<" in play.documents[-1]
    play.respond(play.last("UPDATE"))
    assert len(play.sent) == 3


def test_nothing_new_is_nothing_said() -> None:
    play = script().up()
    assert play.apply(SnapshotDue()) == []


@pytest.mark.parametrize("status", [405, 415, 488, 501])
def test_a_recorder_that_takes_no_update_gets_a_re_invite_now_and_ever_after(status: int) -> None:
    play = script().up()
    play.respond(hold(play), status)
    assert fact(play.commands, MemoryLearned).memory.update_refused
    assert methods(play) == ["INVITE", "UPDATE", "INVITE"]
    assert play.documents[-1] == play.documents[-2]
    play.respond(play.last("INVITE"))
    play.ledger.resumed("b")
    assert only(play.apply(SnapshotDue()), SendRequest).request.method == "INVITE"


@pytest.mark.parametrize("status", [400, 500, 603])
def test_an_update_that_is_refused_for_another_reason_is_said_by_re_invite_this_once(status: int) -> None:
    play = script().up()
    play.respond(hold(play), status)
    assert not any(isinstance(each, MemoryLearned) for each in facts(play.commands))
    play.respond(play.last("INVITE"))
    play.ledger.resumed("b")
    assert only(play.apply(SnapshotDue()), SendRequest).request.method == "UPDATE"


def test_re_invite_from_the_first_change_on_where_that_is_known() -> None:
    for play in (
        script(memory=ServerMemory(update_refused=True)).up(),
        script(ServerProfile(update=False)).up(),
    ):
        assert hold(play).request.method == "INVITE"
    play = script()
    play.respond(play.start(), 200, headers=[("Allow", "INVITE, ACK, BYE")])
    assert hold(play).request.method == "INVITE"


def test_a_refused_re_invite_leaves_the_session_as_it_was() -> None:
    play = script(ServerProfile(update=False)).up()
    play.respond(hold(play), 488)
    assert fact(play.commands, DocumentRefused).status == 488
    assert play.session.state is State.STEADY
    assert find(play.commands, StopMedia) == []
    assert play.apply(SnapshotDue()) == []  # what was refused is not said again without being asked


def test_a_collision_is_waited_out_and_then_the_newest_state_is_sent() -> None:
    play = script().up()
    play.apply(PauseAsked())
    play.respond(play.last("INVITE"), 491)
    assert fact(play.commands, Collided).method == "INVITE"
    timer = only(play.commands, SetTimer)
    assert timer.name is TimerName.BACKOFF
    assert 2.1 <= timer.at - play.now <= 4.0
    play.ledger.held("b")
    assert play.apply(SnapshotDue()) == []
    play.apply(ResumeAsked())
    commands = play.apply(TimerFired(1, TimerName.BACKOFF), 3.0)
    sent = only(commands, SendRequest)
    assert offer_of(sent.request).media[0].declared_direction.value == "sendonly"
    assert play.documents[-1] != play.documents[-2]
    play.respond(sent)
    assert play.session.state is State.STEADY


@pytest.mark.parametrize("chance", [0.0, 0.999999])
def test_the_back_off_is_that_of_the_owner_of_the_call_id(chance: float) -> None:
    play = script(identity=identity(chance=lambda: chance)).up()
    play.respond(hold(play), 491)
    assert only(play.commands, SetTimer).at - play.now == pytest.approx(2.1 if chance == 0 else 4.0)


def test_500_with_retry_after_is_waited_out_as_well() -> None:
    play = script().up()
    play.respond(hold(play), 500, headers=[("Retry-After", "3")])
    assert only(play.commands, SetTimer).at - play.now == pytest.approx(3.0)


@pytest.mark.parametrize(("status", "goodbye"), [(481, False), (408, True)])
def test_a_recorder_that_does_not_know_the_session_is_lost(status: int, goodbye: bool) -> None:
    play = script().up()
    play.respond(hold(play), status)
    assert fact(play.commands, SessionLost).cause is Cause.DIALOG_LOST
    assert (play.sent[-1].request.method == "BYE") is goodbye
    assert play.session.finished is not goodbye


@pytest.mark.parametrize("silent", [True, False])
def test_a_request_that_is_never_answered_loses_the_recorder(silent: bool) -> None:
    play = script().up()
    update = hold(play)
    if silent:
        play.respond(update, 100)
        commands = play.apply(TimerFired(1, TimerName.REQUEST), 32.0)
    else:
        commands = play.apply(RequestTimedOut(1, update.request_id))
    assert fact(commands, SessionLost).cause is Cause.NO_RESPONSE


def test_a_2xx_without_sdp_changes_nothing() -> None:
    play = script().up()
    play.respond(hold(play), 200, b"")
    assert fact(play.commands, Noted).notes == (Note.NO_DESCRIPTION,)
    assert find(play.commands, StopMedia) == []
    assert play.session.state is State.STEADY


def test_a_2xx_without_sdp_to_a_pause_and_its_end_is_good_enough() -> None:
    play = script().up()
    play.apply(PauseAsked())
    play.respond(play.last("INVITE"), 200, b"")
    assert fact(play.commands, PauseSignalled).paused
    play.apply(ResumeAsked())
    play.respond(play.last("INVITE"), 200, b"")
    assert len(only(play.commands, StartMedia).streams) == 2


def test_a_pause_that_was_not_taken_is_told() -> None:
    play = script().up()
    play.apply(PauseAsked())
    play.respond(play.last("INVITE"), 488)
    assert fact(play.commands, PauseNotSignalled) == PauseNotSignalled(paused=True, status=488)


def test_an_answer_that_moves_a_stream_moves_its_media() -> None:
    play = script().up()
    update = hold(play)
    play.respond(update, 200, answer_sdp(offer_of(update.request), ports=(50000, 60002)))
    (moved,) = only(play.commands, StartMedia).streams
    assert moved.remote is not None
    assert (moved.label, moved.remote.rtp_port) == ("2", 60002)
    fact(play.commands, StreamsAgreed)


def test_a_stream_that_was_refused_is_not_offered_again_with_each_change() -> None:
    play = script()
    invite = play.start()
    play.respond(invite, 200, answer_sdp(offer_of(invite.request), ports=(50000, 0)))
    assert [each.port for each in offer_of(hold(play).request).media] == [40000, 0]


def test_a_recorder_that_refuses_every_stream_in_mid_call_is_lost() -> None:
    play = script().up()
    update = hold(play)
    play.respond(update, 200, answer_sdp(offer_of(update.request), ports=(0, 0)))
    assert fact(play.commands, SessionLost).cause is Cause.MEDIA_REFUSED
    assert play.sent[-1].request.method == "BYE"


def test_port_0_for_a_pause_does_not_end_the_recording() -> None:
    play = script().up()
    play.apply(PauseAsked())
    pause = play.last("INVITE")
    play.respond(pause, 200, answer_sdp(offer_of(pause.request), ports=(0, 0)))
    play.apply(ResumeAsked())
    resumed = play.last("INVITE")
    assert [each.port for each in offer_of(resumed.request).media] == [40000, 40002]
    play.respond(resumed)
    assert len(only(play.commands, StartMedia).streams) == 2


def test_every_2xx_to_a_re_invite_is_acknowledged_with_its_number() -> None:
    play = script(ServerProfile(update=False)).up()
    invite = hold(play)
    play.respond(invite)
    assert only(play.commands, SendAck).request.cseq.number == invite.request.cseq.number == 2


def test_a_challenge_in_mid_call_is_answered_once() -> None:
    def authorize(_request: Request, _response: Response) -> tuple[str, str]:
        return "Authorization", "Digest x"

    play = script(identity=identity(authorize=authorize)).up()
    first = hold(play)
    play.respond(first, 401)
    again = play.last("UPDATE")
    assert again.request.headers.get("Authorization") == "Digest x"
    assert again.request.cseq.number == first.request.cseq.number + 1
    assert (again.request.body, again.request.content_type) == (first.request.body, "multipart/mixed")
    play.respond(again, 401)
    assert play.last("INVITE").request.cseq.number == again.request.cseq.number + 1


# --- codecs ----------------------------------------------------------------------------------------------


def test_a_codec_that_was_agreed_already_is_taken_without_a_word() -> None:
    play = script().up()
    commands = play.apply(CodecsChanged((StreamCodec("1", PCMU, EVENT),)))
    (stream,) = only(commands, StartMedia).streams
    assert stream.codec is not None
    assert (stream.label, stream.codec.name) == ("1", "PCMU")
    assert find(commands, SendRequest) == []


def test_another_codec_is_offered_and_what_is_transcoded_flows_until_the_answer() -> None:
    play = script().up()
    commands = play.apply(CodecsChanged((StreamCodec("1", G722, None), StreamCodec("2", G722, None))))
    assert find(commands, StopMedia) == []
    offer = offer_of(only(commands, SendRequest).request)
    assert [codec.name for codec in offer.media[0].codecs] == ["G722", "PCMA", "PCMU"]
    play.respond(play.last("INVITE"))
    assert {each.codec.name for each in only(play.commands, StartMedia).streams if each.codec} == {"G722"}


def test_a_codec_that_the_recorder_refused_is_not_offered_over_and_over() -> None:
    play = script(streams=sources(G722))
    invite = play.start()
    play.respond(
        invite,
        200,
        answer_sdp(offer_of(invite.request), formats="8 101").replace(
            b"a=label", b"a=rtpmap:101 telephone-event/8000\r\na=label"
        ),
    )
    assert len(play.sent) == 1
    assert find(play.apply(CodecsChanged((StreamCodec("1", G722, EVENT),))), SendRequest) == []


def test_a_codec_that_became_known_while_the_recorder_was_asked_is_used_at_once() -> None:
    play = script(streams=sources(None))
    invite = play.start()
    play.apply(CodecsChanged((StreamCodec("1", PCMU, EVENT), StreamCodec("2", PCMU, EVENT))))
    play.respond(invite)
    fact(play.commands, Established)
    assert {each.codec.name for each in find(play.commands, StartMedia)[-1].streams if each.codec} == {"PCMU"}
    assert len(play.sent) == 1


def test_a_codec_of_a_stream_that_was_refused_gives_it_another_chance() -> None:
    play = script()
    invite = play.start()
    play.respond(invite, 200, answer_sdp(offer_of(invite.request), ports=(50000, 0)))
    play.apply(CodecsChanged((StreamCodec("2", G722),)))
    assert [each.port for each in offer_of(play.last("INVITE").request).media] == [40000, 40002]


def test_a_codec_change_while_paused_waits_for_the_resumption() -> None:
    play = script().up()
    play.apply(PauseAsked())
    play.respond(play.last("INVITE"))
    assert find(play.apply(CodecsChanged((StreamCodec("1", PCMA, EVENT),))), StartMedia) == []
    play.apply(ResumeAsked())
    play.respond(play.last("INVITE"))
    assert len(only(play.commands, StartMedia).streams) == 2


# --- session timer ---------------------------------------------------------------------------------------


def timed(value: str) -> Script:
    play = script()
    play.respond(play.start(), 200, headers=[("Session-Expires", value), ("Require", "timer")])
    return play


def test_our_turn_to_refresh_comes_at_half_time_without_a_body() -> None:
    play = timed("600;refresher=uac")
    assert only(play.commands, SetTimer) == SetTimer(1, TimerName.REFRESH, play.now + 300)
    play.apply(TimerFired(1, TimerName.REFRESH), 300.0)
    update = play.last("UPDATE").request
    assert (update.body, update.headers.get("Session-Expires")) == (b"", "600;refresher=uac")
    play.respond(play.last("UPDATE"), 200, headers=[("Session-Expires", "600;refresher=uac")])
    assert TimerName.REFRESH in {timer.name for timer in find(play.commands, SetTimer)}


def test_a_refresh_that_is_refused_by_update_goes_by_re_invite_with_the_same_offer() -> None:
    play = timed("600;refresher=uac")
    play.apply(TimerFired(1, TimerName.REFRESH), 300.0)
    play.respond(play.last("UPDATE"), 501)
    invite = play.last("INVITE")
    assert offer_of(invite.request) == offer_of(play.sent[0].request)
    play.respond(invite, 500)
    assert TimerName.REFRESH in {timer.name for timer in find(play.commands, SetTimer)}


def test_a_change_is_a_refresh_too() -> None:
    play = timed("600;refresher=uac")
    hold(play)
    play.respond(play.last("UPDATE"), 200, headers=[("Session-Expires", "600;refresher=uac")])
    refresh = [timer for timer in find(play.commands, SetTimer) if timer.name is TimerName.REFRESH]
    assert refresh == [SetTimer(1, TimerName.REFRESH, play.now + 300)]


def test_a_recorder_that_should_refresh_and_does_not_is_lost() -> None:
    play = timed("600;refresher=uas")
    assert only(play.commands, SetTimer) == SetTimer(1, TimerName.EXPIRY, play.now + 568)
    commands = play.apply(TimerFired(1, TimerName.EXPIRY), 568.0)
    assert fact(commands, SessionLost).cause is Cause.EXPIRED
    assert play.sent[-1].request.method == "BYE"


def test_no_timer_is_asked_for_when_the_profile_says_so() -> None:
    assert (
        script(ServerProfile(session_expires_s=None)).start().request.headers.get("Session-Expires") is None
    )


def test_a_call_that_turns_to_srtp_has_its_recording_offered_anew() -> None:
    play = script(identity=identity(secret=lambda length: b"k" * length)).up()
    reinvite = only(play.apply(ProtectionNeeded()), SendRequest)
    offer = offer_of(reinvite.request)
    assert [media.protocol for media in offer.media] == ["RTP/SAVP", "RTP/SAVP"]
    commands = play.respond(reinvite, 200, answer_sdp(offer, crypto=True))
    started = only(commands, StartMedia)
    assert all(stream.srtp is not None for stream in started.streams)
    assert find(play.apply(ProtectionNeeded()), SendRequest) == []


def test_a_recorder_that_has_no_srtp_loses_a_call_that_turns_to_it() -> None:
    play = script(identity=identity(secret=lambda length: b"k" * length)).up()
    reinvite = only(play.apply(ProtectionNeeded()), SendRequest)
    commands = play.respond(reinvite, 200, answer_sdp(offer_of(reinvite.request)))
    assert find(commands, StartMedia) == []
    assert fact(commands, SessionLost).cause is Cause.MEDIA_REFUSED
