import pytest

from sidestream.sip.errors import ParseError
from sidestream.sip.grammar import (
    format_params,
    is_token,
    leading_quoted,
    parse_digits,
    parse_params,
    quote,
    split_list,
    unquote,
)


def test_tokens_are_of_token_characters_only() -> None:
    assert is_token("a-.!%*_+`'~9")
    for text in ("", "a b", "a:b", "é", "a\n"):
        assert not is_token(text)


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", " 1", "1\n", "\u0661", "256", "1" * 13])
def test_digits_are_ascii_and_within_the_limit(text: str) -> None:
    with pytest.raises(ParseError, match="400 Invalid Hops"):
        parse_digits(text, "Hops", 255)


def test_leading_zeros_are_digits() -> None:
    assert parse_digits("0068", "Hops", 255) == 68


def test_quotes_and_brackets_hide_separators() -> None:
    assert split_list('"a, b" <sip:x,y>, c') == ['"a, b" <sip:x,y>', "c"]
    assert split_list(r'"a \", b", c') == [r'"a \", b"', "c"]
    assert split_list('"a", <b>') == ['"a"', "<b>"]


def test_empty_elements_of_a_list_are_dropped() -> None:
    assert split_list(", a,, b ,") == ["a", "b"]
    assert split_list("  ") == []


@pytest.mark.parametrize("text", ['a, "b', "a, <b", r'a, "b\"'])
def test_what_is_opened_must_be_closed(text: str) -> None:
    with pytest.raises(ParseError, match="Unbalanced"):
        split_list(text)


def test_parameters_keep_their_values_as_written() -> None:
    assert parse_params('; A = b ;c; d="x;\\"y"; e=[::1]', "Via") == {
        "a": "b",
        "c": None,
        "d": '"x;\\"y"',
        "e": "[::1]",
    }
    assert parse_params("", "Via") == {}


@pytest.mark.parametrize(
    "text", ["a", ";", ";;a", ";a=", ";a=b c", ";a b", ';a="b', ";a=b;", ";=b", ";a=b,c", ";a=\x01"]
)
def test_what_is_no_parameter_list_is_refused(text: str) -> None:
    with pytest.raises(ParseError, match="400 Invalid Via parameter"):
        parse_params(text, "Via")


def test_a_parameter_stands_once() -> None:
    with pytest.raises(ParseError, match="400 Repeated Via parameter"):
        parse_params(";a=1;A=2", "Via")


def test_parameters_are_written_as_they_were_read() -> None:
    text = ';a=1;b;c="d e"'
    assert format_params(parse_params(text, "Via")) == text


def test_quoted_strings() -> None:
    assert quote('a"b\\c') == '"a\\"b\\\\c"'
    assert unquote('"a\\"b\\\\c"') == 'a"b\\c'
    assert unquote("plain") == "plain"
    assert unquote('"') == '"'
    assert leading_quoted('"a" <sip:b>') == ("a", " <sip:b>")
    with pytest.raises(ParseError, match="Unbalanced quote"):
        leading_quoted('"a')


def test_long_input_of_quotes_takes_time_in_proportion() -> None:
    with pytest.raises(ParseError):
        parse_params(';a="' + "\\" * 60_001, "Via")
    with pytest.raises(ParseError):
        split_list("," + '"' * 60_001)
