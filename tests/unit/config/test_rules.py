"""Each rule by what it refuses and what it lets pass; the same rules hold for values made without a file."""

import inspect
from dataclasses import replace

import pytest

from sidestream.config import ConfigError, integration_rules, node_rules, service_rules, tls_rules
from sidestream.config.model import Configuration, MediaStreamIntegration
from sidestream.config.rules import ADVICE, RULES, Rule, advise, check_all, denied_endpoint
from sidestream.config.shapes import shapes_of
from sidestream.config.values import Encoding
from unit.config.example import TEXT, changed, parse_text

DESK = "accounts[0].voice_services[1]"
LIVE = f"{DESK}.integrations[0]"


def problems_of(*changes: tuple[str, str]) -> list[tuple[str, str]]:
    try:
        parse_text(changed(*changes))
    except ConfigError as error:
        return [(problem.key, problem.message) for problem in error.problems]
    return []


REFUSED: list[tuple[str, str, str]] = [
    # what is written, in place of what, the key that is refused
    ("tcp://127.0.0.1:5060]", "udp://127.0.0.1:5060]", "node.sip[1]"),
    ("tcp://127.0.0.1:5060]", "tcp://127.0.0.1:5060]\n  api: http://127.0.0.1:5060", "node.api"),
    ("tcp://127.0.0.1:5060]", "udp://127.0.0.1:20998]", "node.sip[1]"),
    ("ports: 20000-20999", "ports: 20000-20002", "node.media.ports"),
    ("media: {address: 127.0.0.1,", "media: {address: '::',", "node.media.address"),
    ("  limits:", "  advertise: 0.0.0.0\n  limits:", "node.advertise"),
    ("  limits:", "  advertise: 2001:db8::1\n  limits:", "node.advertise"),
    (
        "kind: carrier",
        "kind: carrier\n        integrations: []\n        trunk2: {}",
        "accounts[0].voice_services[0].trunk2",
    ),
    ("match: [192.0.2.0/24]", "codecs: [PCMU, pcmu]", "accounts[0].voice_services[0].trunk.codecs[1]"),
    ("match: [192.0.2.0/24]", "codecs: [CN, telephone-event]", "accounts[0].voice_services[0].trunk.codecs"),
    ("198.51.100.1:5090", "192.0.2.2", f"{DESK}.trunk.peers[0].uri"),
    ("to: desk}", "to: nobody}", "accounts[0].routes[0].to"),
    ("from: carrier", "from: nobody", "accounts[0].routes[0].from"),
    ('{peers: [{uri: "sip:198.51.100.1:5090"}]}', "{}", "accounts[0].routes[0].to"),
    ("            type: media", "            encoding: G722\n            type: media", f"{LIVE}.encoding"),
    (
        "            type: media",
        "            encoding: PCMU\n            sample_rate: 16000\n            type: media",
        f"{LIVE}.sample_rate",
    ),
    ("            type: media", "            frame: 20.5ms\n            type: media", f"{LIVE}.frame"),
    (
        "            type: media",
        "            headers: {authorization: x}\n            type: media",
        f"{LIVE}.headers.authorization",
    ),
    (
        "            type: media",
        "            headers: {X-A: a, x-a: b}\n            type: media",
        f"{LIVE}.headers.x-a",
    ),
    (
        "            type: media",
        "            headers: {Sidestream-Call-Id: x}\n            type: media",
        f"{LIVE}.headers.Sidestream-Call-Id",
    ),
    ("            type: media", "            ca: /\n            type: media", f"{LIVE}.ca"),
    ("wss://127.0.0.1:8443/calls", "[wss://a.example/, wss://a.example/]", f"{LIVE}.url[1]"),
    ("wss://127.0.0.1:8443/calls", "'wss://[::ffff:169.254.169.254]/'", f"{LIVE}.url"),
    ("  limits:", "  deny_endpoints: [127.0.0.0/8]\n  limits:", f"{LIVE}.url"),
]


@pytest.mark.parametrize(("old", "new", "key"), REFUSED)
def test_what_is_refused(old: str, new: str, key: str) -> None:
    assert [found for found, _ in problems_of((old, new))] == [key]


TAKEN: list[tuple[str, str]] = [
    ("tcp://127.0.0.1:5060]", "udp://127.0.0.2:5060]"),
    ("tcp://127.0.0.1:5060]", "tcp://127.0.0.1:5060]\n  api: http://127.0.0.1:8080"),
    ("tcp://127.0.0.1:5060]", "tcp://127.0.0.1:20998]"),
    ("ports: 20000-20999", "ports: 20000-20003"),
    ("udp://127.0.0.1:5060, tcp://127.0.0.1:5060]", "udp://0.0.0.0:5060]\n  advertise: 192.0.2.9"),
    ("198.51.100.1:5090", "192.0.2.2:5090"),
    ("  limits:", "  deny_endpoints: []\n  limits:"),
    ("wss://127.0.0.1:8443/calls", "ws://127.0.0.1:8443/calls\n            allow_insecure: true"),
    (
        "            type: media",
        "            encoding: L16\n            sample_rate: 24000\n            type: media",
    ),
    ("            type: media", "            encoding: PCMA\n            type: media"),
    ("            type: media", "            flush: 0ms\n            type: media"),
]


