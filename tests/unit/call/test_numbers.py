import re

import pytest

from call_script import CallBench
from sidestream.call.numbers import E164, NUMBER_MAX, Numbering, NumberRules, Rewrite, renumbered
from sidestream.call.side import Side
from sidestream.sip.uri import parse_uri

GERMANY = E164("49")
ITALY = E164("39", national_prefix="")
AMERICA = E164("1", "1", "011")


def rule(pattern: str, replacement: str) -> Rewrite:
    return Rewrite(re.compile(pattern), replacement)


@pytest.mark.parametrize(
    ("plan", "number", "international"),
    [
        (GERMANY, "030123456", "+4930123456"),
        (GERMANY, "004930123456", "+4930123456"),
        (GERMANY, "0012125550100", "+12125550100"),
        (GERMANY, "+4930123456", "+4930123456"),
        (GERMANY, "4930123456", "4930123456"),
        (GERMANY, "112", "112"),
        (GERMANY, "011500", "011500"),
        (GERMANY, "00049301234", "00049301234"),
        (GERMANY, "0301234567890123", "0301234567890123"),
        (GERMANY, "0301234567890", "+49301234567890"),
        (GERMANY, "*31#030123456", "*31#030123456"),
        (GERMANY, "alice", "alice"),
        (GERMANY, "", ""),
        (ITALY, "0612345678", "+390612345678"),
        (ITALY, "3331234567", "+393331234567"),
        (ITALY, "113", "113"),
        (AMERICA, "12125550100", "+12125550100"),
        (AMERICA, "0114930123456", "+4930123456"),
        (AMERICA, "112", "112"),
        (AMERICA, "5550100", "5550100"),
    ],
)
def test_e164(plan: E164, number: str, international: str) -> None:
    assert NumberRules(plan).called(number) == international
    assert NumberRules(plan).calling(number) == international


def test_the_first_rule_that_matches_is_the_only_one() -> None:
    rules = NumberRules(None, (rule("^00", "+"), rule(r"^\+|^0", "X"), rule(r"(\d)(\d)$", r"\2\1")))
    assert [rules.called(each) for each in ("0012", "+12", "012", "5512")] == ["+12", "X12", "X12", "5521"]
    assert rules.calling("0012") == "0012"


def test_rules_see_the_international_form() -> None:
    rules = NumberRules(GERMANY, (), (rule(r"^\+49", "0"),))
    assert rules.calling("004930123456") == "030123456"


def test_a_rule_replaces_once() -> None:
    assert NumberRules(None, (rule("1", "2"),)).called("111") == "211"


@pytest.mark.parametrize("replacement", ["", r"\1" * 20])
def test_a_number_does_not_become_nothing_nor_without_end(replacement: str) -> None:
    number = "1234567890"
    assert NumberRules(None, (rule("^(.*)$", replacement),)).called(number) == number


def test_what_is_too_long_is_no_number() -> None:
    rules = NumberRules(None, (rule("1", "2"),))
    assert rules.called("1" * NUMBER_MAX) == "2" + "1" * (NUMBER_MAX - 1)
    assert rules.called("1" * (NUMBER_MAX + 1)) == "1" * (NUMBER_MAX + 1)


@pytest.mark.parametrize(
    ("uri", "changed"),
    [
        ("sip:030-123.456@pbx.example:5070;user=phone", "sip:+4930123456@pbx.example:5070;user=phone"),
        ("sip:030123456;phone-context=+49@pbx.example", "sip:+4930123456@pbx.example"),
        ("tel:030123456;phone-context=+49", "tel:+4930123456"),
        ("sip:pbx.example", "sip:pbx.example"),
        ("sip:+49-30-123456@pbx.example", "sip:+49-30-123456@pbx.example"),
        ("urn:service:sos", "urn:service:sos"),
    ],
)
def test_uris_keep_all_but_the_number(uri: str, changed: str) -> None:
    assert str(renumbered(parse_uri(uri), GERMANY.apply)) == changed


def test_what_could_not_stand_in_a_uri_changes_nothing() -> None:
    uri = parse_uri("sip:a%41b@pbx.example")
    assert renumbered(uri, lambda number: number.replace("41", "")) == uri


NUMBERING = Numbering(
    (
        NumberRules(GERMANY),
        NumberRules(None, (rule(r"^\+4930", ""),), ()),
        NumberRules(None, (rule("^", "9"),), (rule(r"^\+49", "0"),)),
    )
)


def test_an_invite_has_the_numbers_of_the_trunk_it_goes_to() -> None:
    pai = ("P-Asserted-Identity", '"A" <sip:+4930777@a.example>, <tel:+4930777>')
    bench = CallBench(numbering=NUMBERING, headers=[pai]).start()
    sent = bench.invited.request
    assert sent.uri.startswith("sip:9123456@192.0.2.20")
    assert str(sent.to.uri) == "sip:9123456@192.0.2.1"
    assert str(sent.from_.uri) == "sip:097@example.net"
    assert sent.headers.get("P-Asserted-Identity") == "A <sip:030777@a.example>, <tel:030777>"
    bench.answer()
    bench.ack()
    bench.request(Side.A, "INFO", headers=[pai])
    again = bench.sent("INFO")
    assert again.headers.get("P-Asserted-Identity") == "A <sip:030777@a.example>, <tel:030777>"
    assert str(again.from_.uri) == "sip:097@example.net"


def test_what_goes_to_the_caller_keeps_its_numbers() -> None:
    pai = ("P-Asserted-Identity", "<sip:+4930888@b.example>")
    bench = CallBench(numbering=NUMBERING).talk(headers=[pai])
    assert bench.final().headers.get("P-Asserted-Identity") == pai[1]
    assert str(bench.final().to.uri) == "sip:+4930123456@192.0.2.1"


def test_a_to_that_names_another_number_stays() -> None:
    sent = CallBench(numbering=NUMBERING, headers=[("To", "<sip:+49308@x.example>")]).start().invited.request
    assert str(sent.to.uri) == "sip:+49308@x.example"


@pytest.mark.parametrize("value", ["<sip:broken", "a,b,c", ",".join(["<tel:+4930777>"] * 5)])
def test_identities_that_cannot_be_read_stay(value: str) -> None:
    assert NUMBERING.identities(value) == value


def test_the_number_to_present_takes_the_callers_place_in_from_alone() -> None:
    pai = ("P-Asserted-Identity", "<sip:+4930777@a.example>")
    sent = CallBench(numbering=Numbering(caller_id="+49301000"), headers=[pai]).start().invited.request
    assert str(sent.from_.uri) == "sip:+49301000@example.net"
    assert sent.headers.get("P-Asserted-Identity") == pai[1]
    assert str(Numbering(caller_id="+4930").caller(parse_uri("tel:+4999"))) == "tel:+4930"


@pytest.mark.parametrize(
    "headers",
    [
        [("From", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=ta')],
        [("Privacy", "id")],
    ],
)
def test_who_is_anonymous_is_not_given_a_number(headers: list[tuple[str, str]]) -> None:
    numbering = Numbering(NUMBERING.steps, "+49301000")
    sent = CallBench(numbering=numbering, headers=headers, trusted=(True, False)).start().invited.request
    assert str(sent.from_.uri) == "sip:anonymous@anonymous.invalid"
