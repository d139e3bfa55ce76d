import pytest

from call_script import ANSWER, OFFER, CallBench, sdp, session
from sidestream.call.crossing import MAX_CROSSINGS
from sidestream.call.facts import HeadersChanged, ParticipantUpdated
from sidestream.call.side import Side
from sidestream.call.state import CallState
from sidestream.sip.message import Response

NO_UPDATE = [("Allow", "INVITE, ACK, BYE")]
KNOWS_UPDATE = [("Allow", "INVITE, ACK, BYE, UPDATE")]


def in_0_to_10(response: Response) -> bool:
    value = response.headers.get("Retry-After") or ""
    return value.isdigit() and 0 <= int(value) <= 10


@pytest.mark.parametrize("side", list(Side))
def test_a_reinvite_crosses_with_our_address(side: Side) -> None:
    bench = CallBench().talk()
    key = bench.request(side, "INVITE", sdp("8 101", port=6000, version=2), headers=[("X-Why", "move")])
    crossed = bench.sent("INVITE", side.other)
    assert crossed.to_tag == bench.party(side.other).tag
    assert session(crossed).media[0].port == (20002 if side is Side.A else 20000)
    assert session(crossed).media[0].codecs[0].name == "PCMA"
    assert crossed.headers.get("X-Why") == "move"
    assert not bench.responses(key)


def test_a_reinvite_that_meets_one_on_its_way_across_is_glare() -> None:
    bench = CallBench().talk()
    first = bench.request(Side.A, "INVITE", sdp("8", version=2))
    second = bench.request(Side.B, "INVITE", sdp("8", version=2))
    assert bench.final(second).status == 491
    bench.reply(bench.requests("INVITE")[-1], 491)
    assert bench.final(first).status == 491
    assert bench.b2bua.state is CallState.TALKING


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_an_offer_before_the_last_one_is_answered_comes_too_early(method: str) -> None:
    bench = CallBench().talk()
    bench.request(Side.A, "INVITE", sdp("8", version=2))
    key = bench.request(Side.A, method, sdp("0", version=3))
    assert bench.final(key).status == 500
    assert in_0_to_10(bench.final(key))


def test_an_update_that_meets_a_reinvite_is_glare() -> None:
    bench = CallBench().talk()
    bench.request(Side.A, "INVITE", sdp("8", version=2))
    assert bench.final(bench.request(Side.B, "UPDATE", sdp("8", version=2))).status == 491


@pytest.mark.parametrize("side", list(Side))
def test_no_offer_crosses_before_the_callers_ack(side: Side) -> None:
    bench = CallBench().start()
    bench.answer()
    assert bench.final(bench.request(side, "INVITE", sdp("8", version=2))).status == 491
    bench.ack(cseq=1)
    assert bench.b2bua.state is CallState.TALKING


def test_no_offer_crosses_before_the_ack_of_a_reinvite() -> None:
    bench = CallBench().talk()
    bench.request(Side.A, "INVITE", sdp("8", version=2))
    bench.reply(bench.requests("INVITE")[-1], 200, sdp("8"))
    assert bench.final(bench.request(Side.B, "INVITE", sdp("0"))).status == 491
    bench.ack()
    bench.request(Side.B, "INVITE", sdp("0", version=2))
    assert bench.requests("INVITE", Side.A)


@pytest.mark.parametrize(("method", "status"), [("INVITE", 500), ("UPDATE", 500)])
def test_an_early_offer_of_the_caller_comes_too_early(method: str, status: int) -> None:
    bench = CallBench().start()
    bench.ring(Allow="INVITE, ACK, BYE, UPDATE")
    key = bench.request(Side.A, method, sdp("8", version=2))
    assert bench.final(key).status == status
    assert in_0_to_10(bench.final(key))
    assert bench.b2bua.state is CallState.RINGING


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_an_early_offer_of_the_callee_is_glare(method: str) -> None:
    bench = CallBench().start()
    bench.ring()
    assert bench.final(bench.request(Side.B, method, sdp("8"))).status == 491


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_an_offer_that_cannot_be_carried_is_refused_and_the_session_goes_on(method: str) -> None:
    bench = CallBench().talk()
    key = bench.request(Side.A, method, sdp("9", version=2))
    assert bench.final(key).status == 488
    assert "Warning" in bench.final(key).headers
    key = bench.request(Side.A, "INVITE", sdp("8", version=3))
    assert not bench.responses(key), "and the next offer crosses"


def test_a_body_that_is_not_understood_is_refused() -> None:
    bench = CallBench().talk()
    assert bench.final(bench.request(Side.A, "INVITE", b"x", content_type="text/plain")).status == 415
    assert bench.final(bench.request(Side.A, "INVITE", b"nonsense")).status == 400


def test_an_update_crosses_as_update_to_a_party_that_knows_it() -> None:
    bench = CallBench().talk(headers=KNOWS_UPDATE)
    key = bench.request(Side.A, "UPDATE", sdp("8", version=2))
    update = bench.requests("UPDATE", Side.B)[-1]
    bench.reply(update, 200, sdp("8", port=5000))
    assert session(bench.final(key)).media[0].codecs[0].name == "PCMA"
    assert len(bench.acks()) == 1


