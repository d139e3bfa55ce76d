import pytest

from sidestream.config.templates import MAX_CHARACTERS, VARIABLES, Template, TemplateError


def test_variables_are_filled_and_doubled_braces_are_braces() -> None:
    template = Template.parse("{{{account.name}}}-{call.id}{{}}")
    assert template.render({"account.name": "acme", "call.id": "7"}) == "{acme}-7{}"
    assert template.variables == {"account.name", "call.id"}


def test_headers_are_looked_up_in_lower_case() -> None:
    template = Template.parse("{sip.header.X-Queue}/{SIP.Header.User-to-User}")
    assert template.headers == {"x-queue", "user-to-user"}
    assert template.render({"sip.header.x-queue": "gold"}) == "gold/"


def test_what_is_unknown_at_run_time_is_empty() -> None:
    assert Template.parse("<{caller.number}>").render({}) == "<>"


def test_every_variable_of_the_list_is_taken() -> None:
    for name in VARIABLES:
        assert Template.parse(f"{{{name}}}").variables == {name.replace("NAME", "name")}


def test_values_are_one_short_line() -> None:
    template = Template.parse("x{caller.name}")
    assert template.render({"caller.name": "a\r\nEvil: 1\x00\x7f"}) == "xaEvil: 1"
    assert len(template.render({"caller.name": "é" * 10_000})) == MAX_CHARACTERS


def test_a_rendered_value_is_not_read_as_a_template_again() -> None:
    assert Template.parse("{caller.name}").render({"caller.name": "{call.id}"}) == "{call.id}"


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("{caller.nummer}", "{caller.nummer} is no variable", "{caller.number}"),
        ("{}", "{} is no variable", "Use one of"),
        ("a{b", "'{' stands alone", "Write {{"),
        ("a}b", "'}' stands alone", "Write }}"),
        ("{sip.header.}", "'' is no header name", "{sip.header.X-Queue}"),
        ("{sip.header.a b}", "'a b' is no header name", "{sip.header.X-Queue}"),
        ("a\r\nb", "line break", "one line"),
        ("x" * 257, "257 characters", "256"),
    ],
)
def test_what_is_no_template_is_told(text: str, says: str, hint: str) -> None:
    with pytest.raises(TemplateError) as raised:
        Template.parse(text)
    assert says in str(raised.value)
    assert hint in raised.value.hint
