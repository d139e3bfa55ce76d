import re
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from sidestream.config import ConfigError, load
from sidestream.config.load import examine
from sidestream.config.model import Limits, MediaStreamIntegration
from sidestream.config.values import Encoding, Layout, PortRange, StartOn, VoiceServiceKind
from sidestream.tools.certificates import CertificateFiles, make_certificates
from unit.config.example import TEXT, changed, parse_text

ROOT = Path(__file__).resolve().parents[3]


def keys_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        parse_text(text)
    return [problem.key for problem in raised.value.problems]


def test_a_file_becomes_typed_values() -> None:
    configuration = parse_text(TEXT)
    node = configuration.node
    assert [str(each) for each in node.sip] == ["udp://127.0.0.1:5060", "tcp://127.0.0.1:5060"]
    assert (node.media.address, node.media.ports) == (ip_address("127.0.0.1"), PortRange(20000, 20999))
    account = configuration.accounts[0]
    carrier, desk = account.voice_services
    assert (carrier.kind, desk.kind) == (VoiceServiceKind.CARRIER, VoiceServiceKind.CONTACT_CENTER)
    assert carrier.trunk is not None
    assert [(each.uri.text, each.priority, each.weight) for each in carrier.trunk.peers] == [
        ("sip:192.0.2.1", 2, 1),
        ("sip:192.0.2.2;transport=tcp", 1, 3),
    ]
    assert carrier.trunk.match == (ip_network("192.0.2.0/24"),)
    (live,) = desk.media_streams
    assert live.urls == ("wss://127.0.0.1:8443/calls",)
    assert live.auth.bearer is not None
    assert live.auth.bearer.reveal() == "s3cret"
    assert [(each.source, each.target, each.match) for each in account.routes] == [
        ("carrier", "desk", None),
        ("desk", "carrier", re.compile("^[0-9]+$")),
    ]
    assert account.service("desk") is desk
    assert list(configuration.services()) == [(account, carrier), (account, desk)]


def test_what_is_not_written_has_its_default() -> None:
    configuration = parse_text(TEXT)
    node, live = configuration.node, configuration.accounts[0].voice_services[1].integrations[0]
    assert (node.drain_timeout, node.media_timeout, node.advertise, node.api) == (30, 300, None, None)
    assert node.limits == Limits(max_calls=100)
    assert (node.limits.calls_per_second, node.limits.max_call_duration) == (200, 14_400)
    assert isinstance(live, MediaStreamIntegration)
    assert (live.encoding, live.layout, live.start_on) == (Encoding.CALL, Layout.SEPARATE, StartOn.ANSWER)
    assert (live.flush, live.frame, live.jitter_window, live.queue, live.replay) == (0.02, 0.02, 0.06, 10, 10)
    assert (live.ping_interval, live.reconnect_window, live.connect_timeout) == (15, 60, 5)


def test_words_stand_for_none() -> None:
    text = changed(
        ("  limits:", "  media_timeout: off\n  limits:"),
        ("ports: 20000-20999", "ports: 20000-20999, threads: auto"),
    )
    node = parse_text(text).node
    assert (node.media_timeout, node.media.threads) == (None, None)


def test_a_url_may_be_a_list() -> None:
    urls = "[wss://a.example/, wss://b.example/]"
    configuration = parse_text(changed(("wss://127.0.0.1:8443/calls", urls)))
    (live,) = configuration.accounts[0].voice_services[1].media_streams
    assert live.urls == ("wss://a.example/", "wss://b.example/")


def test_a_fault_in_a_list_of_urls_has_its_position() -> None:
    text = changed(("wss://127.0.0.1:8443/calls", "[wss://a.example/, ws://b.example/]"))
    assert keys_of(text) == ["accounts[0].voice_services[1].integrations[0].url[1]"]


