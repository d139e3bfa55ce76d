"""Dialogs and the requests inside them: RFC 3261 §12, and §13.2.2.4 for their confirmation."""

import pytest

from sidestream.sip.dialog import Dialog, id_from_request, id_from_response
from sidestream.sip.errors import NotRoutableError
from sidestream.sip.message import Request, Response
from sip_script import outbound, reply, request

CONTACT = "<sip:gw@192.0.2.1:5060>"
OUTER, INNER = "<sip:outer.example.com;lr>", "<sip:inner.example.com;lr>"


def uas(invite: Request | None = None) -> Dialog:
    return Dialog.from_invite_uas(invite or request(), "ours", CONTACT)


def answer(status: int = 200, **headers: str | None) -> Response:
    """The peer's response to our INVITE."""
    response = reply(outbound(), status)
    response.headers.add("Contact", "<sip:bob@192.0.2.9:5090>")
    for name, value in headers.items():
        response.headers.remove(name.replace("_", "-"))
        if value is not None:
            response.headers.add(name.replace("_", "-"), value)
    return response


def uac(response: Response | None = None) -> Dialog:
    return Dialog.from_invite_uac(outbound(), response or answer())


def test_section_12_1_1_the_dialog_of_a_uas() -> None:
    dialog = uas(request(Record_Route=f"{OUTER}, {INNER}"))
    assert dialog.id == ("call1@192.0.2.9", "ours", "theirs")
    assert [str(route) for route in dialog.route_set] == [OUTER, INNER]
    assert str(dialog.remote_target) == "sip:alice@192.0.2.9:5090"
    assert dialog.remote_cseq == 1
    assert dialog.local_cseq == 0
    assert (str(dialog.local_uri), str(dialog.remote_uri)) == ("sip:bob@192.0.2.1", "sip:alice@192.0.2.9")
    assert not dialog.confirmed


def test_section_12_1_2_the_dialog_of_a_uac_has_the_routes_in_reverse() -> None:
    dialog = uac(answer(Record_Route=f"{OUTER}, {INNER}"))
    assert dialog.id == ("call1@192.0.2.9", "ours", "theirs")
    assert [str(route) for route in dialog.route_set] == [INNER, OUTER]
    assert str(dialog.remote_target) == "sip:bob@192.0.2.9:5090"
    assert dialog.local_cseq == 1
    assert dialog.remote_cseq is None
    assert dialog.confirmed


def test_section_12_1_2_a_provisional_response_makes_an_early_dialog() -> None:
    assert not uac(answer(180)).confirmed


def test_section_12_1_both_sides_name_the_same_dialog() -> None:
    inside = request("BYE", To="<sip:bob@192.0.2.1>;tag=ours")
    assert id_from_request(inside) == uas().id
    assert id_from_response(answer()) == uac().id


def test_section_12_1_parameters_of_from_and_to_but_the_tag_stay_out_of_the_dialog() -> None:
    dialog = uas(request(From='"Lice, A" <sip:alice@192.0.2.9>;tag=theirs;epid=1'))
    assert str(dialog.remote) == '"Lice, A" <sip:alice@192.0.2.9>;tag=theirs'


def test_section_12_2_1_1_a_request_inside_the_dialog() -> None:
    dialog = uas()
    bye = dialog.create_request("BYE")
    assert bye.uri == "sip:alice@192.0.2.9:5090"
    assert (bye.from_tag, bye.to_tag, bye.call_id) == ("ours", "theirs", "call1@192.0.2.9")
    assert str(bye.cseq) == "1 BYE"
    assert bye.max_forwards == 70
    assert "Contact" not in bye.headers
    assert "Via" not in bye.headers
    assert str(dialog.create_request("INFO").cseq) == "2 INFO"


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_section_12_2_1_1_target_refresh_requests_carry_our_contact(method: str) -> None:
    assert uas().create_request(method).headers.get("Contact") == CONTACT


def test_section_12_2_1_1_loose_routes_go_into_route() -> None:
    dialog = uac(answer(Record_Route=f"{OUTER}, {INNER}"))
    made = dialog.create_request("BYE")
    assert made.uri == "sip:bob@192.0.2.9:5090"
    assert made.headers.get_all("Route") == [INNER, OUTER]
    assert dialog.next_hop_uri() == "sip:inner.example.com;lr"


