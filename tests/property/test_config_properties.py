"""Whatever a file holds, it gives a configuration or the documented error, and nothing else."""

import random
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from sidestream.config import ConfigError, Configuration, parse
from sidestream.config.patterns import PatternError, compile_pattern
from sidestream.config.templates import MAX_CHARACTERS, Template, TemplateError
from sidestream.config.uris import UriError, check_endpoint, parse_peer
from sidestream.sip.uri import SipUri
from sidestream.stream.upgrade import parse_endpoint
from unit.config.example import ENVIRONMENT, TEXT

WORDS = [
    "0",
    "-1",
    "off",
    "~",
    "[]",
    "{}",
    "[[]]",
    "{a: b}",
    "'",
    '"',
    "5m",
    "true",
    "*x",
    "&x",
    "!!int x",
    "\t",
    "é",
    "(",
    "{",
    "}",
]


def outcome(data: bytes) -> Configuration | None:
    try:
        return parse(data, "f.yaml", Path("/nowhere"), ENVIRONMENT)
    except ConfigError as error:
        problems = error.problems
    assert problems
    for problem in problems:
        assert problem.message
        assert problem.remedy
        assert problem.line >= 1
        assert problem.column >= 1
    return None


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    assert outcome(data) is None


@given(st.text(alphabet="abc:-[]{}#&*!|>'\"%@` \n\t,?0~", max_size=200))
def test_any_text_that_looks_like_yaml(text: str) -> None:
    outcome(text.encode())


@settings(max_examples=200)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_any_damage_to_a_right_file(seed: int, count: int) -> None:
    chance = random.Random(seed)
    text = TEXT
    for _ in range(count):
        place = chance.randrange(len(text))
        match chance.randrange(4):
            case 0:
                text = text[:place] + text[place + chance.randrange(1, 20) :]
            case 1:
                text = text[:place] + chance.choice(WORDS) + text[place:]
            case 2:
                lines = text.splitlines(keepends=True)
                lines.insert(chance.randrange(len(lines)), lines[chance.randrange(len(lines))])
                text = "".join(lines)
            case _:
                end = text.find("\n", place)
                start = text.rfind(":", 0, end) + 1
                text = text[:start] + " " + chance.choice(WORDS) + text[end:]
    outcome(text.encode())


@given(
    st.text(max_size=300), st.dictionaries(st.sampled_from(["call.id", "caller.name"]), st.text(max_size=600))
)
def test_a_template_gives_one_short_line_or_is_refused(text: str, values: dict[str, str]) -> None:
    try:
        template = Template.parse(text + "{call.id}{caller.name}")
    except TemplateError:
        return
    rendered = template.render(values)
    assert len(rendered) <= MAX_CHARACTERS
    assert not set(rendered) & {"\r", "\n", "\0"}


@given(st.text(max_size=200).filter(lambda text: "{" not in text and "}" not in text))
def test_a_text_without_braces_is_itself(text: str) -> None:
    try:
        assert Template.parse(text).render({}) == text
    except TemplateError:
        assert len(text) > MAX_CHARACTERS or any(each < " " or each == "\x7f" for each in text)


@given(st.text(alphabet="sip:tcpudl@[]0123456789.;=abc-_%?", max_size=60))
def test_a_peer_that_is_taken_is_one_for_the_protocol(text: str) -> None:
    try:
        peer = parse_peer("sip:" + text)
    except UriError:
        return
    assert SipUri.parse(peer.text).host.strip("[]").lower() == peer.host.lower()


@given(st.text(alphabet="wss:/@[]0123456789.?&=abc-_%#", max_size=60))
def test_an_endpoint_that_is_taken_is_one_for_the_stream(text: str) -> None:
    url = "wss://" + text
    try:
        check_endpoint(url)
    except UriError:
        return
    assert parse_endpoint(url).secure


@given(st.text(alphabet="ab01()[]{}+*?|\\^$.,:<=!P", max_size=40))
def test_a_pattern_compiles_or_is_refused(text: str) -> None:
    with suppress(PatternError):
        assert compile_pattern(text).pattern == text
