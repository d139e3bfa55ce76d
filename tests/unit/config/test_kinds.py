import re
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from sidestream.config import kinds
from sidestream.config.document import Mapping, Mark, Node, Scalar, Sequence
from sidestream.config.values import PortRange, Srtp
from sidestream.config.yaml import parse_yaml

HERE = kinds.Surroundings(Path("/base"), {"NAME": "value"})


def node(text: str) -> Node:
    root = parse_yaml(f"k: {text}\n".encode(), "f")
    assert isinstance(root, Mapping)
    return root.entries[0][1]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (kinds.Whole(0, 10), "7", 7),
        (kinds.Whole(0, 10, "auto"), "auto", None),
        (kinds.Duration("0ms", "1h"), "20ms", 0.02),
        (kinds.Duration("0ms", "1h"), "1.5s", 1.5),
        (kinds.Duration("0ms", "1h"), "2m", 120.0),
        (kinds.Duration("0ms", "1h"), "1h", 3600.0),
        (kinds.Duration("0ms", "1h", "off"), "off", None),
        (kinds.Flag(), "true", True),
        (kinds.Text("a number or name", "[a-z0-9]+"), "123", "123"),
        (kinds.Choice(Srtp), "off", Srtp.OFF),
        (kinds.IpAddress(), '"[::1]"', ip_address("::1")),
        (kinds.IpNetwork(), "192.0.2.1", ip_network("192.0.2.1/32")),
        (kinds.Ports(), "20000 - 20010", PortRange(20000, 20010)),
        (kinds.Database(), "sqlite:///a/b.db", Path("/base/a/b.db")),
        (kinds.Pattern(), '"^\\\\+49"', re.compile(r"^\+49")),
        (kinds.FilePath(), "../ca.pem", Path("/base/../ca.pem")),
    ],
)
def test_values_are_read(kind: kinds.Kind, text: str, value: object) -> None:
    assert kind.read(node(text), HERE) == value


@pytest.mark.parametrize(
    ("kind", "text", "says", "hint"),
    [
        (kinds.Whole(0, 10), "true", "not the flag true", "whole number"),
        (kinds.Whole(0, 10), "1.0", "not the number 1.0", "whole number"),
        (kinds.Whole(0, 10), '"7"', "the text '7'", "Write 7 without quotes"),
        (kinds.Whole(0, 10), "11", "out of bounds", "0 to 10"),
        (kinds.Whole(0, 10), "", "is empty", "leave the key out"),
        (kinds.Duration("1s", "1h"), "30", "no unit", "30s"),
        (kinds.Duration("1s", "1h"), "1d", "no duration", "4h"),
        (kinds.Duration("1s", "1h"), "999ms", "out of bounds", "1s to 1h"),
        (kinds.Duration("1s", "1h"), "-1s", "no duration", "30s"),
        (kinds.Flag(), "yes", "not the text 'yes'", "true or false"),
        (kinds.Text("letters", "[a-z]+"), "A", "'A' is not letters", "letters"),
        (kinds.Text("letters", "[a-z]+"), "[a]", "not a list", "letters"),
        (kinds.Choice(Srtp), "OFF", "'OFF' is not known", "Did you mean off?"),
        (kinds.IpAddress(), "host", "no IP address", "192.0.2.10"),
        (kinds.IpNetwork(), "10.0.0.1/8", "no network", "10.0.0.0/8"),
        (kinds.Ports(), "20000", "no range of ports", "20000-29999"),
        (kinds.Ports(), "80-90", "1024 to 65535", "20000-29999"),
        (kinds.ApiUrl(), "https://127.0.0.1:8080", "not available", "TLS proxy"),
        (kinds.ApiUrl(), "tcp://127.0.0.1:8080", "no scheme", "http://"),
        (kinds.Listener(), "sctp://127.0.0.1:5060", "no SIP transport", "udp, tcp and tls"),
        (kinds.Listener(), "udp://127.0.0.1:0", "0 is no port", "1 to 65535"),
        (kinds.DnsServer(), "ns.example.com", "no DNS server", "192.0.2.53"),
        (kinds.DnsServer(), "192.0.2.53:0", "no DNS server", "192.0.2.53"),
        (kinds.Database(), "mysql://x", "names no database", "sqlite:///"),
        (kinds.Database(), "sqlite:///", "names no database", "sqlite:///"),
        (kinds.TemplateText(), "{a: b}", "not a mapping", "quotes"),
        (kinds.SecretText(), '""', "is empty", "{env: NAME}"),
    ],
)
def test_what_does_not_fit_is_told(kind: kinds.Kind, text: str, says: str, hint: str) -> None:
    with pytest.raises(kinds.UnfitError) as raised:
        kind.read(node(text), HERE)
    assert says in str(raised.value)
    assert hint in raised.value.hint


def test_an_unavailable_value_is_taken_whatever_it_is() -> None:
    for value in (Scalar(None, "", Mark(1, 1)), Sequence((), Mark(1, 1)), node("{a: b}")):
        assert kinds.Later().read(value, HERE) == kinds.Unavailable()


def test_secret_files_are_one_line_of_bounded_text(tmp_path: Path) -> None:
    around = kinds.Surroundings(tmp_path, {})
    good = tmp_path / "good"
    good.write_text("s3cret\r\n")
    assert kinds.SecretText().read(node("{file: good}"), around).reveal() == "s3cret"
    for name, data in {"lines": b"a\nb\n", "binary": b"\xff", "large": b"a" * 70_000, "empty": b"\n"}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(kinds.UnfitError):
            kinds.SecretText().read(node(f"{{file: {name}}}"), around)
