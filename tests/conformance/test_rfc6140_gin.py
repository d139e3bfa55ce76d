"""Registration of many numbers at once (RFC 6140), and of one address (RFC 3261 §10, RFC 3608)."""

import pytest

from registrar_script import CONTACT, FIRST, Bench, plan
from sidestream.sip.registration import State

BULK = "sip:198.51.100.1:5060;bnc"


def test_rfc6140_section_5_2_the_contact_is_bulk_and_gin_is_required_of_all() -> None:
    request = Bench(plan(gin=True, contact=BULK), auth=False).start().request
    assert request.headers.get("Contact") == f"<{BULK}>;expires=600"
    assert request.contacts[0].uri.number is None
    assert request.headers.get_all("Require") == ["gin"]
    assert request.headers.get_all("Proxy-Require") == ["gin"]


def test_rfc6140_section_5_1_without_gin_nothing_of_it_is_sent() -> None:
    request = Bench(auth=False).start().request
    assert "Require" not in request.headers
    assert "Proxy-Require" not in request.headers
    assert "bnc" not in (request.headers.get("Contact") or "")


def test_rfc6140_section_5_2_the_binding_is_known_again_in_the_200() -> None:
    bench = Bench(plan(gin=True, contact=BULK), auth=False).registered(contact=f"<{BULK}>;expires=7200")
    assert bench.one.status.state is State.REGISTERED
    assert bench.one.status.expires_at == 1000.0 + 7200


def test_rfc3261_section_10_2_what_a_register_names() -> None:
    request = Bench(auth=False).start().request
    assert request.uri == "sip:provider.example", "the domain, without a user"
    assert str(request.to) == "<sip:desk@provider.example>"
    assert str(request.from_.without_params()) == str(request.to)
    assert request.from_tag
    assert request.to_tag is None
    assert request.cseq.method == "REGISTER"


def test_rfc3261_section_10_2_4_refreshes_keep_the_call_id_and_raise_the_cseq() -> None:
    bench = Bench(auth=False).registered()
    bench.wake()
    first = bench.request
    bench.accept()
    bench.wake()
    assert bench.request.call_id == first.call_id
    assert bench.request.from_tag == first.from_tag
    assert bench.request.cseq.number == first.cseq.number + 1


def test_rfc3261_section_10_2_2_it_is_taken_back_by_an_expires_of_0() -> None:
    bench = Bench(auth=False).registered()
    bench.step = bench.one.stop(bench.now)
    assert bench.request.headers.get("Contact") == f"<{CONTACT}>;expires=0"


def test_rfc3261_section_10_2_8_a_423_is_followed_by_the_life_that_it_wants() -> None:
    bench = Bench(auth=False).start()
    bench.answer(423, ("Min-Expires", "3600"))
    assert bench.request.headers.get("Expires") == "3600"
    assert bench.step.way == FIRST


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("<sip:a.example;lr>, <sip:b.example;lr>", ("<sip:a.example;lr>", "<sip:b.example;lr>")),
        ("<tel:+1>", ()),
        ("<nonsense", ()),
    ],
)
def test_rfc3608_section_5_calls_take_the_service_route_in_its_order(
    given: str, kept: tuple[str, ...]
) -> None:
    bench = Bench(auth=False).registered(Service_Route=given)
    assert bench.one.routes == kept


def test_rfc3608_section_5_1_a_refresh_without_one_clears_it() -> None:
    bench = Bench(auth=False).registered(Service_Route="<sip:a.example;lr>")
    bench.wake()
    bench.accept()
    assert bench.one.routes == ()
