import pytest

from sidestream.call.facts import Role
from sidestream.call.participants import asserted_identity, called_number, callee_of, caller_of, updated
from sidestream.call.side import Side
from sidestream.sip.message import Headers, Request


def invite(*headers: tuple[str, str], uri: str = "sip:+4930123@gw.example") -> Request:
    names = {name for name, _ in headers}
    own = [("From", '"Ann" <sip:+49111@a.example>;tag=1'), ("To", '"Desk" <sip:+4930123@gw.example>')]
    return Request("INVITE", uri, Headers([*(pair for pair in own if pair[0] not in names), *headers]))


def test_without_an_asserted_identity_the_caller_is_who_from_says() -> None:
    caller = caller_of(invite())
    assert (caller.id, caller.role, caller.side) == ("caller", Role.CALLER, Side.A)
    assert (caller.uri, caller.number, caller.display_name) == ("sip:+49111@a.example", "+49111", "Ann")


def test_an_asserted_identity_goes_before_from() -> None:
    caller = caller_of(invite(("P-Asserted-Identity", "tel:+49222, <sip:+49333@b.example>")))
    assert (caller.uri, caller.number, caller.display_name) == ("sip:+49333@b.example", "+49333", "Ann")


def test_an_identity_that_is_to_be_withheld_is_not_told() -> None:
    hidden = (("P-Asserted-Identity", "<sip:+49333@b.example>"), ("Privacy", "header; ID"))
    assert asserted_identity(invite(*hidden).headers) is None
    assert caller_of(invite(*hidden)).number == "+49111"


@pytest.mark.parametrize("value", ["<sip:x", '"Ann', "nonsense"])
def test_an_unreadable_identity_is_none(value: str) -> None:
    assert asserted_identity(Headers([("P-Asserted-Identity", value)])) is None


def test_the_callee_is_the_request_uri_with_the_name_of_to() -> None:
    callee = callee_of(invite(uri="sip:sales@gw.example"))
    assert (callee.id, callee.side) == ("callee", Side.B)
    assert (callee.uri, callee.number, callee.display_name) == ("sip:sales@gw.example", "", "Desk")


@pytest.mark.parametrize(
    ("uri", "number"),
    [
        ("sip:+49-30-99@gw.example", "+493099"),
        ("tel:+49-30-99", "+493099"),
        ("sip:sales@gw.example", "sales"),
        ("sip:gw.example", ""),
    ],
)
def test_routes_are_matched_on_the_number_or_the_user(uri: str, number: str) -> None:
    assert called_number(invite(uri=uri)) == number


def test_a_later_identity_takes_the_place_of_the_first() -> None:
    known = caller_of(invite())
    assert updated(known, invite()) is known
    later = updated(known, invite(("P-Asserted-Identity", '"Bob" <sip:+49444@b.example>')))
    assert (later.role, later.number, later.display_name) == (Role.CALLER, "+49444", "Bob")
