"""Answers to the first INVITE: what each means, and what is tried once more with the same server."""

from functools import partial

import pytest

from sidestream.sip.digest import credentials_of
from sidestream.sip.digest_client import Again, DigestClient
from sidestream.sip.message import Request, Response
from sidestream.siprec.body import MetadataType
from sidestream.siprec.commands import (
    AttemptFailed,
    Cancel,
    Established,
    Finish,
    MemoryLearned,
    Noted,
    SendAck,
    SendRequest,
    SetTimer,
    StartMedia,
)
from sidestream.siprec.context import State
from sidestream.siprec.establishing import cause_of_status
from sidestream.siprec.events import (
    RequestTimedOut,
    RequestTransportFailed,
    StopAsked,
    StopBy,
    TimerFired,
    TimerName,
)
from sidestream.siprec.offer import Note, StreamState
from sidestream.siprec.profile import ServerMemory
from sidestream.siprec.verdicts import Cause, SessionSlug
from siprec_script import (
    G722,
    PCMA,
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


def failed(play: Script) -> AttemptFailed:
    return fact(play.commands, AttemptFailed)


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (400, Cause.REJECTED),
        (404, Cause.REJECTED),
        (403, Cause.DECLINED),
        (603, Cause.DECLINED),
        (420, Cause.NOT_A_RECORDER),
        (480, Cause.BUSY),
        (486, Cause.BUSY),
        (503, Cause.BUSY),
        (500, Cause.SERVER_ERROR),
        (513, Cause.SERVER_ERROR),
        (408, Cause.NO_ANSWER),
        (401, Cause.UNAUTHORIZED),
        (407, Cause.UNAUTHORIZED),
        (302, Cause.REDIRECTED),
        (604, Cause.REJECTED),
    ],
)
def test_a_refusal_has_a_cause_and_ends_the_attempt(status: int, cause: Cause) -> None:
    play = script()
    play.respond(play.start(), status)
    assert (failed(play).cause, failed(play).status) == (cause, status)
    finish = only(play.commands, Finish)
    assert (finish.verdict.slug, finish.verdict.cause) == (SessionSlug.FAILED, cause)
    assert play.session.finished


def test_which_codes_speak_for_the_whole_group_is_configured() -> None:
    assert cause_of_status(486, frozenset({486})) is Cause.DECLINED
    assert cause_of_status(403, frozenset()) is Cause.REJECTED


def test_what_the_server_says_is_kept_for_people_and_its_retry_after_for_the_group() -> None:
    play = script()
    play.respond(play.start(), 503, headers=[("Retry-After", "18 (busy)"), ("Warning", '399 srs "full"')])
    assert failed(play).retry_after_s == 18
    assert failed(play).detail == '503 Service Unavailable (399 srs "full")'


def test_silence_is_cancelled_after_the_deadline_and_not_waited_for() -> None:
    play = script(deadline_s=2.0)
    invite = play.start()
    assert only(play.commands, SetTimer).at == 2.0
    play.apply(TimerFired(1, TimerName.SETUP), 2.0)
    assert failed(play).cause is Cause.NO_ANSWER
    assert only(play.commands, Cancel).request_id == invite.request_id
    assert play.session.state is State.CANCELLING


def test_100_then_silence_is_silence() -> None:
    play = script()
    invite = play.start()
    play.respond(invite, 100)
    play.respond(invite, 180)
    play.apply(TimerFired(1, TimerName.SETUP), 5.0)
    assert failed(play).cause is Cause.SILENT


def test_a_2xx_after_the_deadline_is_acknowledged_and_ended() -> None:
    play = script()
    invite = play.start()
    play.apply(TimerFired(1, TimerName.SETUP), 5.0)
    play.respond(invite)
    only(play.commands, SendAck)
    assert find(play.commands, StartMedia) == []
    assert play.sent[-1].request.method == "BYE"
    assert only(play.respond(play.sent[-1]), Finish).verdict.slug is SessionSlug.FAILED


@pytest.mark.parametrize("event", [RequestTimedOut, RequestTransportFailed])
def test_a_server_that_is_not_reached_fails_the_attempt(event: type) -> None:
    play = script()
    invite = play.start()
    play.apply(event(1, invite.request_id))
    assert failed(play).cause is (Cause.NO_ANSWER if event is RequestTimedOut else Cause.UNREACHABLE)
    assert play.session.finished


