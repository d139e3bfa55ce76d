from ipaddress import ip_address, ip_network

import pytest

from sidestream.config.denied import is_denied


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "169.254.0.1", "fe80::1", "fd00:ec2::254", "100.100.100.200", "168.63.129.16"),
        *("::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1"),
    ],
)
def test_link_local_and_metadata_addresses_are_denied_in_every_disguise(address: str) -> None:
    assert is_denied(ip_address(address))


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "192.0.2.1", "10.0.0.1", "::1", "2001:db8::1", "169.253.0.1"]
)
def test_others_are_not(address: str) -> None:
    assert not is_denied(ip_address(address))


def test_a_list_of_ones_own_takes_the_place_of_the_default() -> None:
    own = (ip_network("10.0.0.0/8"),)
    assert is_denied(ip_address("10.1.2.3"), own)
    assert not is_denied(ip_address("169.254.169.254"), own)
    assert not is_denied(ip_address("169.254.169.254"), ())
