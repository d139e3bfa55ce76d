"""What recorders ask within the dialog, and what they are answered."""

import pytest

from sidestream.sdp import Direction, parse
from sidestream.sip.events import ServerKey
from sidestream.sip.message import Response
from sidestream.siprec.commands import (
    ConfirmAnswer,
    Finish,
    Noted,
    Respond,
    SendRequest,
    SessionLost,
    SetTimer,
    SnapshotRequested,
    StartMedia,
    StopMedia,
)
from sidestream.siprec.context import State
from sidestream.siprec.events import (
    AckArrived,
    AckTimedOut,
    CallEnded,
    PauseAsked,
    RequestArrived,
    SnapshotDue,
    TimerName,
)
from sidestream.siprec.metadata import DataMode, LangText, SnapshotRequest
from sidestream.siprec.offer import Note
from sidestream.siprec.profile import ServerProfile
from sidestream.siprec.verdicts import Cause, SessionSlug
from sidestream.siprec.xml import serialize
from siprec_script import Script, answer_sdp, at, fact, find, offer_of, only, script

WISH = serialize(SnapshotRequest(LangText("SRS internal error", "en")))


def answered(play: Script) -> Response:
    return only(play.commands, Respond).response


def sdp(play: Script, **form: object) -> bytes:
    return answer_sdp(offer_of(play.sent[0].request), **form)  # type: ignore[arg-type]


def acknowledge(play: Script, body: bytes = b"") -> list[object]:
    cseq = play._cseq
    return play.apply(AckArrived(1, play.in_dialog("ACK", cseq, body)))


def inactive() -> Script:
    """A recorder that is not ready yet."""
    play = script()
    invite = play.start()
    play.respond(invite, 200, answer_sdp(offer_of(invite.request), direction="inactive"))
    return play


def test_recvonly_after_inactive_starts_the_media_and_is_answered_sendonly() -> None:
    play = inactive()
    play.request("INVITE", sdp(play))
    response = answered(play)
    assert response.status == 200
    assert response.headers.get("Contact") == "<sip:sidestream@127.0.0.1:5060;transport=tcp>;+sip.src"
    assert {each.declared_direction for each in parse(response.body).media} == {Direction.SENDONLY}
    assert len(only(play.commands, StartMedia).streams) == 2
    assert only(acknowledge(play), ConfirmAnswer).key == ServerKey(1)


def test_an_update_with_an_offer_is_answered_as_well() -> None:
    play = script().up()
    play.request("UPDATE", sdp(play, direction="inactive"))
    assert only(play.commands, StopMedia).labels == ("1", "2")
    assert {each.declared_direction for each in parse(answered(play).body).media} == {Direction.INACTIVE}


def test_a_stream_may_be_taken_away_and_none_be_added() -> None:
    play = script().up()
    play.request("INVITE", sdp(play, ports=(50000, 0), sections=3))
    assert only(play.commands, StopMedia).labels == ("2",)
    assert [each.port for each in parse(answered(play).body).media] == [40000, 0, 0]
    assert fact(play.commands, Noted).notes == (Note.MORE_SECTIONS,)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_recorder_that_takes_every_stream_away_does_not_record(method: str) -> None:
    play = script().up()
    play.request(method, sdp(play, ports=(0, 0)))
    assert answered(play).status == 200
    commands = acknowledge(play) if method == "INVITE" else play.commands
    assert fact(commands, SessionLost).cause is Cause.MEDIA_REFUSED
    assert play.sent[-1].request.method == "BYE"


def test_a_re_invite_without_an_offer_gets_ours_and_its_ack_the_answer() -> None:
    play = script().up()
    play.request("INVITE")
    offer = parse(answered(play).body)
    assert {each.declared_direction for each in offer.media} == {Direction.SENDONLY}
    commands = acknowledge(play, answer_sdp(offer, ports=(60000, 60002)))
    ports = [each.remote.rtp_port for each in only(commands, StartMedia).streams if each.remote]
    assert ports == [60000, 60002]


def test_an_ack_without_the_answer_changes_nothing() -> None:
    play = script().up()
    play.request("INVITE")
    commands = acknowledge(play)
    assert fact(commands, Noted).notes == (Note.NO_DESCRIPTION,)
    assert find(commands, StopMedia) == []


