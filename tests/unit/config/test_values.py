from ipaddress import ip_address

import pytest

from sidestream.config.values import ApiListener, PortRange, Secret, SipListener, milliseconds


@pytest.mark.parametrize(
    ("first", "last", "pairs"),
    [
        (20000, 29999, 5000),
        (20000, 20001, 1),
        (20001, 20002, 0),
        (20000, 20000, 0),
        (20001, 20004, 1),
        (20000, 20002, 1),
    ],
)
def test_a_pair_is_an_even_port_and_the_odd_one_above(first: int, last: int, pairs: int) -> None:
    assert PortRange(first, last).pairs == pairs
    counted = sum(1 for port in range(first, last) if port % 2 == 0)
    assert pairs == counted


def test_a_secret_is_never_shown() -> None:
    secret = Secret("t0ken", "env TOKEN")
    assert secret.reveal() == "t0ken"
    shown = f"{secret} {secret!r} {[secret]} {secret!s:>10}"
    assert "t0ken" not in shown
    assert "env TOKEN" in shown


def test_listeners_are_written_as_they_are_read() -> None:
    assert str(SipListener("udp", ip_address("::1"), 5060)) == "udp://[::1]:5060"
    assert str(ApiListener(ip_address("127.0.0.1"), 80)) == "http://127.0.0.1:80"


def test_durations_become_whole_milliseconds() -> None:
    assert [milliseconds(each) for each in (0.02, 0.0601, 10.0, 0)] == [20, 60, 10_000, 0]