# --- the answer ------------------------------------------------------------------------------------------


def test_a_2xx_without_sdp_is_acknowledged_ended_and_failed() -> None:
    play = script()
    play.respond(play.start(), 200, b"")
    assert failed(play).cause is Cause.ANSWER_UNUSABLE
    only(play.commands, SendAck)
    assert play.sent[-1].request.method == "BYE"


@pytest.mark.parametrize(("body", "kind"), [(b"v=1\r\n", "application/sdp"), (b"hello", "text/plain")])
def test_a_2xx_with_another_body_is_unusable(body: bytes, kind: str) -> None:
    play = script()
    play.respond(play.start(), 200, body, content_type=kind)
    assert failed(play).cause is Cause.ANSWER_UNUSABLE


def test_a_2xx_that_refuses_every_stream_is_no_recording() -> None:
    play = script()
    invite = play.start()
    play.respond(invite, 200, answer_sdp(offer_of(invite.request), ports=(0, 0)))
    assert failed(play).cause is Cause.MEDIA_REFUSED
    assert play.sent[-1].request.method == "BYE"
    assert find(play.commands, StartMedia) == []


def test_one_refused_stream_leaves_the_other() -> None:
    play = script()
    invite = play.start()
    play.respond(invite, 200, answer_sdp(offer_of(invite.request), ports=(0, 50002)))
    assert [stream.label for stream in only(play.commands, StartMedia).streams] == ["2"]
    assert [each.state for each in fact(play.commands, Established).streams] == [
        StreamState.REFUSED,
        StreamState.ACCEPTED,
    ]


def test_a_multipart_answer_is_taken_for_its_sdp() -> None:
    play = script()
    invite = play.start()
    sdp = answer_sdp(offer_of(invite.request))
    body = (
        b"--x\r\nContent-Type: application/rs-metadata+xml\r\n\r\n<r/>\r\n"
        b"--x\r\nContent-Type: application/sdp\r\n\r\n" + sdp + b"\r\n--x--\r\n"
    )
    play.respond(invite, 200, body, content_type="multipart/mixed; boundary=x")
    assert len(only(play.commands, StartMedia).streams) == 2


def test_sloppy_answers_are_noted() -> None:
    play = script()
    invite = play.start()
    play.respond(invite, 200, answer_sdp(offer_of(invite.request), direction=None, labels=False))
    assert fact(play.commands, Noted).notes == (Note.NO_LABEL, Note.NO_DIRECTION)
    assert len(only(play.commands, StartMedia).streams) == 2


def test_inactive_is_waited_for() -> None:
    play = script()
    invite = play.start()
    play.respond(invite, 200, answer_sdp(offer_of(invite.request), direction="inactive"))
    assert find(play.commands, StartMedia) == []
    assert play.session.state is State.STEADY


# --- once more, in another form --------------------------------------------------------------------------


def test_415_is_answered_with_the_other_name_of_the_type_once() -> None:
    play = script()
    play.respond(play.start(), 415, headers=[("Accept", "application/sdp, application/rs-metadata")])
    second = play.last("INVITE").request
    assert b"Content-Type: application/rs-metadata\r\n" in second.body
    assert second.cseq.number == 2
    assert second.call_id == play.sent[0].request.call_id
    play.respond(play.last("INVITE"))
    assert fact(play.commands, MemoryLearned).memory.metadata_type == "application/rs-metadata"
    again = script()
    again.respond(again.start(), 415)
    again.respond(again.last("INVITE"), 415)
    assert failed(again).cause is Cause.BODY_REFUSED


def test_415_that_names_other_types_only_is_final() -> None:
    play = script()
    play.respond(play.start(), 415, headers=[("Accept", "application/sdp, application/x-own")])
    assert failed(play).cause is Cause.BODY_REFUSED


def test_what_a_server_has_shown_is_used_with_it_from_the_beginning() -> None:
    memory = ServerMemory(metadata_type=MetadataType.PLAIN, plain_codecs=True)
    invite = script(memory=memory).start().request
    assert b"Content-Type: application/rs-metadata\r\n" in invite.body
    assert [codec.name for codec in offer_of(invite).media[0].codecs] == ["PCMA", "PCMU"]