def test_while_paused_the_recorder_gets_inactive_and_no_media() -> None:
    play = script().up()
    play.apply(PauseAsked())
    play.respond(play.last("INVITE"))
    play.request("INVITE", sdp(play))
    assert {each.declared_direction for each in parse(answered(play).body).media} == {Direction.INACTIVE}
    assert find(play.commands, StartMedia) == []


# --- snapshot requests -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["application/rs-metadata", "application/rs-metadata+xml", "application/rs-metadata-request"]
)
def test_a_snapshot_request_is_answered_200_and_then_with_a_complete_document(kind: str) -> None:
    play = script(ServerProfile(mode=DataMode.PARTIAL)).up()
    commands = play.request(
        "UPDATE", WISH, [("Content-Disposition", "recording-session"), ("Require", "siprec")], kind
    )
    assert answered(play).status == 200
    assert answered(play).body == b""
    assert fact(commands, SnapshotRequested).reason == "SRS internal error"
    kinds = [type(command) for command in commands]
    assert kinds.index(Respond) < kinds.index(SendRequest)
    assert b"<datamode>complete</datamode>" in play.documents[-1]
    play.respond(play.sent[-1])
    play.ledger.held("b")
    play.apply(SnapshotDue())
    assert b"<datamode>partial</datamode>" in play.documents[-1]


def test_a_snapshot_request_while_a_change_is_open_is_served_after_it() -> None:
    play = script(ServerProfile(mode=DataMode.PARTIAL)).up()
    play.ledger.held("b")
    play.apply(SnapshotDue())
    play.request("UPDATE", WISH, content_type="application/rs-metadata+xml")
    assert answered(play).status == 200
    assert find(play.commands, SendRequest) == []
    play.respond(play.last("UPDATE"))
    assert b"<datamode>complete</datamode>" in play.documents[-1]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"<requestsnapshot", "application/rs-metadata+xml", 400),
        (b"hello", "text/plain", 415),
        (b"v=1\r\n", "application/sdp", 400),
        (b" " * 70_000, "application/rs-metadata+xml", 413),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(body: bytes, kind: str, status: int) -> None:
    play = script().up()
    play.request("UPDATE", body, content_type=kind)
    assert answered(play).status == status
    if status == 415:
        assert "application/rs-metadata+xml" in answered(play).headers.values("Accept")
    assert play.session.state is State.STEADY


# --- collisions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_an_offer_that_meets_ours_gets_491(method: str) -> None:
    play = script().up()
    play.apply(PauseAsked())
    play.request(method, sdp(play))
    assert answered(play).status == 491
    assert play.session.state is State.CHANGING


def test_a_refresh_may_meet_anything() -> None:
    play = script().up()
    play.apply(PauseAsked())
    play.request("UPDATE")
    assert answered(play).status == 200


def test_a_re_invite_before_the_last_ones_ack_gets_500() -> None:
    play = script().up()
    play.request("INVITE", sdp(play))
    play.request("INVITE", sdp(play))
    assert answered(play).status == 500
    assert answered(play).headers.get("Retry-After")


def test_our_changes_wait_for_the_recorders_ack() -> None:
    play = script().up()
    play.request("INVITE", sdp(play))
    play.ledger.held("b")
    assert play.apply(SnapshotDue()) == []
    assert find(acknowledge(play), SendRequest)


def test_an_answer_that_is_never_acknowledged_loses_the_recorder() -> None:
    play = script().up()
    play.request("INVITE", sdp(play))
    assert play.apply(AckTimedOut(1, ServerKey(99))) == []
    commands = play.apply(AckTimedOut(1, ServerKey(1)))
    assert fact(commands, SessionLost).cause is Cause.NOT_ACKNOWLEDGED


def test_a_stray_ack_is_ignored() -> None:
    play = script().up()
    assert play.apply(AckArrived(1, play.in_dialog("ACK", 7))) == []


# --- the other requests ----------------------------------------------------------------------------------


def test_bye_stops_the_media_and_tells_who_ended_it() -> None:
    play = script().up()
    commands = play.request("BYE", headers=[("Reason", 'SIP;cause=200;text="disk full"')])
    assert answered(play).status == 200
    only(commands, StopMedia)
    lost = fact(commands, SessionLost)
    assert lost.cause is Cause.ENDED_BY_RECORDER
    assert "disk full" in lost.detail
    assert only(commands, Finish).verdict.slug is SessionSlug.LOST


