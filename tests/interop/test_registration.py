"""Trunks that register: at Kamailio, which also asks for credentials of calls, and at a registrar of SIPp."""

from pathlib import Path

import pytest

from interop.harness import (
    CARRIER_HOST,
    DESK_HOST,
    Gateway,
    Load,
    Setup,
    gateway,
    needs_sipp,
    new_records,
    sip_port,
    sipp,
    verdict_of,
)
from interop.kamailio import kamailio, needs_kamailio

pytestmark = [pytest.mark.interop, needs_sipp]

PROVIDER_HOST = "127.0.0.5"
KEYS = """\
          auth: {{username: desk, password: {password}, realm: provider.test}}
          register: {{aor: "sip:desk@provider.test", registrars: "sip:{host}:{port};transport=udp"{more}}}
"""


def keys(port: int, *, password: str = "secret", more: str = "") -> str:  # noqa: S107 - of a test
    return KEYS.format(host=PROVIDER_HOST, port=port, password=password, more=more)


def up(site: Gateway) -> float:
    found = [
        value for name, value in site.metrics().items() if name.startswith("sidestream_registration_up{")
    ]
    return found[0]


@needs_kamailio
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_kamailio_registers_us_and_takes_our_calls(tmp_path: Path, algorithm: str) -> None:
    provider, callee = sip_port(PROVIDER_HOST), sip_port(DESK_HOST)
    peer = f'{{uri: "sip:{PROVIDER_HOST}:{provider};transport=udp"}}'
    setup = Setup(peers=peer, trunk=keys(provider))
    with (
        kamailio(tmp_path, (PROVIDER_HOST, provider), (DESK_HOST, callee), algorithm=algorithm) as proxy,
        gateway(tmp_path, setup) as site,
        new_records(site) as records,
    ):
        proxy.wait_for("REGISTERED desk")
        with (
            sipp("basic_callee", tmp_path, (DESK_HOST, callee), load=Load(calls=2)) as called,
            sipp(
                "basic_caller", tmp_path, (CARRIER_HOST, site.carrier), site.sip, Load(calls=2, rate=2)
            ) as calling,
        ):
            calling.finish(60)
            called.finish(10)
        assert up(site) == 1
        log = proxy.log()
    assert [verdict_of(record) for record in records] == ["caller-hung-up"] * 2
    assert log.count("INVITED desk") == 2
    proxy_end = proxy.log()
    assert proxy_end.count("REGISTERED desk") == 2, "registered, and taken back at the end"


@needs_kamailio
def test_a_wrong_password_is_told_and_not_tried_on_and_on(tmp_path: Path) -> None:
    provider, callee = sip_port(PROVIDER_HOST), sip_port(DESK_HOST)
    setup = Setup(trunk=keys(provider, password="sesame"))
    with (
        kamailio(tmp_path, (PROVIDER_HOST, provider), (DESK_HOST, callee)) as proxy,
        gateway(tmp_path, setup) as site,
    ):
        site.wait_for_log("credentials-rejected")
        assert up(site) == 0
        assert "REGISTERED" not in proxy.log()
        assert "sesame" not in site.log()


def test_sipp_as_a_registrar_asks_wants_a_longer_life_and_is_told_of_the_end(tmp_path: Path) -> None:
    provider = sip_port(PROVIDER_HOST)
    setup = Setup(trunk=keys(provider, more=", expires: 60s"))
    with sipp("registrar", tmp_path, (PROVIDER_HOST, provider), load=Load(trace=True)) as registrar:
        with gateway(tmp_path, setup) as site:
            site.wait_for_log("trunk registered")
            assert up(site) == 1
        registrar.finish(15)
    requests = registrar.received("REGISTER", "REGISTER")
    assert [each.header("Expires") for each in requests] == ["60", "60", "120", "0"]
    assert len({each.header("Call-ID") for each in requests}) == 1
    assert [each.header("CSeq") for each in requests] == [f"{number} REGISTER" for number in (1, 2, 3, 4)]


def test_gin_registers_all_numbers_at_once(tmp_path: Path) -> None:
    provider = sip_port(PROVIDER_HOST)
    setup = Setup(trunk=keys(provider, more=", expires: 60s, gin: true"))
    with sipp("registrar", tmp_path, (PROVIDER_HOST, provider), load=Load(trace=True)) as registrar:
        with gateway(tmp_path, setup) as site:
            site.wait_for_log("trunk registered")
        registrar.finish(15)
    (first, *_) = registrar.received("REGISTER", "REGISTER")
    assert first.header("Require") == first.header("Proxy-Require") == "gin"
    assert ";bnc>" in first.header("Contact")
