from sip_script import TO_PEER, Bench, outbound, request


def test_a_late_clock_makes_no_burst_of_retransmissions() -> None:
    bench = Bench()
    bench.layer.send_request(outbound(), [TO_PEER], bench.now)
    bench.sent()
    bench.now += 10.0
    bench.layer.on_timer(bench.now)
    assert len(bench.sent()) == 1
    assert bench.layer.timer() == bench.now + 1.0


def test_a_clock_that_is_late_for_the_timeout_still_ends_the_transaction() -> None:
    bench = Bench()
    bench.layer.send_request(outbound(), [TO_PEER], bench.now)
    bench.now += 100.0
    bench.layer.on_timer(bench.now)
    assert bench.layer.client_count == 0
    assert bench.layer.timer() is None
    assert len(bench.events()) == 1


def test_timers_that_are_not_due_do_not_fire() -> None:
    bench = Bench()
    bench.request(request())
    bench.layer.on_timer(bench.now + 0.1)
    assert bench.sent() == []
    assert bench.layer.timer() == bench.now + 0.2


def test_what_a_transaction_leaves_running_goes_with_it() -> None:
    bench = Bench()
    for number in range(500):
        via = f"SIP/2.0/UDP 192.0.2.9:5090;branch=z9hG4bK{number}"
        event = bench.request(request("BYE", Via=via, To="<sip:b@c>;tag=1", CSeq=f"{number} BYE"))
        bench.answer(event, 200)
    assert bench.layer.server_count == 500
    bench.advance(32.0)
    assert len(bench.layer._runner._schedule) == 0
    assert bench.layer.server_count == 0
