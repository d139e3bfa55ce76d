from call_script import CallBench, sdp
from sidestream.call.facts import HeadersChanged, ParticipantUpdated
from sidestream.call.side import Side

ANN = [("P-Asserted-Identity", '"Ann" <sip:+4911@desk.example>')]


def test_an_identity_is_told_when_it_is_new() -> None:
    bench = CallBench().talk(headers=ANN)
    bench.request(Side.B, "UPDATE", headers=ANN)
    assert [fact.participant.display_name for fact in bench.facts(ParticipantUpdated)] == ["Ann"]
    assert bench.b2bua.snapshot().callee.participant.number == "+4911"


def test_headers_of_a_response_are_no_change_of_a_request() -> None:
    bench = CallBench().talk()
    bench.request(Side.A, "INVITE", sdp("8", version=2))
    bench.reply(bench.requests("INVITE")[-1], 200, sdp("8"), headers=[("X-Agent", "9")])
    assert not bench.facts(HeadersChanged)


def test_headers_are_compared_with_those_of_the_same_side() -> None:
    bench = CallBench(headers=[("X-A", "1")]).talk(headers=[("X-B", "1")])
    bench.request(Side.A, "UPDATE", headers=[("X-A", "1")])
    bench.request(Side.B, "UPDATE", headers=[("X-B", "1")])
    assert not bench.facts(HeadersChanged)
    bench.request(Side.B, "UPDATE", headers=[("X-B", "2")])
    assert [fact.headers for fact in bench.facts(HeadersChanged)] == [(("X-B", "2"),)]