def test_bye_after_the_end_of_the_call_is_as_good_as_ours() -> None:
    play = script().up()
    play.ledger.ended(at(9))
    play.apply(CallEnded())
    assert only(play.request("BYE"), Finish).verdict.slug is SessionSlug.COMPLETED
    crossed = script().up()
    crossed.ledger.ended(at(9))
    crossed.apply(CallEnded())
    crossed.respond(crossed.last("UPDATE"))
    commands = crossed.request("BYE")
    assert answered(crossed).status == 200
    assert only(commands, Finish).verdict.slug is SessionSlug.COMPLETED


def test_options_and_info_are_answered() -> None:
    play = script().up()
    play.request("OPTIONS")
    assert answered(play).status == 200
    assert "UPDATE" in answered(play).headers.values("Allow")
    play.request("INFO", b"<media_control/>", content_type="application/media_control+xml")
    assert answered(play).status == 200
    play.request("INFO", headers=[("Info-Package", "x")])
    assert answered(play).status == 469


@pytest.mark.parametrize("method", ["REFER", "MESSAGE", "NOTIFY", "SUBSCRIBE"])
def test_other_methods_are_not_allowed(method: str) -> None:
    play = script().up()
    play.request(method)
    assert answered(play).status == 405
    assert "BYE" in answered(play).headers.values("Allow")


def test_what_is_required_must_be_known() -> None:
    play = script().up()
    play.request("UPDATE", headers=[("Require", "siprec, timer")])
    assert answered(play).status == 200
    play.request("UPDATE", headers=[("Require", "siprec, precondition")])
    assert (answered(play).status, answered(play).headers.get("Unsupported")) == (420, "precondition")
    play.request("BYE", headers=[("Require", "precondition")])
    assert answered(play).status == 200


def test_requests_out_of_order_get_500() -> None:
    play = script().up()
    play.request("OPTIONS")
    play.apply(RequestArrived(1, ServerKey(9), play.in_dialog("OPTIONS", 5)))
    assert answered(play).status == 500


def test_requests_without_a_dialog_get_481() -> None:
    play = script()
    play.start()
    play.request("UPDATE")
    assert answered(play).status == 481
    left = script().up()
    left.ledger.ended(at(9))
    left.apply(CallEnded())
    left.respond(left.last("UPDATE"))
    left.request("UPDATE")
    assert answered(left).status == 481


def test_the_recorder_may_move() -> None:
    play = script().up()
    moved = play.in_dialog("UPDATE", 101)
    moved.headers.set("Contact", "<sip:rec@127.0.0.10:5070;transport=tcp>;+sip.srs")
    play.apply(RequestArrived(1, ServerKey(1), moved))
    play.ledger.held("b")
    play.apply(SnapshotDue())
    assert play.sent[-1].next_hop == "sip:rec@127.0.0.10:5070;transport=tcp"


# --- session timer ---------------------------------------------------------------------------------------


def test_a_session_timer_of_the_recorder_is_confirmed_and_watched() -> None:
    play = script().up()
    commands = play.request(
        "UPDATE", headers=[("Session-Expires", "600;refresher=uac"), ("Supported", "timer")]
    )
    headers = answered(play).headers
    assert (headers.get("Session-Expires"), headers.get("Require")) == ("600;refresher=uac", "timer")
    assert only(commands, SetTimer) == SetTimer(1, TimerName.EXPIRY, play.now + 568)


def test_a_recorder_that_leaves_the_refreshing_to_us_gets_it() -> None:
    play = script().up()
    commands = play.request("INVITE", sdp(play), [("Session-Expires", "600;refresher=uas")])
    assert answered(play).headers.get("Session-Expires") == "600;refresher=uas"
    assert only(commands, SetTimer) == SetTimer(1, TimerName.REFRESH, play.now + 300)


def test_too_short_an_interval_is_refused_with_the_least() -> None:
    play = script().up()
    play.request("UPDATE", headers=[("Session-Expires", "30")])
    assert (answered(play).status, answered(play).headers.get("Min-SE")) == (422, "90")