@pytest.mark.parametrize(("old", "new"), TAKEN)
def test_what_is_taken(old: str, new: str) -> None:
    assert problems_of((old, new)) == []


SECOND = """\
        integrations:
          - name: live
            type: media_stream
            url: wss://127.0.0.1:8443/calls
            auth: {bearer: {env: TOKEN}}
"""


def test_the_same_integration_may_stand_on_both_services() -> None:
    both = ("        kind: carrier\n", f"        kind: carrier\n{SECOND}")
    assert problems_of(both) == []
    other = (both[0], both[1].replace("/calls", "/other"))
    ((key, message),) = problems_of(other)
    assert key == f"{LIVE}.name"
    assert "with other settings" in message


def test_an_account_has_one_voice_gateway() -> None:
    ((key, _),) = problems_of(
        ("kind: carrier", "kind: voice_gateway"), ("kind: contact_center", "kind: voice_gateway")
    )
    assert key == f"{DESK}.kind"


def test_two_accounts_have_two_names_and_their_own_addresses() -> None:
    account = TEXT[TEXT.index("  - name: acme") :]
    with pytest.raises(ConfigError) as raised:
        parse_text(TEXT + account)
    found = {problem.key for problem in raised.value.problems}
    assert {"accounts[1].name", "accounts[1].voice_services[0].trunk.match[0]"} <= found
    apart = (
        account.replace("acme", "other")
        .replace("192.0.2.", "203.0.113.")
        .replace("198.51.100.1", "198.51.100.2")
    )
    assert len(parse_text(TEXT + apart).accounts) == 2


SIPREC = """\
        integrations:
          - name: compliance
            type: siprec
            servers: [{uri: "sip:127.0.0.1:5070"}]
            x_headers: {X-A: "{call.id}"}
"""


@pytest.mark.parametrize("kind", ["carrier", "voice_gateway"])
def test_recordings_are_refused_by_kind(kind: str) -> None:
    refused = problems_of(("        kind: carrier\n", f"        kind: {kind}\n{SIPREC}"))
    assert refused == [
        (
            "accounts[0].voice_services[0].integrations[0].type",
            f"a siprec integration is refused on a service of kind {kind}",
        )
    ]


@pytest.mark.parametrize(
    ("written", "instead_of", "key"),
    [
        ("sip:127.0.0.1:5070;transport=tls", "sip:127.0.0.1:5070", ".servers[0].uri"),
        ("sips:127.0.0.1:5070", "sip:127.0.0.1:5070", ".servers[0].uri"),
        ('"}, {uri: "sip:127.0.0.1:5070"}]', '"}]', ".servers[1].uri"),
        ("on_loss: hang_up\n            servers", "servers", ".on_loss"),
        ("copies: 4\n            servers", "servers", ".copies"),
        ("early: 6s\n            servers", "servers", ".early"),
        ("stop_codes: [200]\n            servers", "servers", ".stop_codes[0]"),
    ],
)
def test_recordings_are_refused_by_what_is_not_possible(written: str, instead_of: str, key: str) -> None:
    siprec = SIPREC.replace(instead_of, written, 1)
    found = problems_of(("        integrations:\n", siprec), ("sip: [", "sip: [tcp://127.0.0.1:5061, "))
    assert [place for place, _ in found] == [f"{LIVE}{key}"]


def test_a_recorder_is_reached_by_what_is_listened_on_and_by_tcp_unless_it_says_else() -> None:
    listeners = ("sip: [udp://127.0.0.1:5060, tcp://127.0.0.1:5060]", "sip: [udp://127.0.0.1:5060]")
    by_default = problems_of(("        integrations:\n", SIPREC), (listeners[0], listeners[1]))
    assert by_default == [
        (f"{LIVE}.servers[0].uri", "this server is reached by tcp, which the gateway does not listen on")
    ]
    by_udp = SIPREC.replace("5070", "5070;transport=udp")
    assert problems_of(("        integrations:\n", by_udp), (listeners[0], listeners[1])) == []


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ("{A: a}", ".A"),
        ("{X-: a}", ".X-"),
        ("{X-a_b: a}", ".X-a_b"),
        (f"{{X-{'a' * 61}: a}}", f".X-{'a' * 61}"),
        ('{X-A: "a\\r\\nB: c"}', ".X-A"),
        (f"{{X-A: {'a' * 257}}}", ".X-A"),
        ("{X-1: a, X-2: a, X-3: a, X-4: a, X-5: a, X-6: a}", ""),
    ],
)
def test_x_headers_are_few_short_and_named_x(headers: str, key: str) -> None:
    siprec = SIPREC.replace('{X-A: "{call.id}"}', headers)
    on_desk = changed(
        ("        integrations:\n", siprec), ("          - name: live\n", "          - name: live\n")
    )
    on_desk = on_desk.replace("kind: contact_center", "kind: unified_communications")
    with pytest.raises(ConfigError) as raised:
        parse_text(on_desk)
    assert f"{LIVE}.x_headers{key}" in [problem.key for problem in raised.value.problems]


