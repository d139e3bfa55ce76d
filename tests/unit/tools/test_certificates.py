"""The certificates that the endpoint makes for itself."""

import ssl
from pathlib import Path

from sidestream.tools.certificates import ensure_certificates


def test_they_are_made_once_and_kept(tmp_path: Path) -> None:
    first = ensure_certificates(tmp_path / "tls")
    before = first.ca.read_bytes()
    assert ensure_certificates(tmp_path / "tls").ca.read_bytes() == before


def test_another_name_or_a_spoiled_file_makes_them_anew(tmp_path: Path) -> None:
    first = ensure_certificates(tmp_path).ca.read_bytes()
    second = ensure_certificates(tmp_path, ("localhost", "endpoint.example")).ca.read_bytes()
    (tmp_path / "key.pem").write_text("spoiled")
    third = ensure_certificates(tmp_path, ("localhost", "endpoint.example")).ca.read_bytes()
    assert len({first, second, third}) == 3


def test_the_key_is_the_owners_alone(tmp_path: Path) -> None:
    assert ensure_certificates(tmp_path).key.stat().st_mode & 0o077 == 0


def test_the_authority_vouches_for_the_server_and_tls_1_2_is_the_floor(tmp_path: Path) -> None:
    files = ensure_certificates(tmp_path)
    client = ssl.create_default_context(cafile=str(files.ca))
    server = files.server_context()
    assert server.minimum_version is ssl.TLSVersion.TLSv1_2
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    other = server.wrap_bio(outgoing, incoming, server_side=True)
    for _ in range(4):
        for side in (one, other):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert one.version() in {"TLSv1.2", "TLSv1.3"}
    assert one.getpeercert() is not None
