"""The machine's own names."""

import os
from pathlib import Path

from sidestream.gateway.hosts_file import LOOK_S, HostsFile


class Times:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 50.0

    def monotonic(self) -> float:
        return self.now


def test_names_and_aliases_of_both_families_are_read(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text(
        "127.0.0.1 localhost # here\n::1 LocalHost ip6-localhost\n# 192.0.2.9 no\n\nnonsense x\n"
        "fe80::1%eth0 link\n"
        "192.0.2.1 sbc.example.com. sbc\n192.0.2.1 sbc\n"
    )
    hosts = HostsFile(path, Times().monotonic)
    assert hosts.addresses("localhost") == ["127.0.0.1", "::1"]
    assert hosts.addresses("sbc") == ["192.0.2.1"]
    assert hosts.addresses("sbc.example.com") == ["192.0.2.1"]
    assert hosts.addresses("link") == ["fe80::1"]
    assert hosts.addresses("no") is None
    assert hosts.addresses("x") is None


def test_a_changed_file_is_read_again_and_not_looked_at_each_time(tmp_path: Path) -> None:
    path, times = tmp_path / "hosts", Times()
    hosts = HostsFile(path, times.monotonic)
    assert hosts.addresses("sbc") is None
    path.write_text("192.0.2.1 sbc\n")
    assert hosts.addresses("sbc") is None
    times.now += LOOK_S
    assert hosts.addresses("sbc") == ["192.0.2.1"]
    path.write_text("192.0.2.2 sbc\n")
    os.utime(path, ns=(1, 1))
    times.now += LOOK_S
    assert hosts.addresses("sbc") == ["192.0.2.2"]
    path.unlink()
    times.now += LOOK_S
    assert hosts.addresses("sbc") is None


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_bytes(b"\xff\xfe\x00 \x80\n192.0.2.1 sbc\n")
    assert HostsFile(path, Times().monotonic).addresses("sbc") == ["192.0.2.1"]