def test_rules_hold_for_values_that_came_from_no_file() -> None:
    configuration = parse_text(TEXT)
    assert list(check_all(configuration)) == []
    wrong = _with_live(configuration, encoding=Encoding.OPUS, urls=("ws://a.example/",))
    found = {(finding.path, finding.message) for finding in check_all(wrong)}
    where = ("accounts", 0, "voice_services", 1, "integrations", 0)
    assert found == {
        ((*where, "encoding"), "encoding OPUS is not available in this version"),
        ((*where, "url", 0), "ws:// would send audio and credentials in the clear"),
    }


def _with_live(configuration: Configuration, *, encoding: Encoding, urls: tuple[str, ...]) -> Configuration:
    account = configuration.accounts[0]
    carrier, desk = account.voice_services
    live = desk.integrations[0]
    assert isinstance(live, MediaStreamIntegration)
    changed_desk = replace(desk, integrations=(replace(live, encoding=encoding, urls=urls),))
    return replace(configuration, accounts=(replace(account, voice_services=(carrier, changed_desk)),))


def test_advice_is_given_and_refuses_nothing() -> None:
    text = changed(
        (
            "{bearer: {env: TOKEN}}",
            "{bearer: plain}\n            ca: missing.pem\n            allow_insecure: true",
        ),
        (
            "{from: carrier, to: desk}",
            "{from: carrier, to: desk}\n      - {from: carrier, to: desk, match: '^1'}",
        ),
    )
    text = text.replace("max_calls: 100}", "max_calls: 251}")
    paths = [finding.path[-1] for finding in advise(parse_text(text))]
    assert sorted(map(str, paths)) == ["allow_insecure", "bearer", "ca", "from", "ports"]
    assert list(advise(parse_text(changed(("max_calls: 100}", "max_calls: 250}"))))) == []


def test_an_address_is_denied_by_the_list_that_is_given() -> None:
    assert [finding.path for finding in denied_endpoint("wss://169.254.169.254/", path=("url",))] == [
        ("url",)
    ]
    assert list(denied_endpoint("wss://metadata.example/")) == []


@pytest.mark.parametrize("rule", [*RULES, *ADVICE], ids=lambda rule: str(rule.find.__name__))
def test_each_rule_names_attributes_that_are_there_and_says_what_it_is(rule: Rule) -> None:
    assert set(rule.attributes) <= {shape.attribute for shape in shapes_of(rule.section)}
    assert inspect.getdoc(rule.find)


def test_each_rule_stands_in_the_table() -> None:
    listed = {rule.find for rule in (*RULES, *ADVICE)}
    for module in (integration_rules, node_rules, service_rules, tls_rules):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if (
                function.__module__ == module.__name__
                and not name.startswith("_")
                and name != "denied_endpoint"
            ):
                assert function in listed, name


def test_ports_that_do_not_carry_the_recordings_are_advised_of() -> None:
    two = SIPREC.replace("            type: siprec", "            type: siprec\n            copies: 2")
    text = changed(("        integrations:\n", two))
    enough = text.replace("20000-20999", "20000-20599").replace("max_calls: 100", "max_calls: 50")
    assert [finding.path for finding in advise(parse_text(enough))] == []
    scarce = text.replace("20000-20999", "20000-20400").replace("max_calls: 100", "max_calls: 50")
    (advice,) = advise(parse_text(scarce))
    assert (advice.path, advice.remedy) == (("node", "media", "ports"), "Widen the range to 600 ports")


def test_keys_that_travel_in_clear_sip_are_advised_of() -> None:
    def advised(text: str) -> list[str]:
        return [finding.message for finding in advise(parse_text(text))]

    secure = ("match: [192.0.2.0/24]", "srtp: optional\n          match: [192.0.2.0/24]")
    (trunk,) = advised(changed(secure))
    assert trunk.startswith("keys travel in clear SIP to sip:")
    recorded = changed(secure, ("        integrations:\n", SIPREC))
    assert [message.partition(" in ")[0] for message in advised(recorded)] == [
        "keys of recordings travel",
        "keys travel",
    ]
    for setting, expected in (("off", 0), ("call", 0), ("required", 1)):
        integration = SIPREC.replace(
            "            type: siprec", f"            type: siprec\n            srtp: {setting}"
        )
        assert len(advised(changed(("        integrations:\n", integration)))) == expected


def test_a_listener_of_another_family_than_the_media_is_advised_of() -> None:
    text = changed(("tcp://127.0.0.1:5060]", '"udp://[::1]:5060"]'))
    (advice,) = advise(parse_text(text))
    assert advice.path == ("node", "sip", 1)
    assert "IPv6" in advice.message