def test_488_is_answered_with_the_codecs_that_every_recorder_takes_once() -> None:
    play = script(streams=sources(G722))
    play.respond(play.start(), 488)
    assert [codec.name for codec in offer_of(play.last("INVITE").request).media[0].codecs] == ["PCMA", "PCMU"]
    play.respond(play.last("INVITE"))
    assert fact(play.commands, MemoryLearned).memory.plain_codecs
    again = script(streams=sources(G722))
    again.respond(again.start(), 488)
    again.respond(again.last("INVITE"), 488)
    assert failed(again).cause is Cause.MEDIA_REFUSED


def test_488_to_just_these_codecs_is_final() -> None:
    play = script(streams=sources(PCMA, None))
    play.respond(play.start(), 488)
    assert failed(play).cause is Cause.MEDIA_REFUSED
    assert len(play.sent) == 1


def test_a_redirection_is_followed_once() -> None:
    play = script()
    play.respond(play.start(), 302, headers=[("Contact", "<sip:other@127.0.0.8:5071;transport=tcp>;q=0.5")])
    second = play.last("INVITE")
    assert second.request.uri == second.next_hop == "sip:other@127.0.0.8:5071;transport=tcp"
    play.respond(second, 302, headers=[("Contact", "<sip:third@127.0.0.7>")])
    assert failed(play).cause is Cause.REDIRECTED


@pytest.mark.parametrize(
    "contact", ["<tel:+1>", "<sip:rec@127.0.0.9:5070;transport=tcp>", '"', "<sip:[::g]>"]
)
def test_a_redirection_that_leads_nowhere_is_a_failure(contact: str) -> None:
    play = script()
    play.respond(play.start(), 302, headers=[("Contact", contact)])
    assert failed(play).cause is Cause.REDIRECTED


def test_a_challenge_is_answered_once_when_there_are_credentials() -> None:
    def authorize(request: Request, response: Response) -> tuple[str, str] | None:
        assert request.method == "INVITE"
        return ("Authorization", "Digest x") if response.status == 401 else None

    play = script(identity=identity(authorize=authorize))
    play.respond(play.start(), 401)
    assert play.last("INVITE").request.headers.get("Authorization") == "Digest x"
    assert play.last("INVITE").request.cseq.number == 2
    play.respond(play.last("INVITE"), 401)
    assert failed(play).cause is Cause.UNAUTHORIZED


def test_with_credentials_all_that_follows_the_challenge_carries_them() -> None:
    client = DigestClient("recorder", "secret", "*", lambda: "cnonce")

    def authorize(request: Request, response: Response) -> tuple[str, str] | None:
        outcome = client.answer(request, response, "here")
        return credentials_of(outcome.request)[0] if isinstance(outcome, Again) else None

    play = script(identity=identity(authorize=authorize, dress=partial(client.dress, place="here")))
    challenge = ("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth"')
    play.respond(play.start(), 401, headers=[challenge])
    invite = play.last("INVITE")
    assert "username=" in (invite.request.headers.get("Authorization") or "")
    assert invite.request.headers.count("Authorization") == 1
    play.respond(invite)
    (ack,) = find(play.commands, SendAck)
    assert ack.request.headers.get("Authorization") == invite.request.headers.get("Authorization")
    play.apply(StopAsked(StopBy.OPERATOR))
    assert "Authorization" in play.last("UPDATE").request.headers
    play.respond(play.last("UPDATE"))
    assert "Authorization" in play.last("BYE").request.headers


def test_422_is_answered_with_the_interval_that_it_names() -> None:
    play = script()
    play.respond(play.start(), 422, headers=[("Min-SE", "3600")])
    headers = play.last("INVITE").request.headers
    assert (headers.get("Session-Expires"), headers.get("Min-SE")) == ("3600", "3600")
    play.respond(play.last("INVITE"), 422, headers=[("Min-SE", "7200")])
    assert failed(play).cause is Cause.REJECTED


def test_other_forms_share_the_servers_one_deadline() -> None:
    play = script()
    play.respond(play.start(), 415)
    assert [timer for timer in find(play.commands, SetTimer) if timer.name is TimerName.SETUP] == []
    assert find(play.commands, SendRequest)
    play.apply(TimerFired(1, TimerName.SETUP), 5.0)
    failed(play)
    assert not any(isinstance(each, Established) for each in facts(play.commands))
