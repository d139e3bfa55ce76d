"""From one target to the next: RFC 3263 §4.3, and what comes late of those that were left."""

from sidestream.sip.events import ClientKey, ClientSilent, ClientTimedOut, ResponseReceived
from sidestream.sip.hop import Hop, Outgoing
from sidestream.sip.message import Request
from sidestream.sip.parser import parse_message
from sidestream.sip.timers import TimerProfile
from sip_script import Bench, outbound, reply

FIRST, SECOND, THIRD = (Hop("udp", f"192.0.2.{number}", 5060) for number in (11, 12, 13))
FIRST_TCP = Hop("tcp", "192.0.2.11", 5060)
PATIENCE = 5.0


class Peers:
    """A layer that sends one request to several hops."""

    def __init__(self, method: str = "INVITE", hops: tuple[Hop, ...] = (FIRST, SECOND)) -> None:
        self.bench = Bench(profile=TimerProfile(patience=PATIENCE))
        self.key = self.send(method, hops)
        self.request = self.taken(hops[0])

    def send(self, method: str = "INVITE", hops: tuple[Hop, ...] = (FIRST, SECOND)) -> ClientKey:
        return self.bench.layer.send_request(outbound(method), hops, self.bench.now)

    def taken(self, hop: Hop, method: str | None = None) -> Request:
        """The one request that went out, and that it went to this hop."""
        (outgoing,) = self.bench.sent_raw()
        return self.read(outgoing, hop, method)

    def read(self, outgoing: Outgoing, hop: Hop, method: str | None = None) -> Request:
        assert outgoing.hop == hop
        request = parse_message(outgoing.data)
        assert isinstance(request, Request)
        assert method is None or request.method == method
        return request

    def wait(self, seconds: float) -> list[Outgoing]:
        """Let time pass; returns what was sent but for what was sent again."""
        end, sent = self.bench.now + seconds, dict[tuple[Hop, bytes], Outgoing]()
        while (due := self.bench.layer.timer()) is not None and due <= end:
            self.bench.now = due
            self.bench.layer.on_timer(due)
            sent.update({(one.hop, one.data): one for one in self.bench.sent_raw()})
        self.bench.now = end
        return list(sent.values())

    def moved(self, to: Hop = SECOND) -> Request:
        """Wait until the first hop's silence is over, and return the request to the next."""
        found = [one for one in self.wait(PATIENCE) if one.hop != FIRST]
        (outgoing,) = found
        return self.read(outgoing, to)


def test_503_is_not_told_while_another_target_is_left() -> None:
    peers = Peers()
    assert peers.bench.receive(reply(peers.request, 503)) == []
    ack, again = peers.bench.sent_raw()
    assert peers.read(ack, FIRST, "ACK").top_via.branch == peers.request.top_via.branch
    second = peers.read(again, SECOND, "INVITE")
    # "a new client transaction": the same request with a new branch.
    assert second.top_via.branch != peers.request.top_via.branch
    assert (second.call_id, second.cseq, second.from_tag) == (
        peers.request.call_id,
        peers.request.cseq,
        peers.request.from_tag,
    )
    (event,) = peers.bench.receive(reply(second, 200))
    assert isinstance(event, ResponseReceived)
    assert event.key == peers.key


def test_503_of_the_last_target_is_told() -> None:
    peers = Peers()
    peers.bench.receive(reply(peers.request, 503))
    second = peers.read(peers.bench.sent_raw()[1], SECOND)
    (event,) = peers.bench.receive(reply(second, 503))
    assert isinstance(event, ResponseReceived)
    assert (event.key, event.response.status) == (peers.key, 503)


def test_a_503_that_is_sent_again_is_acknowledged_and_moves_nothing() -> None:
    peers = Peers()
    peers.bench.receive(reply(peers.request, 503))
    peers.bench.sent_raw()
    assert peers.bench.receive(reply(peers.request, 503)) == []
    peers.taken(FIRST, "ACK")


def test_other_failures_are_answers_of_the_domain() -> None:
    for status in (404, 486, 500, 603):
        peers = Peers()
        (event,) = peers.bench.receive(reply(peers.request, status))
        assert isinstance(event, ResponseReceived)
        assert event.response.status == status


def test_after_ringing_a_503_is_told() -> None:
    peers = Peers()
    peers.bench.receive(reply(peers.request, 180))
    (event,) = peers.bench.receive(reply(peers.request, 503))
    assert isinstance(event, ResponseReceived)


def test_what_the_user_gave_up_goes_nowhere_else() -> None:
    peers = Peers()
    peers.bench.layer.cancel(peers.key, peers.bench.now)
    (event,) = peers.bench.receive(reply(peers.request, 503))
    assert isinstance(event, ResponseReceived)


