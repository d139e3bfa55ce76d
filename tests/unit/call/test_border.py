from sidestream.call.border import Border
from sidestream.call.headers_policy import HeaderPolicy
from sidestream.sip.message import Headers

OUT = Border(HeaderPolicy(), to_trusted=False)


def crossed(border: Border, *lines: tuple[str, str]) -> list[tuple[str, str]]:
    target = Headers()
    border.copy(Headers(lines), target)
    return list(target)


def test_a_copy_is_raw_and_in_order() -> None:
    source = Headers([("X-B", " 2 ,3"), ("Via", "x"), ("Diversion", "<sip:1>"), ("X-B", "1")])
    target = Headers([("To", "<sip:2>")])
    Border(HeaderPolicy()).copy(source, target)
    assert list(target) == [("To", "<sip:2>"), ("X-B", " 2 ,3"), ("Diversion", "<sip:1>"), ("X-B", "1")]


def test_the_policy_goes_first() -> None:
    border = Border(HeaderPolicy(names=frozenset({"subject"}), prefixes=()))
    lines = [("P-Asserted-Identity", "<sip:a@b>"), ("Subject", "x"), ("Privacy", "id")]
    assert crossed(border, *lines) == [("Subject", "x")]


def test_several_lines_of_privacy_become_one() -> None:
    assert crossed(OUT, ("Privacy", "id;a"), ("Privacy", "b"), ("Privacy", "a")) == [("Privacy", "a;b")]


def test_an_empty_header_is_still_a_header() -> None:
    assert crossed(OUT, ("X-Empty", ""), ("Subject", "")) == [("X-Empty", ""), ("Subject", "")]


def test_entries_that_ask_in_capitals_or_escaped_are_heard() -> None:
    asked = "<sip:a@b.example?x=1&%50RIVACY=none%3BHistory>;index=1"
    assert crossed(OUT, ("History-Info", asked)) == [
        ("History-Info", "<sip:anonymous@anonymous.invalid>;index=1")
    ]


def test_a_number_in_the_history_is_kept_unless_asked_for() -> None:
    line = ("History-Info", "<tel:+4930555>;index=1, <sip:a@b.example?Privacy=none>;index=1.1")
    assert crossed(OUT, line) == [line]


def test_what_is_unmet_counts_at_the_border_only() -> None:
    headers = Headers([("Privacy", "a;critical"), ("Privacy", "b;user")])
    assert OUT.unmet(headers) == ("a", "b")
    assert Border(HeaderPolicy()).unmet(headers) == ()
    assert OUT.unmet(Headers([("Privacy", "a")])) == ()
