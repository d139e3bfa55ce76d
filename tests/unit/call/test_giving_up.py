from call_script import CallBench
from sidestream.call.events import TimerName
from sidestream.call.facts import PeerGivenUp


def test_a_peer_is_given_up_once() -> None:
    bench = CallBench(peers=2).start()
    first = bench.invited
    bench.fire(TimerName.RING)
    bench.reply(first, 503)
    assert [(fact.attempt, fact.status) for fact in bench.facts(PeerGivenUp)] == [(1, 487)]
    record = bench.b2bua.snapshot().attempts[0]
    assert (record.status, record.detail) == (487, "no answer in time")
    assert record.ended_at is not None