def test_retry_after_keeps_later_requests_away_for_its_time() -> None:
    peers = Peers()
    refusal = reply(peers.request, 503)
    refusal.headers.set("Retry-After", "60 (I'm in a meeting);duration=3600")
    peers.bench.receive(refusal)
    peers.bench.sent_raw()
    peers.wait(59)
    peers.send()
    peers.taken(SECOND, "INVITE")
    peers.wait(1.5)
    peers.bench.layer.outgoing()
    peers.send()
    assert peers.bench.sent_raw()[-1].hop == FIRST


def test_a_target_alone_is_tried_whatever_it_did() -> None:
    peers = Peers(hops=(FIRST,))
    refusal = reply(peers.request, 503)
    refusal.headers.set("Retry-After", "60")
    peers.bench.receive(refusal)
    peers.bench.sent_raw()
    peers.send(hops=(FIRST,))
    peers.taken(FIRST, "INVITE")


def test_silence_moves_on_long_before_timer_b() -> None:
    peers = Peers()
    second = peers.moved()
    assert second.method == "INVITE"
    assert peers.bench.events() == []
    (event,) = peers.bench.receive(reply(second, 200))
    assert isinstance(event, ResponseReceived)
    assert event.key == peers.key


def test_a_silent_target_is_asked_last_by_later_requests_until_it_answers() -> None:
    peers = Peers()
    peers.moved()
    peers.send("OPTIONS")
    peers.taken(SECOND, "OPTIONS")
    peers.send("OPTIONS", (FIRST,))
    options = peers.taken(FIRST, "OPTIONS")
    peers.bench.receive(reply(options, 200))
    peers.send("OPTIONS")
    peers.taken(FIRST, "OPTIONS")


def test_a_100_ends_the_impatience() -> None:
    peers = Peers()
    peers.bench.receive(reply(peers.request, 100))
    assert peers.wait(60) == []


def test_all_targets_silent_is_one_hint_and_one_timeout() -> None:
    peers = Peers()
    peers.moved()
    peers.wait(PATIENCE)
    assert peers.bench.events() == [ClientSilent(peers.key)]
    peers.wait(40)
    assert peers.bench.events() == [ClientTimedOut(peers.key)]
    assert peers.bench.layer.client_count == 0
    assert peers.bench.layer.timer() is None


def test_a_silent_host_is_not_asked_again_over_another_transport() -> None:
    peers = Peers(hops=(FIRST, FIRST_TCP, SECOND))
    peers.moved()


def test_a_target_that_rings_too_late_is_cancelled() -> None:
    peers = Peers()
    peers.moved()
    assert peers.bench.receive(reply(peers.request, 180)) == []
    peers.taken(FIRST, "CANCEL")
    assert peers.bench.receive(reply(peers.request, 487)) == []
    peers.taken(FIRST, "ACK")


def test_a_target_that_answers_too_late_has_answered_and_the_next_is_cancelled() -> None:
    peers = Peers()
    second = peers.moved()
    peers.bench.receive(reply(second, 180))
    (event,) = peers.bench.receive(reply(peers.request, 200))
    assert isinstance(event, ResponseReceived)
    assert (event.key, event.response.status) == (peers.key, 200)
    peers.taken(SECOND, "CANCEL")
    # The second answers all the same: its 2xx is told like a fork's, its 487 is not.
    assert [type(one) for one in peers.bench.receive(reply(second, 200))] == [ResponseReceived]


def test_a_late_failure_of_a_target_that_was_left_is_not_told() -> None:
    peers = Peers()
    second = peers.moved()
    assert peers.bench.receive(reply(peers.request, 486)) == []
    peers.taken(FIRST, "ACK")
    assert [type(one) for one in peers.bench.receive(reply(second, 486))] == [ResponseReceived]
    assert peers.bench.receive(reply(peers.request, 200)) == []


def test_another_request_takes_the_first_answer_that_comes() -> None:
    peers = Peers("OPTIONS")
    second = peers.moved()
    (event,) = peers.bench.receive(reply(peers.request, 200))
    assert isinstance(event, ResponseReceived)
    assert peers.bench.receive(reply(second, 200)) == []
    peers.wait(40)
    assert peers.bench.events() == []
    assert peers.bench.layer.client_count == 0


def test_three_targets_of_which_the_last_answers() -> None:
    peers = Peers(hops=(FIRST, SECOND, THIRD))
    second = peers.moved()
    peers.bench.receive(reply(second, 503))
    third = peers.read(peers.bench.sent_raw()[-1], THIRD)
    (event,) = peers.bench.receive(reply(third, 200))
    assert isinstance(event, ResponseReceived)


def test_large_requests_take_tcp_of_the_same_host_first() -> None:
    bench = Bench()
    made = outbound()
    made.body = b"x" * 1300
    hops = [FIRST, Hop("tcp", "192.0.2.12", 5060), FIRST_TCP]
    bench.layer.send_request(made, hops, bench.now)
    assert [one.hop for one in bench.sent_raw()] == [FIRST_TCP]
