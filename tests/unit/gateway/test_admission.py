import random
import re
from dataclasses import replace

from sidestream.call.peer_health import PeerBook
from sidestream.call.routing import PeerAddress
from sidestream.call.verdict import Slug
from sidestream.config.numbering import E164, Numbers, Rewrite, TrunkNumbers
from sidestream.config.uris import parse_peer
from sidestream.gateway.admission import Admission, Admitted, Refused
from unit.gateway.samples import configuration, request, source


def admitted(admission: Admission, now: float = 0.0) -> Admitted:
    decision = admission.admit(request(), source(), now)
    assert isinstance(decision, Admitted), decision
    return decision


def refusal(
    admission: Admission, called: str = "+15551234", host: str = "192.0.2.1", now: float = 0.0
) -> Slug:
    decision = admission.admit(request(called=called), source(host), now)
    assert isinstance(decision, Refused), decision
    return decision.slug


def test_a_call_of_a_known_trunk_is_routed_by_its_number() -> None:
    decision = admitted(Admission(configuration(), 0.0))
    assert (decision.account.name, decision.caller.name, decision.callee.name) == ("acme", "carrier", "desk")
    assert [peer.uri for peer in decision.peers] == ["sip:192.0.2.33:5090", "sip:desk.example:5090"]


def test_an_address_that_is_no_trunks_is_refused_even_while_draining() -> None:
    admission = Admission(configuration(), 0.0)
    assert refusal(admission, host="198.51.100.1") is Slug.UNKNOWN_TRUNK
    admission.draining = True
    assert refusal(admission, host="198.51.100.1") is Slug.UNKNOWN_TRUNK


def test_a_number_without_a_route_and_a_route_without_a_peer() -> None:
    whole = configuration()
    assert refusal(Admission(whole, 0.0), called="alice") is Slug.NO_ROUTE
    (account,) = whole.accounts
    carrier, desk = account.voice_services
    bare = replace(account, voice_services=(carrier, replace(desk, trunk=None)))
    assert refusal(Admission(replace(whole, accounts=(bare,)), 0.0)) is Slug.NO_PEER


def test_draining_refuses_with_a_time_to_come_back() -> None:
    admission = Admission(configuration(), 0.0)
    admission.draining = True
    decision = admission.admit(request(), source(), 0.0)
    assert decision == Refused(Slug.DRAINING, "acme", "carrier")
    assert isinstance(decision, Refused)
    assert decision.retry_after == 60


def test_the_node_takes_as_many_calls_as_it_may_until_one_is_released() -> None:
    admission = Admission(configuration(max_calls=2), 0.0)
    first = admitted(admission)
    admitted(admission)
    assert refusal(admission) is Slug.CALL_LIMIT
    admission.release(first)
    assert admission.calls == 1
    admitted(admission)


def test_a_trunk_takes_as_many_calls_as_it_may_in_both_directions() -> None:
    admission = Admission(configuration(desk_calls="1"), 0.0)
    first = admitted(admission)
    assert refusal(admission) is Slug.CALL_LIMIT
    assert refusal(admission, host="192.0.2.33") is Slug.CALL_LIMIT
    admission.release(first)
    admitted(admission)


def test_the_rate_is_limited_and_refused_calls_cost_no_token() -> None:
    admission = Admission(configuration(rate=2), 0.0)
    for _ in range(10):
        assert refusal(admission, called="alice") is Slug.NO_ROUTE
    admitted(admission)
    admitted(admission)
    assert refusal(admission) is Slug.RATE_LIMIT
    admitted(admission, now=0.5)
    assert refusal(admission, now=0.5) is Slug.RATE_LIMIT


def test_a_named_peer_is_known_once_its_name_is() -> None:
    admission = Admission(configuration(), 0.0)
    assert admission.named_peers() == [(("acme", "desk"), "sip:desk.example:5090")]
    assert refusal(admission, host="203.0.113.5") is Slug.UNKNOWN_TRUNK
    admission.learn_peers(("acme", "desk"), (PeerAddress("203.0.113.5", 5090),))
    decision = admission.admit(request(), source("203.0.113.5"), 0.0)
    assert isinstance(decision, Admitted)
    assert (decision.caller.name, decision.callee.name) == ("desk", "carrier")
    admission.learn_peers(("acme", "desk"), ())
    assert refusal(admission, host="203.0.113.5") is Slug.UNKNOWN_TRUNK


