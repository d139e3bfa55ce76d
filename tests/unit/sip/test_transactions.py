from sidestream.sip.events import RequestReceived, ResponseReceived
from sidestream.sip.message import Request
from sidestream.sip.serializer import serialize
from sip_script import PEER, TO_PEER, Bench, outbound, reply, request


def test_what_is_sent_and_told_is_taken_once() -> None:
    bench = Bench()
    bench.layer.send_request(outbound("OPTIONS"), [TO_PEER], bench.now)
    assert len(bench.layer.outgoing()) == 1
    assert bench.layer.outgoing() == []
    bench.layer.receive(request(), PEER, bench.now)
    assert isinstance(bench.layer.next_event(), RequestReceived)
    assert bench.layer.next_event() is None


def test_a_datagram_is_parsed_and_applied() -> None:
    bench = Bench()
    bench.layer.send_request(outbound("OPTIONS"), [TO_PEER], bench.now)
    (sent,) = bench.sent()
    (event,) = bench.receive(serialize(reply(sent, 200)))
    assert isinstance(event, ResponseReceived)
    assert event.source == PEER


def test_counts_tell_what_no_event_does() -> None:
    bench = Bench()
    bench.receive(b"junk\r\n\r\n")
    bench.receive(reply(request("OPTIONS"), 200))
    counts = bench.layer.counts
    assert (counts.malformed, counts.stray_responses, counts.overload) == (1, 1, 0)


def test_nothing_runs_at_first_and_the_earliest_timer_is_told() -> None:
    bench = Bench()
    assert bench.layer.timer() is None
    bench.layer.send_request(outbound("OPTIONS"), [TO_PEER], bench.now)
    assert bench.layer.timer() == bench.now + 0.5
    bench.request(request())
    assert bench.layer.timer() == bench.now + 0.2


def test_transactions_are_counted_while_they_live() -> None:
    bench = Bench()
    bench.layer.send_request(outbound("OPTIONS"), [TO_PEER], bench.now)
    bench.request(request("OPTIONS"))
    assert (bench.layer.client_count, bench.layer.server_count) == (1, 1)
    bench.advance(40.0)
    assert (bench.layer.client_count, bench.layer.server_count) == (0, 0)


def test_verbs_for_what_is_over_have_no_effect() -> None:
    bench = Bench()
    event = bench.request(request("OPTIONS"))
    key = bench.layer.send_request(outbound(), [TO_PEER], bench.now)
    bench.advance(40.0)
    bench.events()
    bench.answer(event, 200)
    bench.layer.confirm_2xx(event.key, bench.now)
    bench.layer.cancel(key, bench.now)
    assert bench.sent() == []
    assert bench.events() == []


def test_a_request_that_is_no_invite_is_not_cancelled() -> None:
    bench = Bench()
    key = bench.layer.send_request(outbound("OPTIONS"), [TO_PEER], bench.now)
    (sent,) = bench.sent()
    bench.receive(reply(sent, 100))
    bench.layer.cancel(key, bench.now)
    assert bench.sent() == []


def test_of_a_message_answered_for_good_only_the_bytes_stay() -> None:
    bench = Bench()
    bench.answer(bench.request(request()), 200)
    bench.layer.send_request(outbound(), [TO_PEER], bench.now)
    *_, sent = bench.sent()
    bench.receive(reply(sent, 200))
    assert (bench.layer.server_count, bench.layer.client_count) == (1, 1)
    (server,) = bench.layer._servers._by_key.values()
    (client,) = bench.layer._clients._by_key.values()
    assert (server.request, client.request, client.original) == (None, None, None)
    assert server.data.startswith(b"SIP/2.0 200 ")


def test_a_refused_invite_is_kept_for_its_acks() -> None:
    bench = Bench()
    bench.layer.send_request(outbound(), [TO_PEER], bench.now)
    (sent,) = bench.sent()
    for _ in range(2):
        bench.receive(reply(sent, 486))
        (ack,) = bench.sent()
        assert isinstance(ack, Request)
        assert ack.method == "ACK"
