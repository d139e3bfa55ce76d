"""CANCEL (RFC 3261 section 9)."""

from sidestream.sip.events import ClientTimedOut, ResponseReceived
from sidestream.sip.message import Request
from sip_script import TO_PEER, Bench, cancel, outbound, reply, request, short


def test_section_9_1_cancel_waits_for_a_provisional_response() -> None:
    bench = Bench()
    key = bench.layer.send_request(outbound(), [TO_PEER], bench.now)
    (invite,) = bench.sent()
    bench.layer.cancel(key, bench.now)
    assert bench.sent() == []
    bench.receive(reply(invite, 180))
    (sent,) = bench.sent()
    assert short(sent) == "CANCEL"


def test_section_9_1_the_cancel_takes_the_way_of_the_invite() -> None:
    bench = Bench()
    invite = outbound(Route="<sip:proxy.example.com;lr>")
    key = bench.layer.send_request(invite, [TO_PEER], bench.now)
    (sent,) = bench.sent()
    bench.receive(reply(sent, 180))
    bench.layer.cancel(key, bench.now, reason='SIP;cause=200;text="Call completed elsewhere"')
    (cancelled,) = bench.sent()
    assert isinstance(cancelled, Request)
    assert isinstance(sent, Request)
    assert cancelled.uri == sent.uri
    assert cancelled.vias == sent.vias
    assert str(cancelled.cseq) == "1 CANCEL"
    for name in ("Route", "From", "To", "Call-ID"):
        assert cancelled.headers.get_all(name) == sent.headers.get_all(name)
    assert cancelled.headers.get("Reason") == 'SIP;cause=200;text="Call completed elsewhere"'
    assert "Require" not in cancelled.headers


def test_section_9_1_no_cancel_after_the_final_response_and_only_one() -> None:
    bench = Bench()
    key = bench.layer.send_request(outbound(), [TO_PEER], bench.now)
    (sent,) = bench.sent()
    bench.receive(reply(sent, 180))
    bench.layer.cancel(key, bench.now)
    bench.layer.cancel(key, bench.now)
    assert len(bench.sent()) == 1
    done = Bench()
    key = done.layer.send_request(outbound(), [TO_PEER], done.now)
    (sent,) = done.sent()
    done.receive(reply(sent, 200))
    done.layer.cancel(key, done.now)
    assert done.sent() == []


def test_section_9_1_a_cancelled_invite_is_given_up_after_64_t1() -> None:
    bench = Bench()
    key = bench.layer.send_request(outbound(), [TO_PEER], bench.now)
    (sent,) = bench.sent()
    bench.receive(reply(sent, 180))
    bench.layer.cancel(key, bench.now)
    (cancelled,) = bench.sent()
    bench.receive(reply(cancelled, 200))
    bench.advance(31.9)
    assert bench.events() == []
    bench.advance(0.1)
    assert bench.events() == [ClientTimedOut(key)]
    assert bench.layer.timer() is None


def test_section_9_1_the_487_is_acknowledged_and_told() -> None:
    bench = Bench()
    key = bench.layer.send_request(outbound(), [TO_PEER], bench.now)
    (sent,) = bench.sent()
    bench.receive(reply(sent, 180))
    bench.layer.cancel(key, bench.now)
    bench.sent()
    (event,) = bench.receive(reply(sent, 487))
    assert isinstance(event, ResponseReceived)
    assert [short(message) for message in bench.sent()] == ["ACK"]


def test_section_9_1_a_2xx_that_crosses_the_cancel_is_told() -> None:
    bench = Bench()
    key = bench.layer.send_request(outbound(), [TO_PEER], bench.now)
    (sent,) = bench.sent()
    bench.layer.cancel(key, bench.now)
    (event,) = bench.receive(reply(sent, 200))
    assert isinstance(event, ResponseReceived)
    assert bench.sent() == []


def test_section_9_2_cancel_is_answered_and_told_once() -> None:
    bench = Bench()
    event = bench.request(request())
    bench.answer(event, 180)
    bench.sent()
    (told,) = bench.receive(cancel(request()))
    assert type(told).__name__ == "CancelReceived"
    assert told.key == event.key  # type: ignore[union-attr]
    (response,) = bench.sent()
    assert short(response) == "200"
    assert response.to_tag == "ours"
    assert bench.receive(cancel(request())) == []
    assert [short(message) for message in bench.sent()] == ["200"]


def test_section_9_2_cancel_after_the_final_answer_has_no_effect() -> None:
    bench = Bench()
    bench.answer(bench.request(request()), 200)
    bench.sent()
    assert bench.receive(cancel(request())) == []
    assert [short(message) for message in bench.sent()] == ["200"]


def test_section_9_2_cancel_of_nothing_gets_481() -> None:
    bench = Bench()
    assert bench.refused(cancel(request())).status == 481
