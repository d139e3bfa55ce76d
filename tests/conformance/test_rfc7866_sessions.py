"""RFC 7866: the recording session, by section and figure."""

import pytest

from sidestream.sdp import Direction, parse
from sidestream.sip.message import Request
from sidestream.siprec.body import read_body
from sidestream.siprec.commands import Respond, SendAck, SendRequest, StartMedia, StopMedia
from sidestream.siprec.events import AckArrived, CallEnded, PauseAsked, ResumeAsked, SnapshotDue
from sidestream.siprec.metadata import DataMode, SnapshotRequest
from sidestream.siprec.offer import labels_of
from sidestream.siprec.profile import ServerProfile
from sidestream.siprec.xml import serialize
from siprec_script import Script, answer_sdp, at, find, offer_of, only, script


def directions(request: Request) -> set[Direction]:
    return {media.declared_direction for media in offer_of(request).media}


def test_section_6_1_1_every_request_that_makes_or_changes_the_dialog_names_the_client() -> None:
    play = _whole_session(script())
    for sent in play.sent:
        if sent.request.method in {"INVITE", "UPDATE"}:
            assert str(sent.request.headers.get("Contact")).endswith(">;+sip.src")
            assert sent.request.headers.get("Require") == "siprec"
            assert "siprec" not in sent.request.headers.values("Supported")


def test_section_6_1_1_responses_of_ours_name_the_client_too() -> None:
    play = script().up()
    play.request("INVITE", answer_sdp(offer_of(play.sent[0].request)))
    response = only(play.commands, Respond).response
    assert str(response.headers.get("Contact")).endswith(">;+sip.src")


def test_section_7_1_one_sendonly_line_with_a_unique_label_for_each_stream() -> None:
    offer = offer_of(script().start().request)
    assert directions(script().start().request) == {Direction.SENDONLY}
    assert len(set(labels_of(offer))) == len(offer.media) == 2


def test_section_7_1_1_1_pause_is_inactive_and_resumption_sendonly_on_the_same_lines() -> None:
    play = script().up()
    play.apply(PauseAsked())
    pause = play.last("INVITE").request
    play.respond(play.last("INVITE"))
    play.apply(ResumeAsked())
    resume = play.last("INVITE").request
    assert (directions(pause), directions(resume)) == ({Direction.INACTIVE}, {Direction.SENDONLY})
    assert labels_of(offer_of(pause)) == labels_of(offer_of(resume)) == ("1", "2")
    versions = [offer_of(each).origin.version for each in (play.sent[0].request, pause, resume)]
    assert versions == [1, 2, 3]


def test_section_7_2_figure_7_a_recorder_that_is_not_ready_and_then_is() -> None:
    play = script()
    invite = play.start()
    play.respond(invite, 200, answer_sdp(offer_of(invite.request), direction="inactive"))
    only(play.commands, SendAck)
    assert find(play.commands, StartMedia) == []
    play.request("INVITE", answer_sdp(offer_of(invite.request)))
    response = only(play.commands, Respond).response
    assert response.status == 200
    assert {media.declared_direction for media in parse(response.body).media} == {Direction.SENDONLY}
    assert len(only(play.commands, StartMedia).streams) == 2
    play.apply(AckArrived(1, play.in_dialog("ACK", 101)))
    play.ledger.ended(at(9))
    play.apply(CallEnded())
    play.respond(play.last("UPDATE"))
    play.respond(play.last("BYE"))
    assert play.session.finished


def test_section_7_2_the_recorder_removes_a_stream() -> None:
    play = script().up()
    play.request("INVITE", answer_sdp(offer_of(play.sent[0].request), ports=(0, 50002)))
    assert only(play.commands, StopMedia).labels == ("1",)


def test_section_7_2_the_recorder_must_not_add_streams() -> None:
    play = script().up()
    play.request("INVITE", answer_sdp(offer_of(play.sent[0].request), sections=3))
    assert parse(only(play.commands, Respond).response.body).media[2].port == 0


def test_section_9_1_the_first_invite_carries_offer_and_complete_snapshot() -> None:
    play = script()
    invite = play.start().request
    assert invite.content_type == "multipart/mixed"
    assert invite.body.index(b"application/sdp") < invite.body.index(b"application/rs-metadata+xml")
    assert b"Content-Disposition: recording-session" in invite.body
    assert b"<datamode>complete</datamode>" in play.documents[0]


@pytest.mark.parametrize("mode", DataMode)
def test_section_9_1_labels_travel_with_the_offer_that_defines_them(mode: DataMode) -> None:
    for sent in _whole_session(script(ServerProfile(mode=mode))).sent:
        body = read_body(sent.request)
        if body.metadata is not None and b"<label>" in body.metadata:
            assert body.description is not None


def test_section_9_1_one_exchange_at_a_time() -> None:
    play = script().up()
    play.apply(PauseAsked())
    play.ledger.held("b")
    play.apply(SnapshotDue())
    play.apply(ResumeAsked())
    assert len(play.sent) == 2
    play.respond(play.last("INVITE"))
    assert len(play.sent) == 3


def test_section_9_2_figure_13_a_snapshot_request_is_answered_and_then_served() -> None:
    play = script(ServerProfile(mode=DataMode.PARTIAL)).up()
    commands = play.request(
        "UPDATE",
        serialize(SnapshotRequest()),
        [
            ("Require", "siprec"),
            ("Accept", "application/sdp, application/rs-metadata"),
            ("Content-Disposition", "recording-session"),
        ],
        "application/rs-metadata",
    )
    response = only(commands, Respond).response
    assert (response.status, response.body) == (200, b"")
    assert only(commands, SendRequest).request.method in {"INVITE", "UPDATE"}
    assert b"<datamode>complete</datamode>" in play.documents[-1]


def test_rfc9806_the_media_type_ends_in_xml_and_the_old_name_is_understood() -> None:
    assert b"Content-Type: application/rs-metadata+xml\r\n" in script().start().request.body
    play = script().up()
    for kind in ("application/rs-metadata", "application/rs-metadata+xml"):
        play.request("UPDATE", serialize(SnapshotRequest()), content_type=kind)
        assert only(play.commands, Respond).response.status == 200


def test_rfc3261_14_1_a_collision_is_backed_off_and_the_latest_state_follows() -> None:
    play = script().up()
    play.apply(PauseAsked())
    play.request("INVITE", answer_sdp(offer_of(play.sent[0].request)))
    assert only(play.commands, Respond).response.status == 491
    play.respond(play.last("INVITE"), 491)
    assert find(play.commands, SendRequest) == []


def _whole_session(play: Script) -> Script:
    play.up()
    play.ledger.answered(at(1))
    play.apply(SnapshotDue())
    play.respond(play.sent[-1])
    for event in (PauseAsked(), ResumeAsked()):
        play.apply(event)
        play.respond(play.sent[-1])
    play.ledger.held("a")
    play.apply(SnapshotDue())
    play.respond(play.sent[-1])
    play.ledger.ended(at(9))
    play.apply(CallEnded())
    play.respond(play.sent[-1])
    play.respond(play.sent[-1])
    assert play.session.finished
    return play