def test_section_12_2_1_1_a_strict_router_gets_the_request_uri_and_the_target_comes_last() -> None:
    dialog = uac(answer(Record_Route=f"{OUTER}, <sip:strict.example.com;method=INVITE?Subject=x>"))
    made = dialog.create_request("BYE")
    assert made.uri == "sip:strict.example.com"
    assert made.headers.get_all("Route") == [OUTER, "<sip:bob@192.0.2.9:5090>"]
    assert dialog.next_hop_uri().startswith("sip:strict.example.com")


def test_section_12_2_1_1_an_escaped_lr_is_lr() -> None:
    dialog = uac(answer(Record_Route="<sip:outer.example.com;%6C%72>"))
    assert dialog.create_request("BYE").uri == "sip:bob@192.0.2.9:5090"


def test_section_12_2_1_1_without_routes_the_target_is_the_next_hop() -> None:
    assert uas().next_hop_uri() == "sip:alice@192.0.2.9:5090"


def test_section_19_1_1_a_target_goes_into_the_request_uri_without_headers() -> None:
    dialog = uac(answer(Contact="<sip:bob@192.0.2.9;method=INVITE;user=phone?Subject=x>"))
    assert dialog.create_request("BYE").uri == "sip:bob@192.0.2.9;user=phone"


def test_a_route_that_is_no_sip_uri_leads_nowhere() -> None:
    dialog = uas()
    dialog.route_set = [dialog.remote.parse("<tel:1>")]
    with pytest.raises(NotRoutableError):
        dialog.create_request("BYE")


def test_section_12_2_1_2_a_2xx_to_a_target_refresh_moves_the_target() -> None:
    dialog = uac()
    dialog.update_target(answer(Contact="<sip:bob@192.0.2.10>"))
    assert dialog.next_hop_uri() == "sip:bob@192.0.2.10"
    dialog.update_target(answer(Contact=None))
    assert dialog.next_hop_uri() == "sip:bob@192.0.2.10"


def test_section_12_2_2_a_lower_cseq_is_out_of_order_and_gaps_are_not() -> None:
    dialog = uas(request(CSeq="10 INVITE"))
    assert not dialog.accept_remote_cseq(9)
    assert dialog.remote_cseq == 10
    assert dialog.accept_remote_cseq(15)
    assert not dialog.accept_remote_cseq(14)
    assert uac().accept_remote_cseq(0)


def test_section_13_2_2_4_the_2xx_confirms_and_sets_the_routes_anew() -> None:
    dialog = uac(answer(180, Record_Route=OUTER))
    dialog.confirm(answer(Record_Route=INNER, Contact="<sip:bob@192.0.2.11>"))
    assert dialog.confirmed
    assert [str(route) for route in dialog.route_set] == [INNER]
    assert str(dialog.remote_target) == "sip:bob@192.0.2.11"
    dialog.confirm(answer(Record_Route=OUTER))
    assert [str(route) for route in dialog.route_set] == [INNER]


def test_section_13_2_2_4_the_ack_has_the_number_of_the_invite() -> None:
    dialog = uac(answer(Record_Route=OUTER))
    dialog.create_request("INFO")
    acknowledged = dialog.create_ack(1)
    assert str(acknowledged.cseq) == "1 ACK"
    assert acknowledged.headers.get_all("Route") == [OUTER]
    assert acknowledged.uri == "sip:bob@192.0.2.9:5090"
    assert str(dialog.create_request("BYE").cseq) == "3 BYE"


def test_section_12_1_peers_of_rfc_2543_have_no_tags_and_no_contact() -> None:
    dialog = uas(request(From="<sip:alice@192.0.2.9>", Contact=None))
    assert dialog.id == ("call1@192.0.2.9", "ours", "")
    made = dialog.create_request("BYE")
    assert made.headers.get("To") == "<sip:alice@192.0.2.9>"
    assert made.uri == "sip:alice@192.0.2.9"
    response = reply(outbound(), 200, to_tag=None)
    assert uac(response).id == ("call1@192.0.2.9", "ours", "")
    assert uac(response).next_hop_uri() == "sip:bob@192.0.2.9:5090"