@pytest.mark.parametrize("headers", [NO_UPDATE, []])
def test_an_update_crosses_as_reinvite_to_a_party_that_does_not(headers: list[tuple[str, str]]) -> None:
    bench = CallBench().talk(headers=headers)
    key = bench.request(Side.A, "UPDATE", sdp("8", version=2))
    assert not bench.requests("UPDATE")
    invite = bench.requests("INVITE", Side.B)[-1]
    bench.reply(invite, 180)
    assert not bench.responses(key), "an UPDATE has no provisional response to pass on"
    bench.reply(invite, 200, sdp("8", port=5000))
    assert bench.acks()[-1].cseq.number == invite.request.cseq.number
    assert bench.final(key).status == 200
    bench.request(Side.B, "INVITE", sdp("0", version=2))
    assert bench.requests("INVITE", Side.A), "no ACK of the UPDATE's sender is awaited"


def test_an_update_without_an_offer_crosses_even_early() -> None:
    bench = CallBench().start()
    bench.ring(Allow="INVITE, ACK, BYE, UPDATE")
    identity = [("P-Asserted-Identity", "<sip:+4977@a.example>")]
    key = bench.request(Side.A, "UPDATE", headers=identity)
    update = bench.requests("UPDATE", Side.B)[-1]
    assert update.request.headers.get("P-Asserted-Identity") == "<sip:+4977@a.example>"
    assert not bench.responses(key)
    bench.reply(update, 200)
    assert bench.final(key).status == 200
    assert bench.facts(ParticipantUpdated)[0].participant.number == "+4977"


def test_an_update_without_an_offer_is_answered_here_for_a_party_that_does_not_know_it() -> None:
    bench = CallBench().talk(headers=NO_UPDATE)
    bench.caller.contact = "sip:elsewhere@192.0.2.77:5060"
    key = bench.request(Side.A, "UPDATE")
    assert bench.final(key).status == 200
    assert bench.final(key).headers.get("Contact") == "<sip:192.0.2.1:5060>"
    assert len(bench.requests()) == 1
    bench.request(Side.B, "BYE")
    assert bench.sent("BYE", Side.A).uri == "sip:elsewhere@192.0.2.77:5060"


def test_headers_of_a_reinvite_that_differ_are_told_once() -> None:
    bench = CallBench().talk()
    for version in (2, 3):
        bench.request(Side.A, "INVITE", sdp("8", version=version), headers=[("X-Agent", "9")])
        bench.reply(bench.requests("INVITE")[-1], 200, sdp("8"))
        bench.ack()
    changes = bench.facts(HeadersChanged)
    assert [(change.side, ("X-Agent", "9") in change.headers) for change in changes] == [(Side.A, True)]


def test_an_info_before_there_is_anybody_to_hear_it_is_answered_480() -> None:
    bench = CallBench().start()
    assert bench.final(bench.request(Side.A, "INFO", b"x", content_type="text/plain")).status == 480


def test_requests_on_their_way_across_are_bounded() -> None:
    bench = CallBench().talk()
    keys = [bench.request(Side.A, "INFO") for _ in range(MAX_CROSSINGS + 1)]
    assert bench.final(keys[-1]).status == 503
    assert len(bench.requests("INFO")) == MAX_CROSSINGS
    for sent in bench.requests("INFO"):
        bench.reply(sent, 200)
    assert all(bench.final(key).status == 200 for key in keys[:-1])


def test_a_route_that_leads_nowhere_is_answered_480_and_gives_the_offer_back() -> None:
    bench = CallBench().talk()
    dialog = bench.b2bua._ctx.callee.dialog
    assert dialog is not None
    routes, dialog.route_set[:] = list(dialog.route_set), [dialog.remote]
    dialog.route_set[0] = bench.b2bua._ctx.invite.request.from_.parse("<tel:+49>")
    assert bench.final(bench.request(Side.A, "INVITE", sdp("8", version=2))).status == 480
    dialog.route_set[:] = routes
    bench.request(Side.A, "INVITE", sdp("8", version=2))
    assert bench.sent("INVITE").body


def test_a_reinvite_without_an_offer_asks_the_other_side() -> None:
    bench = CallBench().talk()
    key = bench.request(Side.A, "INVITE")
    sent = bench.requests("INVITE")[-1]
    assert sent.request.body == b""
    bench.reply(sent, 200, sdp("8 0", port=5000, host="192.0.2.20"))
    assert len(bench.acks()) == 1, "the second ACK waits for the answer"
    offered = session(bench.final(key)).media[0]
    assert [codec.name for codec in offered.codecs] == ["PCMA", "PCMU"]
    assert bench.final(bench.request(Side.B, "INVITE", sdp("0"))).status == 491
    bench.ack(sdp("8"), cseq=bench.caller.cseq)
    answer = session(bench.acks()[-1]).media[0]
    assert (answer.port, answer.codecs[0].name) == (20002, "PCMA")
    assert bench.b2bua.state is CallState.TALKING


def test_the_session_continues_in_its_versions() -> None:
    bench = CallBench().talk()
    first = session(bench.invited.request).origin
    for version, formats in ((2, "8"), (3, "8"), (4, "0 8 101")):
        bench.request(Side.A, "INVITE", sdp(formats, version=version))
        bench.reply(bench.requests("INVITE")[-1], 200, sdp(formats.split()[0]))
        bench.ack()
    origins = [session(sent.request).origin for sent in bench.requests("INVITE")[1:]]
    assert {origin.session_id for origin in origins} == {first.session_id}
    assert [origin.version - first.version for origin in origins] == [1, 1, 2]
    assert OFFER != ANSWER