def test_a_peer_that_is_down_comes_after_those_that_are_up() -> None:
    near, named = "sip:192.0.2.33:5090", "sip:desk.example:5090"
    book = PeerBook({near: True, named: True})
    admission = Admission(configuration(), 0.0, health=book)
    assert [peer.uri for peer in admitted(admission).peers] == [near, named]
    for _ in range(2):
        book.failed(near, 0.0, "no answer")
    assert [peer.uri for peer in admitted(admission).peers] == [named, near]
    for _ in range(2):
        book.failed(named, 0.0, "no answer")
    assert [peer.uri for peer in admitted(admission).peers] == [near, named]


def test_a_gateway_with_too_much_to_do_turns_new_calls_away_for_a_while() -> None:
    admission = Admission(configuration(), 0.0, random.Random(1))
    for _ in range(60):
        admission.overload.measured(2.0, 0.5)
    decisions = [admission.admit(request(), source(), 0.0) for _ in range(20)]
    shed = [one for one in decisions if isinstance(one, Refused)]
    assert {one.slug for one in shed} == {Slug.OVERLOAD}
    assert len(shed) >= 15
    assert {one.retry_after for one in shed} <= set(range(5, 15))
    assert len({one.retry_after for one in shed}) > 3


def test_the_trunk_of_an_address_is_known_whatever_its_port() -> None:
    admission = Admission(configuration(), 0.0)
    assert admission.trunk_at("192.0.2.7") == ("acme", "carrier")
    assert admission.trunk_at("192.0.2.33") == ("acme", "desk")
    assert admission.trunk_at("203.0.113.5") is None
    admission.learn_peers(("acme", "desk"), (PeerAddress("203.0.113.5", 5090),))
    assert admission.trunk_at("203.0.113.5") == ("acme", "desk")


def test_a_trunk_with_an_outbound_proxy_preloads_it() -> None:
    whole = configuration()
    (account,) = whole.accounts
    services = tuple(
        replace(each, trunk=each.trunk and replace(each.trunk, outbound_proxy=parse_peer("sip:192.0.2.99")))
        for each in account.voice_services
    )
    whole = replace(whole, accounts=(replace(account, voice_services=services),))
    first = admitted(Admission(whole, 0.0)).peers[0]
    assert first.routes == ("<sip:192.0.2.99;lr>",)
    assert first.way == "sip:192.0.2.99;lr"


def test_numbers_are_those_of_the_trunk_when_a_route_is_looked_for() -> None:
    whole = configuration()
    (account,) = whole.accounts
    carrier, desk = account.voice_services
    assert carrier.trunk is not None
    assert desk.trunk is not None
    inbound = TrunkNumbers(inbound=Numbers(e164=E164(country="49")))
    outbound = TrunkNumbers(outbound=Numbers(called=(Rewrite(match=re.compile("^[+]49"), replace="0"),)))
    onward = Numbers(called=(Rewrite(match=re.compile("23$"), replace="99"),))
    services = (
        replace(carrier, trunk=replace(carrier.trunk, numbers=inbound)),
        replace(desk, trunk=replace(desk.trunk, numbers=outbound, caller_id="+49301")),
    )
    route = replace(account.routes[0], match=re.compile("^[+]4930"), numbers=onward)
    numbered = replace(account, voice_services=services, routes=(route,))
    admission = Admission(replace(whole, accounts=(numbered,)), 0.0)
    decision = admission.admit(request(called="030555123"), source(), 0.0)
    assert isinstance(decision, Admitted)
    assert decision.numbering.called("030555123") == "030555199"
    assert decision.numbering.calling("0049301234") == "+49301234"
    assert decision.numbering.caller_id == "+49301"
    refused = admission.admit(request(called="040555123"), source(), 0.0)
    assert refused == Refused(Slug.NO_ROUTE, "acme", "carrier", "no route for '+4940555123'")
