from pathlib import Path

import pytest

from sidestream.config import parse
from sidestream.config.kinds import parse_size
from sidestream.config.observing import Trace
from sidestream.config.problems import ConfigError
from unit.gateway.samples import TEXT

FILE = TEXT.format(max_calls=10, rate=10, desk_calls=1, stream="")


def with_node(line: str) -> bytes:
    return FILE.replace("  name: gw\n", f"  name: gw\n  {line}\n").encode()


def test_the_defaults_keep_calls_for_a_week_within_a_gibibyte() -> None:
    trace = parse(FILE.encode(), "x.yaml", Path("/"), {}).node.trace
    assert trace == Trace(enabled=True, retention=7 * 24 * 3600, size=2**30, memory=2**26, per_call=2**18)


def test_each_bound_can_be_written() -> None:
    line = "trace: {enabled: false, retention: 24h, size: 2GiB, memory: 8MiB, per_call: 64KiB}"
    trace = parse(with_node(line), "x.yaml", Path("/"), {}).node.trace
    assert trace == Trace(enabled=False, retention=86_400, size=2**31, memory=2**23, per_call=2**16)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("trace: {size: 1GB}", "is no size"),
        ("trace: {size: 100}", "is no size"),
        ("trace: {size: 1MiB}", "out of bounds"),
        ("trace: {memory: 17GiB}", "out of bounds"),
        ("trace: {retention: 1m}", "out of bounds"),
        ("trace: {enabled: maybe}", "true or false"),
        ("trace: {keep: 1}", "keep"),
    ],
)
def test_what_does_not_fit_is_told(line: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(with_node(line), "x.yaml", Path("/"), {})
    assert words in str(caught.value.problems[0])


def test_sizes_have_units() -> None:
    assert [parse_size(text) for text in ("1KiB", "3MiB", "1TiB", "1", "1.5GiB", "-1KiB", "1kib")] == [
        1024, 3 * 2**20, 2**40, None, None, None, None,
    ]  # fmt: skip


def test_a_collector_has_a_place_a_number_and_perhaps_a_password() -> None:
    line = 'hep: {to: "udp://homer.example", node_id: 2001, password: {env: HEP}}'
    hep = parse(with_node(line), "x.yaml", Path("/"), {"HEP": "s3cret"}).node.hep
    assert hep is not None
    assert (str(hep.to), hep.node_id) == ("udp://homer.example:9060", 2001)
    assert hep.password is not None
    assert hep.password.reveal() == "s3cret"
    assert "s3cret" not in repr(hep)
    six = parse(
        with_node('hep: {to: "tcp://[2001:db8::9]:9061", node_id: 0}'), "x.yaml", Path("/"), {}
    ).node.hep
    assert six is not None
    assert str(six.to) == "tcp://[2001:db8::9]:9061"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{to: 'tls://homer.example', node_id: 1}", "no transport of HEP"),
        ("{to: homer.example, node_id: 1}", "no scheme, host and port"),
        ("{to: 'udp://999.1.2.3', node_id: 1}", "no scheme, host and port"),
        ("{to: 'udp://homer.example:0', node_id: 1}", "no port"),
        ("{to: 'udp://homer.example'}", "node_id"),
        ("{to: 'udp://homer.example', node_id: 4294967296}", "out of bounds"),
    ],
)
def test_a_collector_that_can_not_be_reached_is_told(value: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(with_node(f"hep: {value}"), "x.yaml", Path("/"), {})
    assert any(words in str(problem) for problem in caught.value.problems)
