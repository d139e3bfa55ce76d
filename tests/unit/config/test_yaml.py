import pytest

from sidestream.config.document import Mapping, Mark, Scalar, Sequence, locate
from sidestream.config.problems import ConfigError
from sidestream.config.yaml import MAX_BYTES, parse_yaml


def values(text: str) -> list[object]:
    root = parse_yaml(text.encode(), "f.yaml")
    assert isinstance(root, Sequence)
    return [item.value for item in root.items if isinstance(item, Scalar)]


def messages(data: bytes) -> list[tuple[int, int, str, str]]:
    with pytest.raises(ConfigError) as raised:
        parse_yaml(data, "f.yaml")
    return [(each.line, each.column, each.key, each.message) for each in raised.value.problems]


def test_words_of_yaml_1_1_stay_words() -> None:
    assert values("[off, no, yes, on, 1:30, true, False, ~, 0x10, 0o17, 012, 1.5, '5', 1_000]") == [
        *("off", "no", "yes", "on", "1:30", True, False, None, 16, 15, "012", 1.5, "5", 1000)
    ]


def test_an_empty_file_is_an_empty_mapping() -> None:
    assert parse_yaml(b"# nothing\n", "f.yaml") == Mapping((), Mark(1, 1))


def test_places_count_from_one_and_point_at_values_and_keys() -> None:
    root = parse_yaml(b"a:\n  b: [x, {c: 5}]\n", "f.yaml")
    assert locate(root, ("a", "b", 1, "c")) == Mark(2, 14)
    assert locate(root, ("a", "b", 1, "c"), at_key=True) == Mark(2, 11)
    assert locate(root, ("a", "b")) == Mark(2, 3), "a list is found at its key"
    assert locate(root, ("a", "b", 7)) == Mark(2, 3), "what is not there is found at what would hold it"


def test_every_double_key_is_told_with_its_path() -> None:
    found = messages(b"a: 1\nb:\n  - {c: 1, c: 2}\na: 2\n")
    assert [(line, column, key) for line, column, key, _ in found] == [(3, 12, "b[0].c"), (4, 1, "a")]


def test_an_anchor_may_be_set_again() -> None:
    # The library would warn on the operator's terminal; here a warning is an error.
    assert values("[&a x, *a, &a y, *a]") == ["x", "x", "y", "y"]


def test_what_is_no_text_or_no_yaml_is_told() -> None:
    assert messages(b"a: \xff\n")[0][:2] == (1, 4)
    assert "not YAML" in messages(b"a: [1\n")[0][3]
    assert "more than" in messages(b"#" * (MAX_BYTES + 1))[0][3]
    assert "a key must be a word" in messages(b"? [a, b]\n: 1\n")[0][3]


def test_aliases_that_multiply_or_contain_themselves_are_refused() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 9):
        bomb += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n"
    assert "too large or too deep" in messages(bomb.encode())[0][3]
    assert "too large or too deep" in messages(b"&a [*a]\n")[0][3]


def test_a_document_may_use_aliases() -> None:
    root = parse_yaml(b"a: &x [1]\nb: *x\n", "f.yaml")
    assert isinstance(root, Mapping)
    assert root.get("b") == root.get("a")
