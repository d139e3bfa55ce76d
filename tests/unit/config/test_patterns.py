import re

import pytest

from sidestream.config.patterns import PatternError, compile_pattern


@pytest.mark.parametrize(
    "text",
    [
        r"^\+?[0-9]+$",
        r"^(\+49|0049)?[1-9][0-9]*$",
        r"^(?:0|\+44)7[0-9]{9}$",
        r"^[^)(*]+$",
        r"(ab){1,3}",
        r"(a+){1,3}",
        r"\(+",
        r"[+*(|]+x",
        r"(?i)^alice$",
        "^$",
    ],
)
def test_what_dial_plans_need_is_taken(text: str) -> None:
    assert compile_pattern(text) == re.compile(text)


@pytest.mark.parametrize(
    "text",
    [
        "([0-9]+)+$",
        "(a*)*",
        "((ab)*c)*",
        "(a|aa)+$",
        "(?:x|y)*z",
        "(a{2,})+",
        "(?P<n>a+)*",
        r"(\d+)*",
        "((a+))+",
    ],
)
def test_what_could_run_away_is_refused(text: str) -> None:
    re.compile(text)
    with pytest.raises(PatternError, match="repeated group"):
        compile_pattern(text)


def test_many_repeats_and_back_references_are_refused() -> None:
    with pytest.raises(PatternError, match="3 repeats"):
        compile_pattern("a+b+c+")
    with pytest.raises(PatternError, match="back-references"):
        compile_pattern(r"(a)\1")


@pytest.mark.parametrize("text", ["(", "[", "a{99999999999}", "*", "", "a" * 257, "(?P<1>a)", "[[a]"])
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(PatternError) as raised:
        compile_pattern(text)
    assert raised.value.hint
