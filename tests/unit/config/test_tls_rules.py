"""What is said of certificates, keys and peers over TLS: where, what, and what would be right."""

import datetime as dt
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from sidestream.config import ConfigError
from sidestream.config.kinds import Surroundings
from sidestream.config.load import parse_loaded
from sidestream.config.problems import Problem
from sidestream.tools.certificates import Authority, Leaf, Validity
from unit.config.example import ENVIRONMENT, changed

LISTENER = ("tcp://127.0.0.1:5060]", "tcp://127.0.0.1:5060, tls://127.0.0.1:5061]\n  tls: {FILES}")
FILES = "certificate: cert.pem, key: key.pem, client_ca: ca.pem"
PEER = '"sip:192.0.2.1", '
TRUNK = "accounts[0].voice_services[0].trunk"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A directory with good files."""
    authority = Authority()
    authority.write(tmp_path / "ca.pem")
    authority.issue(tmp_path / "cert.pem", tmp_path / "key.pem", Leaf())
    return tmp_path


def said(base: Path, *changes: tuple[str, str], files: str = FILES) -> list[Problem]:
    """Return every problem and warning of a configuration that listens on TLS."""
    text = changed((LISTENER[0], LISTENER[1].replace("FILES", files)), *changes)
    try:
        loaded = parse_loaded(text.encode(), "test.yaml", Surroundings(base, ENVIRONMENT))
    except ConfigError as error:
        return list(error.problems)
    return list(loaded.warnings)


def test_good_files_say_nothing(base: Path) -> None:
    assert said(base) == []


@pytest.mark.parametrize(
    ("file", "content", "key", "says", "remedy"),
    [
        ("cert.pem", None, "node.tls.certificate", "can't be read: No such file", "Name a file"),
        ("cert.pem", b"", "node.tls.certificate", "has no certificate in it", "in PEM"),
        ("cert.pem", b"-----BEGIN CERTIFICATE-----\nxx\n", "node.tls.certificate", "can't be read", "in PEM"),
        ("key.pem", None, "node.tls.key", "can't be read: No such file", "private key in PEM"),
        ("key.pem", b"nothing", "node.tls.key", "has no private key", "private key in PEM"),
        ("ca.pem", None, "node.tls.client_ca", "can't be read: No such file", "in PEM"),
        ("ca.pem", b"nothing", "node.tls.client_ca", "has no certificate in it", "in PEM"),
    ],
)
def test_files_that_cannot_be_read(
    base: Path, *, file: str, content: bytes | None, key: str, says: str, remedy: str
) -> None:
    if content is None:
        (base / file).unlink()
    else:
        (base / file).write_bytes(content)
    (problem,) = said(base)
    assert (problem.file, problem.line, problem.key) == ("test.yaml", 4, key)
    assert says in problem.message
    assert file in problem.message
    assert remedy in problem.remedy


def test_a_directory_is_no_file(base: Path) -> None:
    (problem,) = said(base, files=FILES.replace("cert.pem", "."))
    assert "Is a directory" in problem.message


def test_a_key_of_another_certificate(base: Path) -> None:
    Authority().issue(base / "else.pem", base / "key.pem", Leaf())
    (problem,) = said(base)
    assert problem.key == "node.tls.key"
    assert "is not the key of the certificate in" in problem.message


def test_a_key_with_a_passphrase(base: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    (base / "key.pem").write_bytes(sealed)
    (problem,) = said(base)
    assert (problem.key, "passphrase" in problem.message) == ("node.tls.key", True)
    assert "openssl pkey" in problem.remedy


DAY = dt.timedelta(days=1)


@pytest.mark.parametrize(
    ("validity", "says"),
    [
        (Validity(begins=-9 * DAY, ends=-2 * DAY), "expired on"),
        (Validity(begins=2 * DAY), "is not valid before"),
        (Validity(ends=20 * DAY), "expires soon, on"),
        (Validity(ends=40 * DAY), ""),
    ],
)
def test_what_is_not_valid_is_a_warning_and_the_gateway_starts(
    base: Path, validity: Validity, says: str
) -> None:
    Authority().issue(base / "cert.pem", base / "key.pem", Leaf(validity=validity))
    found = said(base)
    assert [problem.key for problem in found] == (["node.tls.certificate"] if says else [])
    assert all(says in problem.message and "Renew" in problem.remedy for problem in found)


def test_a_peer_over_tls_wants_a_listener_and_has_settings_of_its_own(base: Path) -> None:
    settings = '"sips:carrier.example", '
    assert said(base, (PEER, settings)) == []
    bundle = f"tls: {{ca: missing.pem}}\n          peers: [{{uri: {settings}"
    (problem,) = said(base, (f"peers: [{{uri: {PEER}", bundle))
    assert (problem.key, problem.line) == (f"{TRUNK}.tls.ca", 14)


@pytest.mark.parametrize(
    ("uri", "verify", "key", "says"),
    [
        ("sips:carrier.example", "off", f"{TRUNK}.peers[0].uri", "a peer that proves its name"),
        ("sips:carrier.example", "chain", f"{TRUNK}.peers[0].uri", "a peer that proves its name"),
        ("sip:carrier.example;transport=tls", "off", f"{TRUNK}.tls.verify", "anybody on the way"),
        ("sip:carrier.example;transport=tls", "chain", f"{TRUNK}.tls.verify", "whoever has a certificate"),
        ("sip:carrier.example;transport=tls", "never", f"{TRUNK}.tls.verify", "is not known here"),
    ],
)
def test_less_than_a_name_is_told(base: Path, uri: str, verify: str, key: str, says: str) -> None:
    written = f'tls: {{verify: {verify}}}\n          peers: [{{uri: "{uri}", '
    (problem,) = said(base, (f"peers: [{{uri: {PEER}", written))
    assert problem.key == key
    assert says in problem.message


def test_a_wildcard_is_no_name(base: Path) -> None:
    written = f'tls: {{names: ["*.carrier.example"]}}\n          peers: [{{uri: {PEER}'
    (problem,) = said(base, (f"peers: [{{uri: {PEER}", written))
    assert problem.key == f"{TRUNK}.tls.names[0]"


def test_one_server_has_one_setting(base: Path) -> None:
    uri = '"sip:carrier.example;transport=tls", '
    written = """\
        integrations:
          - name: rec
            type: siprec
            tls: {ca: ca.pem}
            servers: [{uri: "sip:Carrier.example;transport=tls"}]
"""
    recorder = ("        integrations:\n", written)
    (problem,) = said(base, (PEER, uri), recorder)
    assert problem.key == "accounts[0].voice_services[1].integrations[0].servers[0].uri"
    assert "other settings for TLS" in problem.message
    other_port = (recorder[0], recorder[1].replace("example;", "example:5062;"))
    assert said(base, (PEER, uri), other_port) == []


def test_calls_by_tls_only_want_a_listener() -> None:
    text = changed(("match: [192.0.2.0/24]", "require_tls: true"))
    with pytest.raises(ConfigError) as refused:
        parse_loaded(text.encode(), "test.yaml", Surroundings(Path("/"), ENVIRONMENT))
    (problem,) = refused.value.problems
    assert (problem.key, "tls://" in problem.remedy) == (f"{TRUNK}.require_tls", True)
