"""The keys of numbers: what is read, and what is refused with its place and remedy."""

import pytest

from sidestream.config import ConfigError
from sidestream.config.model import Trunk
from sidestream.config.numbering import Numbers
from unit.config.example import changed, parse_text

TRUNK = "accounts[0].voice_services[0].trunk"
TOO_LONG = "a" * 300
ONES = "1" * 65


def with_trunk(lines: str) -> str:
    return changed(("match: [192.0.2.0/24]", f"match: [192.0.2.0/24]\n          {lines}"))


def trunk(lines: str) -> Trunk:
    found = parse_text(with_trunk(lines)).accounts[0].voice_services[0].trunk
    assert found is not None
    return found


def test_a_trunk_is_trusted_and_leaves_numbers_alone_unless_it_says_else() -> None:
    found = trunk("max_calls: 5")
    assert (found.trusted, found.caller_id) == (True, None)
    assert (found.numbers.inbound, found.numbers.outbound) == (None, None)
    assert not trunk("trusted: false").trusted


def test_what_is_written_of_numbers_is_read() -> None:
    found = trunk(
        "caller_id: '+4930123456'\n          numbers:\n"
        "            in: {e164: {country: 49, national_prefix: '0', international_prefix: '00'}}\n"
        "            out:\n"
        r"              called: [{match: '^\+49(.*)', replace: '0\1'}]"
        "\n              calling: [{match: x, replace: ''}]"
    )
    assert found.caller_id == "+4930123456"
    inbound, outbound = found.numbers.inbound, found.numbers.outbound
    assert isinstance(inbound, Numbers)
    assert isinstance(outbound, Numbers)
    plan = inbound.e164
    assert plan is not None
    assert (plan.country, plan.national_prefix, plan.international_prefix) == ("49", "0", "00")
    assert [(each.match.pattern, each.replace) for each in outbound.called] == [(r"^\+49(.*)", r"0\1")]
    assert [each.replace for each in outbound.calling] == [""]


def test_a_route_has_rules_too() -> None:
    text = changed(("to: desk}", "to: desk, numbers: {called: [{match: '^1', replace: '+1'}]}}"))
    numbers = parse_text(text).accounts[0].routes[0].numbers
    assert numbers is not None
    assert numbers.called[0].replace == "+1"


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ("trusted: maybe", "trusted"),
        ("caller_id: anonymous", "caller_id"),
        ("caller_id: '+49 30'", "caller_id"),
        ("numbers: {in: {e164: {country: '+49'}}}", "numbers.in.e164.country"),
        ("numbers: {in: {e164: {country: 49, national_prefix: x}}}", "numbers.in.e164.national_prefix"),
        (
            "numbers: {in: {e164: {country: 49, national_prefix: '00', international_prefix: '0'}}}",
            "numbers.in.e164.national_prefix",
        ),
        ("numbers: {out: {called: [{match: '(', replace: x}]}}", "numbers.out.called[0].match"),
        ("numbers: {out: {called: [{match: '([0-9]+)+$', replace: x}]}}", "numbers.out.called[0].match"),
        (f"numbers: {{out: {{called: [{{match: {TOO_LONG}, replace: x}}]}}}}", "numbers.out.called[0].match"),
        ("numbers: {out: {calling: [{match: a, replace: 'x@y'}]}}", "numbers.out.calling[0].replace"),
        (r"numbers: {out: {calling: [{match: (a), replace: '\2'}]}}", "numbers.out.calling[0].replace"),
        (r"numbers: {out: {calling: [{match: (a), replace: '\0'}]}}", "numbers.out.calling[0].replace"),
        (
            f"numbers: {{out: {{calling: [{{match: a, replace: '{ONES}'}}]}}}}",
            "numbers.out.calling[0].replace",
        ),
    ],
)
def test_what_is_refused_of_numbers(lines: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_text(with_trunk(lines))
    (problem,) = caught.value.problems
    assert problem.key == f"{TRUNK}.{key}"
    assert problem.line == with_trunk(lines).splitlines().index(f"          {lines}") + 1
    assert problem.remedy


@pytest.mark.parametrize(
    "lines",
    ["numbers: {both: {}}", "numbers: {in: {e164: {}}}", "numbers: {out: {called: [{match: a}]}}"],
)
def test_unknown_and_missing_keys_of_numbers_are_refused(lines: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_text(with_trunk(lines))
    assert all(problem.key.startswith(f"{TRUNK}.numbers") for problem in caught.value.problems)