def test_relative_paths_start_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "x")
    (tmp_path / "token").write_text("from-file\n")
    text = changed(
        ("  limits:", "  database: sqlite:///data/calls.db\n  limits:"),
        ("auth: {bearer: {env: TOKEN}}", "auth: {bearer: {file: token}}\n            ca: certs/ca.pem"),
    )
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    loaded = examine(file)
    configuration = loaded.configuration
    (live,) = configuration.accounts[0].voice_services[1].media_streams
    assert configuration.node.database == tmp_path / "data" / "calls.db"
    assert live.ca == tmp_path / "certs" / "ca.pem"
    assert live.auth.bearer is not None
    assert (live.auth.bearer.reveal(), live.auth.bearer.origin) == ("from-file", "file token")
    assert [(each.key.rpartition(".")[2], each.line) for each in loaded.warnings] == [("ca", 24)]
    file.write_text(TEXT)
    assert load(file).node.database == tmp_path / "sidestream.db"
    absolute = changed(("  limits:", "  database: sqlite:////var/lib/sidestream/calls.db\n  limits:"))
    assert parse_text(absolute).node.database == Path("/var/lib/sidestream/calls.db")


def test_secrets_are_in_no_representation_and_no_problem() -> None:
    text = changed(("{bearer: {env: TOKEN}}", "{bearer: pl4in, headers: {X-Key: k3y}}"))
    configuration = parse_text(text)
    assert not re.search("pl4in|k3y", repr(configuration))
    with pytest.raises(ConfigError) as raised:
        parse_text(text.replace("pl4in", '"pl4in\\n"'))
    assert "pl4in" not in str(raised.value)


@pytest.mark.parametrize(
    "written",
    [
        "{env: MISSING}",
        "{env: 'a b'}",
        "{env: TOKEN, file: x}",
        "{file: missing}",
        "{}",
        "[TOKEN]",
        "",
        "{environment: TOKEN}",
        '"a\\nb"',
    ],
)
def test_a_secret_that_can_not_be_had_is_a_problem(written: str) -> None:
    assert keys_of(changed(("{env: TOKEN}", written))) == [
        "accounts[0].voice_services[1].integrations[0].auth.bearer"
    ]


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"text", b"node: 5\naccounts: 6\n", b"node:\naccounts:\n", b"{}"]
)
def test_what_is_no_configuration_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_text(data.decode())


def test_a_file_that_can_not_be_read_is_a_problem(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(ConfigError) as raised:
            load(path)
        (problem,) = raised.value.problems
        assert (problem.file, problem.key) == (str(path), "")
        assert "can't be read" in problem.message


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.yaml")), ids=lambda path: str(path.name))
def test_examples_are_valid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RECOGNISER_TOKEN", "RECOGNISER_KEY"):
        monkeypatch.setenv(name, "x")
    assert load(path).accounts


CONTRACT = Path(__file__).resolve().parents[2] / "data" / "config" / "everything.yaml"


def test_the_full_configuration_is_valid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRANSCRIPT_TOKEN", "t")
    make_certificates(CertificateFiles(*(tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem"))))
    configuration = parse_text(
        CONTRACT.read_text()
        .replace("{env: TRANSCRIPT_TOKEN}", "{env: TOKEN}")
        .replace("{env: CARRIER_PASSWORD}", "{env: TOKEN}"),
        tmp_path,
    )
    (stream,) = configuration.accounts[0].voice_services[1].media_streams
    (recording,) = configuration.accounts[0].voice_services[1].recordings
    assert (recording.servers[0].uri.transport, recording.copies) == ("tcp", 1)
    assert [(name, each.text) for name, each in recording.x_headers] == [
        ("X-Tenant", "{account.name}"),
        ("X-Call-Ref", "{call.id}"),
    ]
    assert stream.forward_headers == ("User-to-User", "P-Asserted-Identity")
    assert [(name, each.text) for name, each in stream.headers] == [("X-Tenant", "{account.name}")]
    carrier = configuration.accounts[0].voice_services[0].trunk
    assert carrier is not None
    assert carrier.auth is not None
    assert (carrier.auth.password.reveal(), str(carrier.auth.password)) == ("s3cret", "***")
