from call_script import CALLEE, CallBench
from sidestream.call.leg import Leg
from sidestream.call.side import Side
from sidestream.call.state import LegPhase


def leg_of(bench: CallBench, side: Side) -> Leg:
    return bench.b2bua._ctx.leg(side)


def test_a_leg_owns_the_requests_of_its_dialog() -> None:
    bench = CallBench().talk()
    leg = leg_of(bench, Side.A)
    request = bench._new_request(bench.caller, "INFO")
    assert leg.owns(request)
    assert not leg_of(bench, Side.B).owns(request)
    for name, value in (("Call-ID", "other"), ("To", "<sip:x>;tag=o"), ("From", "<sip:x>;tag=o")):
        other = request.copy()
        other.headers.set(name, value)
        assert not leg.owns(other)


def test_a_leg_that_begins_anew_forgets_its_peer() -> None:
    bench = CallBench(peers=2).start()
    bench.ring(100, tag="")
    leg = leg_of(bench, Side.B)
    leg.heard_from, leg.allow = CALLEE.hop, frozenset({"UPDATE"})
    before = leg.origin
    bench.reply(bench.invited, 503)
    assert leg.dialog is None
    assert not leg.allow
    assert bench.invited.next_hop.heard_from is None
    assert leg.origin.session_id != before.session_id
    assert leg.phase is LegPhase.INVITED


def test_what_a_party_allows_is_what_it_said_last() -> None:
    bench = CallBench().talk(headers=[("Allow", "INVITE, update")])
    leg = leg_of(bench, Side.B)
    assert leg.allow == {"INVITE", "UPDATE"}
    bench.request(Side.B, "OPTIONS")
    assert leg.allow == {"INVITE", "UPDATE"}
    bench.request(Side.B, "OPTIONS", headers=[("Allow", "INVITE")])
    assert leg.allow == {"INVITE"}


def test_a_leg_without_media_has_no_codec() -> None:
    bench = CallBench().start()
    assert leg_of(bench, Side.A).codec is None
    bench.answer()
    codec = leg_of(bench, Side.A).codec
    assert codec is not None
    assert codec.name == "PCMU"
