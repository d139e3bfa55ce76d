"""The machines of RFC 3261 §17, RFC 6026 and RFC 4320 walked row by row, and the values of their timers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from sidestream.sip.builder import response_to
from sidestream.sip.errors import IllegalMoveError
from sidestream.sip.events import (
    AckReceived,
    AckTimedOut,
    ClientSilent,
    ClientTimedOut,
    ClientTransportFailed,
    PrackTimedOut,
    RequestReceived,
    ResponseReceived,
    ServerTransportFailed,
    SipEvent,
)
from sidestream.sip.hop import Hop
from sidestream.sip.message import Request, Response
from sidestream.sip.runner import Transaction
from sidestream.sip.timers import TimerProfile
from sidestream.sip.transaction import (
    INVITE_CLIENT,
    INVITE_SERVER,
    MACHINES,
    NON_INVITE_CLIENT,
    NON_INVITE_SERVER,
    Cause,
    Input,
    Machine,
    State,
    Timer,
)
from sip_script import PEER_TCP, TO_PEER, TO_PEER_TCP, Bench, ack, outbound, reply, request, short

S, In, T = State, Input, Timer


@dataclass(frozen=True)
class Row:
    """What one input in one state does over UDP: read from the RFCs, not from our table."""

    state: State
    cause: Cause
    then: State
    sent: tuple[str, ...] = ()
    told: tuple[type[SipEvent], ...] = ()
    timers: frozenset[Timer] = frozenset()


def running(*timers: Timer) -> frozenset[Timer]:
    return frozenset(timers)


ANSWER = (ResponseReceived,)
IC_CALLING = running(T.A, T.B, T.PATIENCE)
IC_DONE = (ResponseReceived,)
INVITE_CLIENT_ROWS = [
    Row(S.CALLING, T.A, S.CALLING, ("INVITE",), (), IC_CALLING),
    Row(S.CALLING, T.PATIENCE, S.CALLING, (), (ClientSilent,), running(T.A, T.B)),
    Row(S.CALLING, T.B, S.TERMINATED, (), (ClientTimedOut,)),
    Row(S.CALLING, In.RECEIVED_1XX, S.PROCEEDING, (), ANSWER),
    Row(S.CALLING, In.RECEIVED_2XX, S.ACCEPTED, (), ANSWER, running(T.M)),
    Row(S.CALLING, In.RECEIVED_FAILURE, S.COMPLETED, ("ACK",), ANSWER, running(T.D)),
    Row(S.CALLING, In.TRANSPORT_ERROR, S.TERMINATED, (), (ClientTransportFailed,)),
    Row(S.PROCEEDING, In.RECEIVED_1XX, S.PROCEEDING, (), ANSWER),
    Row(S.PROCEEDING, In.RECEIVED_2XX, S.ACCEPTED, (), ANSWER, running(T.M)),
    Row(S.PROCEEDING, In.RECEIVED_FAILURE, S.COMPLETED, ("ACK",), ANSWER, running(T.D)),
    Row(S.PROCEEDING, In.TRANSPORT_ERROR, S.PROCEEDING),
    Row(S.PROCEEDING, T.CANCEL_WAIT, S.TERMINATED, (), (ClientTimedOut,)),
    Row(S.COMPLETED, In.RECEIVED_1XX, S.COMPLETED, (), (), running(T.D)),
    Row(S.COMPLETED, In.RECEIVED_2XX, S.COMPLETED, (), (), running(T.D)),
    Row(S.COMPLETED, In.RECEIVED_FAILURE, S.COMPLETED, ("ACK",), (), running(T.D)),
    Row(S.COMPLETED, In.TRANSPORT_ERROR, S.TERMINATED),
    Row(S.COMPLETED, T.D, S.TERMINATED),
    Row(S.ACCEPTED, In.RECEIVED_1XX, S.ACCEPTED, (), (), running(T.M)),
    Row(S.ACCEPTED, In.RECEIVED_2XX, S.ACCEPTED, (), ANSWER, running(T.M)),
    Row(S.ACCEPTED, In.RECEIVED_FAILURE, S.ACCEPTED, (), (), running(T.M)),
    Row(S.ACCEPTED, In.TRANSPORT_ERROR, S.ACCEPTED, (), (), running(T.M)),
    Row(S.ACCEPTED, T.M, S.TERMINATED),
]

NC_OPEN = running(T.E, T.F)
NON_INVITE_CLIENT_ROWS = [
    Row(S.TRYING, T.E, S.TRYING, ("OPTIONS",), (), NC_OPEN),
    # RFC 3263 §4.3: the second hop is asked, and the first has its time all the same.
    Row(S.TRYING, T.PATIENCE, S.TRYING, ("OPTIONS",), (), running(T.F)),
    Row(S.TRYING, T.F, S.TERMINATED, (), (ClientTimedOut,)),
    Row(S.TRYING, In.RECEIVED_1XX, S.PROCEEDING, (), ANSWER, NC_OPEN),
    Row(S.TRYING, In.RECEIVED_2XX, S.COMPLETED, (), ANSWER, running(T.K)),
    Row(S.TRYING, In.RECEIVED_FAILURE, S.COMPLETED, (), ANSWER, running(T.K)),
    Row(S.TRYING, In.TRANSPORT_ERROR, S.TERMINATED, (), (ClientTransportFailed,)),
    Row(S.PROCEEDING, T.E, S.PROCEEDING, ("OPTIONS",), (), NC_OPEN),
    Row(S.PROCEEDING, T.F, S.TERMINATED, (), (ClientTimedOut,)),
    Row(S.PROCEEDING, In.RECEIVED_1XX, S.PROCEEDING, (), ANSWER, NC_OPEN),
    Row(S.PROCEEDING, In.RECEIVED_2XX, S.COMPLETED, (), ANSWER, running(T.K)),
    Row(S.PROCEEDING, In.RECEIVED_FAILURE, S.COMPLETED, (), ANSWER, running(T.K)),
    Row(S.PROCEEDING, In.TRANSPORT_ERROR, S.TERMINATED, (), (ClientTransportFailed,)),
    Row(S.COMPLETED, In.RECEIVED_1XX, S.COMPLETED, (), (), running(T.K)),
    Row(S.COMPLETED, In.RECEIVED_2XX, S.COMPLETED, (), (), running(T.K)),
    Row(S.COMPLETED, In.RECEIVED_FAILURE, S.COMPLETED, (), (), running(T.K)),
    Row(S.COMPLETED, In.TRANSPORT_ERROR, S.COMPLETED, (), (), running(T.K)),
    Row(S.COMPLETED, T.K, S.TERMINATED),
]

IS_COMPLETED = running(T.G, T.H)
IS_ACCEPTED = running(T.RESEND_2XX, T.ACK_WAIT, T.L)
INVITE_SERVER_ROWS = [
    Row(S.PROCEEDING, In.RECEIVED_AGAIN, S.PROCEEDING, (), (), running(T.TRYING)),
    Row(S.PROCEEDING, T.TRYING, S.PROCEEDING, ("100",)),
    Row(S.PROCEEDING, In.ANSWER_1XX, S.PROCEEDING, ("180",)),
    Row(S.PROCEEDING, In.ANSWER_2XX, S.ACCEPTED, ("200",), (), IS_ACCEPTED),
    Row(S.PROCEEDING, In.ANSWER_FAILURE, S.COMPLETED, ("486",), (), IS_COMPLETED),
    Row(S.PROCEEDING, In.TRANSPORT_ERROR, S.PROCEEDING, (), (ServerTransportFailed,), running(T.TRYING)),
    Row(S.PROCEEDING, In.RECEIVED_ACK, S.PROCEEDING, (), (), running(T.TRYING)),
    Row(S.PROCEEDING, In.ACKNOWLEDGED, S.PROCEEDING, (), (), running(T.TRYING)),
    Row(S.PROCEEDING, In.ANSWER_RELIABLE, S.PROCEEDING, ("183",), (), running(T.RESEND_1XX, T.PRACK_WAIT)),
    Row(S.PROCEEDING, T.RESEND_1XX, S.PROCEEDING, ("183",), (), running(T.RESEND_1XX, T.PRACK_WAIT)),
    Row(S.PROCEEDING, T.PRACK_WAIT, S.PROCEEDING, (), (PrackTimedOut,)),
    Row(S.PROCEEDING, In.PRACKED, S.PROCEEDING, (), (), running(T.TRYING)),
    Row(S.COMPLETED, In.RECEIVED_AGAIN, S.COMPLETED, ("486",), (), IS_COMPLETED),
    Row(S.COMPLETED, T.G, S.COMPLETED, ("486",), (), IS_COMPLETED),
    Row(S.COMPLETED, In.RECEIVED_ACK, S.CONFIRMED, (), (), running(T.I)),
    Row(S.COMPLETED, T.H, S.TERMINATED, (), (ServerTransportFailed,)),
    Row(S.COMPLETED, In.TRANSPORT_ERROR, S.COMPLETED, (), (ServerTransportFailed,), IS_COMPLETED),
    Row(S.COMPLETED, In.ANSWER_1XX, S.COMPLETED, (), (), IS_COMPLETED),
    Row(S.COMPLETED, In.ANSWER_2XX, S.COMPLETED, (), (), IS_COMPLETED),
    Row(S.COMPLETED, In.ANSWER_FAILURE, S.COMPLETED, (), (), IS_COMPLETED),
    Row(S.COMPLETED, In.ACKNOWLEDGED, S.COMPLETED, (), (), IS_COMPLETED),
    Row(S.COMPLETED, In.ANSWER_RELIABLE, S.COMPLETED, (), (), IS_COMPLETED),
    Row(S.COMPLETED, In.PRACKED, S.COMPLETED, (), (), IS_COMPLETED),
    Row(S.CONFIRMED, T.I, S.TERMINATED),
    *(
        Row(S.CONFIRMED, cause, S.CONFIRMED, (), (), running(T.I))
        for cause in (
            In.RECEIVED_AGAIN,
            In.RECEIVED_ACK,
            In.ANSWER_1XX,
            In.ANSWER_RELIABLE,
            In.ANSWER_2XX,
            In.ANSWER_FAILURE,
            In.ACKNOWLEDGED,
            In.PRACKED,
            In.TRANSPORT_ERROR,
        )
    ),
    Row(S.ACCEPTED, T.RESEND_2XX, S.ACCEPTED, ("200",), (), IS_ACCEPTED),
    Row(S.ACCEPTED, In.ANSWER_2XX, S.ACCEPTED, ("200",), (), IS_ACCEPTED),
    Row(S.ACCEPTED, In.RECEIVED_ACK, S.ACCEPTED, (), (AckReceived,), IS_ACCEPTED),
    Row(S.ACCEPTED, In.ACKNOWLEDGED, S.ACCEPTED, (), (), running(T.L)),
    Row(S.ACCEPTED, T.ACK_WAIT, S.ACCEPTED, (), (AckTimedOut,), running(T.L)),
    Row(S.ACCEPTED, In.TRANSPORT_ERROR, S.ACCEPTED, (), (ServerTransportFailed,), IS_ACCEPTED),
    Row(S.ACCEPTED, In.RECEIVED_AGAIN, S.ACCEPTED, (), (), IS_ACCEPTED),
    Row(S.ACCEPTED, In.ANSWER_1XX, S.ACCEPTED, (), (), IS_ACCEPTED),
    Row(S.ACCEPTED, In.ANSWER_FAILURE, S.ACCEPTED, (), (), IS_ACCEPTED),
    Row(S.ACCEPTED, In.ANSWER_RELIABLE, S.ACCEPTED, (), (), IS_ACCEPTED),
    Row(S.ACCEPTED, In.PRACKED, S.ACCEPTED, (), (), IS_ACCEPTED),
    Row(S.ACCEPTED, T.L, S.TERMINATED),
]

NS_OPEN = running(T.ABANDONED, T.LATE_TRYING)
NON_INVITE_SERVER_ROWS = [
    Row(S.TRYING, In.RECEIVED_AGAIN, S.TRYING, (), (), NS_OPEN),
    Row(S.TRYING, In.TRANSPORT_ERROR, S.TRYING, (), (), NS_OPEN),
    Row(S.TRYING, T.LATE_TRYING, S.PROCEEDING, ("100",), (), running(T.ABANDONED)),
    Row(S.TRYING, T.ABANDONED, S.TERMINATED),
    Row(S.TRYING, In.ANSWER_1XX, S.PROCEEDING, ("100",), (), running(T.ABANDONED)),
    Row(S.TRYING, In.ANSWER_2XX, S.COMPLETED, ("200",), (), running(T.J)),
    Row(S.TRYING, In.ANSWER_FAILURE, S.COMPLETED, ("486",), (), running(T.J)),
    Row(S.PROCEEDING, In.RECEIVED_AGAIN, S.PROCEEDING, ("100",), (), running(T.ABANDONED)),
    Row(S.PROCEEDING, In.ANSWER_1XX, S.PROCEEDING, ("100",), (), running(T.ABANDONED)),
    Row(S.PROCEEDING, In.ANSWER_2XX, S.COMPLETED, ("200",), (), running(T.J)),
    Row(S.PROCEEDING, In.ANSWER_FAILURE, S.COMPLETED, ("486",), (), running(T.J)),
    Row(S.PROCEEDING, T.ABANDONED, S.TERMINATED),
    Row(S.PROCEEDING, In.TRANSPORT_ERROR, S.TERMINATED, (), (ServerTransportFailed,)),
    Row(S.COMPLETED, In.RECEIVED_AGAIN, S.COMPLETED, ("200",), (), running(T.J)),
    Row(S.COMPLETED, In.TRANSPORT_ERROR, S.TERMINATED, (), (ServerTransportFailed,)),
    Row(S.COMPLETED, In.ANSWER_1XX, S.COMPLETED, (), (), running(T.J)),
    Row(S.COMPLETED, In.ANSWER_2XX, S.COMPLETED, (), (), running(T.J)),
    Row(S.COMPLETED, In.ANSWER_FAILURE, S.COMPLETED, (), (), running(T.J)),
    Row(S.COMPLETED, T.J, S.TERMINATED),
]

PATHS: dict[str, dict[State, Sequence[Cause]]] = {
    INVITE_CLIENT.name: {
        S.CALLING: [],
        S.PROCEEDING: [In.RECEIVED_1XX],
        S.COMPLETED: [In.RECEIVED_FAILURE],
        S.ACCEPTED: [In.RECEIVED_2XX],
    },
    NON_INVITE_CLIENT.name: {S.TRYING: [], S.PROCEEDING: [In.RECEIVED_1XX], S.COMPLETED: [In.RECEIVED_2XX]},
    INVITE_SERVER.name: {
        S.PROCEEDING: [],
        S.COMPLETED: [In.ANSWER_FAILURE],
        S.CONFIRMED: [In.ANSWER_FAILURE, In.RECEIVED_ACK],
        S.ACCEPTED: [In.ANSWER_2XX],
    },
    NON_INVITE_SERVER.name: {S.TRYING: [], S.PROCEEDING: [T.LATE_TRYING], S.COMPLETED: [In.ANSWER_2XX]},
}
STATUS = {
    In.RECEIVED_1XX: 180,
    In.RECEIVED_2XX: 200,
    In.RECEIVED_FAILURE: 486,
    In.ANSWER_1XX: 180,
    In.ANSWER_2XX: 200,
    In.ANSWER_FAILURE: 486,
}


def reliable(event: RequestReceived, number: int = 1) -> Response:
    """Make a reliable provisional response of ours."""
    response = response_to(event.request, 183, to_tag="ours")
    response.headers.add("Require", "100rel")
    response.headers.add("RSeq", str(number))
    return response


class Walk:
    """One transaction of a real layer, and how to give it each input."""

    def __init__(self, machine: Machine, hops: Sequence[Hop] = (TO_PEER,)) -> None:
        self.bench = Bench(profile=TimerProfile())
        self.machine = machine
        method = "INVITE" if machine in (INVITE_CLIENT, INVITE_SERVER) else "OPTIONS"
        if machine in (INVITE_CLIENT, NON_INVITE_CLIENT):
            self.key = self.bench.layer.send_request(outbound(method), hops, self.bench.now)
            (sent,) = self.bench.sent()
            assert isinstance(sent, Request)
            self.message = sent
            self.transaction: Transaction = self.bench.layer._clients._by_key[self.key]
        else:
            self.message = request(method)
            self.event = self.bench.request(self.message)
            self.transaction = self.bench.layer._servers._by_key[self.event.key]
        assert self.transaction.machine is machine

    def give(self, cause: Cause) -> None:
        """Have it happen."""
        bench = self.bench
        if isinstance(cause, Timer):
            self.fire(cause)
        elif cause is In.TRANSPORT_ERROR:
            hop = self.transaction.hop
            bench.layer.transport_failed(Hop(hop.transport, hop.host, hop.port), bench.now)
        elif self.machine in (INVITE_CLIENT, NON_INVITE_CLIENT):
            bench.layer.receive(reply(self.message, STATUS[cause]), PEER_TCP, bench.now)
        elif cause is In.RECEIVED_AGAIN:
            bench.layer.receive(self.message.copy(), self.event.source, bench.now)
        elif cause is In.RECEIVED_ACK:
            acknowledged = ack(self.message, response_to(self.message, 486, to_tag="ours"))
            bench.layer.receive(acknowledged, self.event.source, bench.now)
        elif cause is In.ACKNOWLEDGED:
            bench.layer.confirm_2xx(self.event.key, bench.now)
        elif cause is In.PRACKED:
            bench.layer.confirm_1xx(self.event.key, bench.now)
        elif cause is In.ANSWER_RELIABLE:
            bench.layer.respond(self.event.key, reliable(self.event), bench.now)
        elif self.machine is NON_INVITE_SERVER and cause is In.ANSWER_1XX:
            # The user's 100 is held back over UDP (RFC 4320 §4.1), so the machine gets it here.
            self.transaction.data = b"SIP/2.0 100 Trying\r\n\r\n"
            bench.layer._runner.apply(self.transaction, cause, bench.now)
        else:
            bench.answer(self.event, STATUS[cause])

    def fire(self, timer: Timer) -> None:
        """Let time pass until this timer fires, and no further timer with it."""
        runner = self.bench.layer._runner
        if timer in {T.RESEND_1XX, T.PRACK_WAIT}:
            self.bench.layer.respond(self.event.key, reliable(self.event), self.bench.now)
        if timer is T.CANCEL_WAIT:
            self.bench.layer.cancel(self.key, self.bench.now)
        if timer is T.ABANDONED and self.transaction.state is S.TRYING:
            runner.stop(self.transaction, T.LATE_TRYING)
        while True:
            self.bench.layer.outgoing()
            self.bench.events()
            self.bench.layer._clients.silent.clear()
            due = runner.next_due()
            assert due is not None, f"{timer.value} does not run"
            self.bench.now = due
            fired = runner._schedule.pop_due(due)
            assert fired is not None
            transaction, fired_timer = fired
            transaction.tickets.pop(fired_timer)
            runner.apply(transaction, fired_timer, due)
            if transaction is self.transaction and fired_timer is timer:
                self.bench.layer._clients.go_on(due)
                return


ROWS: list[tuple[Machine, Row]] = [
    *((INVITE_CLIENT, row) for row in INVITE_CLIENT_ROWS),
    *((NON_INVITE_CLIENT, row) for row in NON_INVITE_CLIENT_ROWS),
    *((INVITE_SERVER, row) for row in INVITE_SERVER_ROWS),
    *((NON_INVITE_SERVER, row) for row in NON_INVITE_SERVER_ROWS),
]


def name_of(value: object) -> str | None:
    if isinstance(value, Machine):
        return value.name.replace(" transaction", "")
    return f"{value.state.value}-{value.cause.value}" if isinstance(value, Row) else None


@pytest.mark.parametrize(("machine", "row"), ROWS, ids=name_of)
def test_section_17_each_row(machine: Machine, row: Row) -> None:
    another = machine is NON_INVITE_CLIENT and row.cause is T.PATIENCE
    walk = Walk(machine, (TO_PEER, Hop("udp", "192.0.2.10", 5060)) if another else (TO_PEER,))
    for cause in PATHS[machine.name][row.state]:
        walk.give(cause)
    assert walk.transaction.state is row.state
    walk.bench.events()
    walk.bench.sent()

    walk.give(row.cause)

    assert walk.transaction.state is row.then
    assert tuple(short(message) for message in walk.bench.sent()) == row.sent
    assert tuple(type(event) for event in walk.bench.events()) == row.told
    assert walk.transaction.tickets.keys() == row.timers
    if row.then is S.TERMINATED and row.cause is not T.CANCEL_WAIT:
        assert walk.bench.layer.client_count + walk.bench.layer.server_count == 0
        assert walk.bench.layer.timer() is None


@pytest.mark.parametrize("machine", MACHINES, ids=name_of)
def test_section_17_no_row_is_left_out(machine: Machine) -> None:
    assert {(row.state, row.cause) for owner, row in ROWS if owner is machine} == set(machine.table)


@pytest.mark.parametrize("machine", MACHINES, ids=name_of)
def test_section_17_an_unlisted_input_raises(machine: Machine) -> None:
    for state in State:
        for cause in (*Input, *Timer):
            if (state, cause) not in machine.table:
                with pytest.raises(IllegalMoveError):
                    machine.move(state, cause)


# Timer values (RFC 3261 table 4). T1 = 0.5 s, T2 = 4 s, T4 = 5 s.


def client(method: str, hop: Hop = TO_PEER) -> tuple[Bench, Request]:
    bench = Bench()
    bench.layer.send_request(outbound(method), [hop], bench.now)
    (sent,) = bench.sent()
    assert isinstance(sent, Request)
    return bench, sent


def life(bench: Bench, count: Callable[[], int]) -> float:
    """Seconds until the last transaction is gone."""
    start = bench.now
    while (due := bench.layer.timer()) is not None:
        bench.now = due
        bench.layer.on_timer(due)
        bench.layer.outgoing()
    assert count() == 0
    return round(bench.now - start, 6)


def clients(bench: Bench) -> float:
    return life(bench, lambda: bench.layer.client_count)


def servers(bench: Bench) -> float:
    return life(bench, lambda: bench.layer.server_count)


def test_timer_a_doubles_from_t1_until_timer_b_at_64_t1() -> None:
    bench, _ = client("INVITE")
    assert bench.advance(31.9) == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert bench.events() == []
    assert bench.advance(0.1) == []
    assert [type(event) for event in bench.events()] == [ClientTimedOut]


def test_timer_a_does_not_run_on_a_reliable_transport_but_timer_b_does() -> None:
    bench, _ = client("INVITE", TO_PEER_TCP)
    assert bench.advance(31.9) == []
    assert bench.events() == []
    bench.advance(0.1)
    assert [type(event) for event in bench.events()] == [ClientTimedOut]


def test_timer_d_is_64_t1_and_zero_on_a_reliable_transport() -> None:
    for hop, seconds in ((TO_PEER, 32.0), (TO_PEER_TCP, 0.0)):
        bench, sent = client("INVITE", hop)
        bench.receive(reply(sent, 486))
        assert clients(bench) == seconds


def test_timer_e_doubles_to_t2_until_timer_f_at_64_t1() -> None:
    bench, _ = client("OPTIONS")
    assert bench.advance(31.9) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert bench.events() == []
    bench.advance(0.1)
    assert [type(event) for event in bench.events()] == [ClientTimedOut]


def test_timer_e_is_t2_in_proceeding() -> None:
    bench, sent = client("OPTIONS")
    bench.receive(reply(sent, 100))
    assert bench.advance(13.0) == [0.5, 4.5, 8.5, 12.5]


def test_timer_e_does_not_run_on_a_reliable_transport() -> None:
    bench, _ = client("OPTIONS", TO_PEER_TCP)
    assert bench.advance(31.9) == []


def test_timer_k_is_t4_and_zero_on_a_reliable_transport() -> None:
    for hop, seconds in ((TO_PEER, 5.0), (TO_PEER_TCP, 0.0)):
        bench, sent = client("OPTIONS", hop)
        bench.receive(reply(sent, 200))
        assert clients(bench) == seconds


def test_rfc6026_timer_m_is_64_t1_on_every_transport() -> None:
    for hop in (TO_PEER, TO_PEER_TCP):
        bench, sent = client("INVITE", hop)
        bench.receive(reply(sent, 200))
        assert clients(bench) == 32.0


def test_rfc6026_every_2xx_of_a_forked_invite_reaches_the_user() -> None:
    bench, sent = client("INVITE")
    tags = []
    for tag in ("one", "two", "one"):
        (event,) = bench.receive(reply(sent, 200, tag))
        assert isinstance(event, ResponseReceived)
        tags.append(event.response.to_tag)
    assert tags == ["one", "two", "one"]


def test_section_17_2_1_100_after_200_ms_unless_answered() -> None:
    bench = Bench()
    bench.request(request())
    assert bench.advance(0.19) == []
    bench.advance(0.01)
    assert bench.advance(60) == []
    answered = Bench()
    answered.answer(answered.request(request()), 180)
    assert len(answered.sent()) == 1
    assert answered.advance(60) == []


def test_section_17_2_1_a_repeated_invite_gets_the_last_provisional_response() -> None:
    bench = Bench()
    event = bench.request(request())
    bench.answer(event, 180)
    bench.answer(event, 183)
    bench.sent()
    assert bench.receive(request()) == []
    assert [short(message) for message in bench.sent()] == ["183"]


def test_timer_g_doubles_to_t2_until_timer_h_at_64_t1() -> None:
    bench = Bench()
    bench.answer(bench.request(request()), 486)
    bench.sent()
    assert bench.advance(31.9) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    bench.advance(0.1)
    assert [type(event) for event in bench.events()] == [ServerTransportFailed]
    assert bench.layer.server_count == 0


def test_timer_g_does_not_run_on_a_reliable_transport() -> None:
    bench = Bench()
    bench.answer(bench.request(request(), PEER_TCP), 486)
    bench.sent()
    assert bench.advance(31.9) == []
    bench.advance(0.1)
    assert [type(event) for event in bench.events()] == [ServerTransportFailed]


def test_timer_i_is_t4_and_zero_on_a_reliable_transport() -> None:
    for source, seconds in ((None, 5.0), (PEER_TCP, 0.0)):
        bench = Bench()
        event = bench.request(request(), source) if source else bench.request(request())
        bench.answer(event, 486)
        (response,) = bench.sent()
        assert bench.receive(ack(request(), response)) == []
        assert servers(bench) == seconds


def test_timer_j_is_64_t1_and_zero_on_a_reliable_transport() -> None:
    for source, seconds in ((None, 32.0), (PEER_TCP, 0.0)):
        bench = Bench()
        event = bench.request(request("OPTIONS"), source) if source else bench.request(request("OPTIONS"))
        bench.answer(event, 200)
        assert servers(bench) == seconds


def test_section_13_3_1_4_the_2xx_is_repeated_on_every_transport_until_acknowledged() -> None:
    for source in (None, PEER_TCP):
        bench = Bench()
        event = bench.request(request(), source) if source else bench.request(request())
        bench.answer(event, 200)
        (response,) = bench.sent()
        assert bench.advance(8.0) == [0.5, 1.5, 3.5, 7.5]
        (told,) = bench.receive(ack(request(), response, branch="z9hG4bKack"))
        assert isinstance(told, AckReceived)
        bench.layer.confirm_2xx(event.key, bench.now)
        assert bench.advance(60.0) == []
        assert bench.events() == []


def test_section_13_3_1_4_without_ack_the_user_is_told_after_64_t1() -> None:
    bench = Bench()
    event = bench.request(request())
    bench.answer(event, 200)
    bench.advance(31.9)
    assert bench.events() == []
    bench.advance(0.1)
    assert bench.events() == [AckTimedOut(event.key)]


def test_rfc6026_timer_l_is_64_t1() -> None:
    bench = Bench()
    event = bench.request(request())
    bench.answer(event, 200)
    bench.layer.confirm_2xx(event.key, bench.now)
    assert servers(bench) == 32.0


def test_rfc6026_7_1_a_repeated_invite_is_absorbed_while_accepted() -> None:
    bench = Bench()
    event = bench.request(request())
    bench.answer(event, 200)
    bench.layer.confirm_2xx(event.key, bench.now)
    bench.sent()
    bench.advance(31.0)
    assert bench.receive(request()) == []
    assert bench.sent() == []
    bench.advance(1.0)
    bench.request(request())


def test_rfc4320_4_1_a_100_goes_out_when_timer_e_reaches_t2() -> None:
    for source in (None, PEER_TCP):
        bench = Bench()
        bench.request(request("INFO"), source) if source else bench.request(request("INFO"))
        assert bench.advance(3.4) == []
        assert bench.advance(0.2) == [0.1]


def test_rfc4320_4_1_no_provisional_response_but_100_and_over_udp_not_early() -> None:
    bench = Bench()
    event = bench.request(request("INFO"))
    bench.answer(event, 100)
    bench.answer(event, 180)
    assert bench.sent() == []
    stream = Bench()
    event = stream.request(request("INFO"), PEER_TCP)
    stream.answer(event, 180)
    assert stream.sent() == []
    stream.answer(event, 100)
    assert [short(message) for message in stream.sent()] == ["100"]


def test_rfc4320_4_2_no_408_and_no_late_answer() -> None:
    bench = Bench()
    event = bench.request(request("INFO"))
    bench.answer(event, 408)
    assert bench.sent() == []
    bench.advance(32.0)
    assert bench.layer.server_count == 0
    bench.answer(event, 200)
    assert bench.sent() == []


def test_all_values_follow_from_the_profile() -> None:
    bench = Bench(profile=TimerProfile(t1=0.1, t2=0.8, t4=1.0, trying_after=0.05))
    bench.layer.send_request(outbound("OPTIONS"), [TO_PEER], bench.now)
    bench.sent()
    assert bench.advance(6.4)[:6] == [0.1, 0.3, 0.7, 1.5, 2.3, 3.1]
    assert [type(event) for event in bench.events()] == [ClientTimedOut]


def test_section_17_1_1_3_the_ack_of_a_refusal() -> None:
    bench = Bench()
    bench.layer.send_request(outbound(Route="<sip:proxy.example.com;lr>"), [TO_PEER], bench.now)
    (sent,) = bench.sent()
    bench.receive(reply(sent, 486, "remote"))
    (acknowledged,) = bench.sent()
    assert isinstance(sent, Request)
    assert isinstance(acknowledged, Request)
    assert acknowledged.uri == sent.uri
    assert acknowledged.vias == sent.vias
    assert acknowledged.to_tag == "remote"
    assert str(acknowledged.cseq) == "1 ACK"
    assert acknowledged.headers.get_all("Route") == ["<sip:proxy.example.com;lr>"]
    assert acknowledged.body == b""


def test_section_17_2_3_a_request_of_another_branch_is_another_transaction() -> None:
    bench = Bench()
    first = bench.request(request("OPTIONS"))
    second = bench.request(
        request("OPTIONS", Via="SIP/2.0/UDP 192.0.2.9:5090;branch=z9hG4bKother", CSeq="2 OPTIONS")
    )
    assert first.key != second.key


def test_section_17_2_3_the_same_branch_of_another_sender_is_another_transaction() -> None:
    bench = Bench()
    bench.request(request("OPTIONS"))
    via = "SIP/2.0/UDP 192.0.2.8:5090;branch=z9hG4bKtheirs1"
    bench.request(request("OPTIONS", Via=via, Call_ID="other"))
    assert bench.layer.server_count == 2


def test_section_17_1_3_a_response_needs_the_branch_and_the_method() -> None:
    bench, sent = client("OPTIONS")
    other_method = reply(sent, 200)
    other_method.headers.set("CSeq", "1 INVITE")
    other_branch = reply(sent, 200)
    other_branch.headers.set("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKnone")
    assert bench.receive(other_method) == []
    assert bench.receive(other_branch) == []
    assert bench.layer.counts.stray_responses == 2
    assert [type(event) for event in bench.receive(reply(sent, 200))] == [ResponseReceived]


def test_section_8_1_3_3_a_response_with_more_than_one_via_is_dropped() -> None:
    bench, sent = client("OPTIONS")
    response = reply(sent, 200)
    response.headers.add("Via", "SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKx")
    assert bench.receive(response) == []
    assert bench.layer.counts.stray_responses == 1


def test_requests_of_one_key_are_told_apart_from_each_other() -> None:
    bench = Bench()
    keys = {bench.layer.send_request(outbound("OPTIONS"), [TO_PEER], bench.now) for _ in range(3)}
    assert len(keys) == 3
    branches = {message.top_via.branch for message in bench.sent()}
    assert len(branches) == 3


def test_the_event_of_a_request_names_its_source() -> None:
    bench = Bench()
    event = bench.request(request(), PEER_TCP)
    assert isinstance(event, RequestReceived)
    assert event.source == PEER_TCP
