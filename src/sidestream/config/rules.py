"""What must hold between values, wherever they come from: a file, the API, the console.

A rule is a pure function from a value of the model to findings, with paths from that value (the rules of
certificates look at the file they name). Its row here says which attributes it looks at, so that it is left
out where one of them could not be read, and its docstring is a line of `docs/configuration.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sidestream.config import integration_rules, node_rules, service_rules, tls_rules
from sidestream.config.denied import DENIED_NETWORKS, is_denied
from sidestream.config.integration_rules import denied_endpoint
from sidestream.config.model import (
    Account,
    Configuration,
    EndpointAuth,
    MediaStreamIntegration,
    Node,
    PeerTls,
    RecorderAuth,
    Registration,
    SiprecIntegration,
    Trunk,
    TrunkAuth,
    VoiceService,
)
from sidestream.config.numbering import E164, Rewrite
from sidestream.config.problems import Finding, KeyPath
from sidestream.config.shapes import shapes_of
from sidestream.config.signalling import Dns

__all__ = [
    "ADVICE",
    "DENIED_NETWORKS",
    "RULES",
    "Rule",
    "advise",
    "check",
    "check_all",
    "denied_endpoint",
    "is_denied",
]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        section: the class of the values that it is about.
        attributes: what it looks at.
        find: gives what is wrong.
    """

    section: type
    attributes: tuple[str, ...]
    find: Callable[[Any], Iterator[Finding]]


RULES: Final = (
    Rule(Node, ("sip", "tls"), tls_rules.listeners_have_a_certificate),
    Rule(Node, ("tls",), tls_rules.certificate_and_key_fit),
    Rule(Node, ("sip", "api"), node_rules.listeners_stand_once),
    Rule(Node, ("sip", "media"), node_rules.media_ports_are_free),
    Rule(Node, ("media", "limits"), node_rules.media_ports_carry_a_call),
    Rule(Node, ("sip", "media", "advertise"), node_rules.addresses_can_be_told),
    Rule(Node, ("media", "advertise"), node_rules.addresses_are_of_one_family),
    Rule(Dns, ("ttl_min", "ttl_max"), node_rules.dns_times_fit),
    Rule(Rewrite, ("match", "replace"), service_rules.replacements_name_groups),
    Rule(E164, ("national_prefix", "international_prefix"), service_rules.prefixes_differ),
    Rule(TrunkAuth, ("any_source", "require_auth"), service_rules.any_source_is_authenticated),
    Rule(TrunkAuth, ("algorithms",), service_rules.algorithms_stand_once),
    Rule(Registration, ("aor",), service_rules.registrations_have_a_user),
    Rule(Trunk, ("register", "peers"), service_rules.registrations_lead_somewhere),
    Rule(PeerTls, ("ca",), tls_rules.authorities_are_readable),
    Rule(PeerTls, ("names",), tls_rules.names_are_whole),
    Rule(Trunk, ("peers", "tls"), tls_rules.tls_settings_are_used),
    Rule(Trunk, ("codecs",), service_rules.codecs_are_known),
    Rule(Trunk, ("session_expires", "min_se"), service_rules.intervals_fit),
    Rule(VoiceService, ("kind", "integrations"), service_rules.recordings_fit_the_kind),
    Rule(VoiceService, ("trunk", "integrations"), service_rules.streams_have_a_trunk),
    Rule(EndpointAuth, ("hmac", "oauth2", "client_certificate"), integration_rules.auth_is_available),
    Rule(MediaStreamIntegration, ("urls", "allow_insecure"), integration_rules.urls_are_secure),
    Rule(MediaStreamIntegration, ("urls",), integration_rules.urls_stand_once),
    Rule(MediaStreamIntegration, ("encoding",), integration_rules.encoding_is_available),
    Rule(MediaStreamIntegration, ("encoding", "sample_rate"), integration_rules.rate_fits_the_encoding),
    Rule(MediaStreamIntegration, ("frame",), integration_rules.frame_is_whole),
    Rule(MediaStreamIntegration, ("auth", "headers"), integration_rules.headers_are_free),
    Rule(MediaStreamIntegration, ("ca",), integration_rules.certificates_are_readable),
    Rule(SiprecIntegration, ("servers", "tls"), tls_rules.server_settings_are_used),
    Rule(SiprecIntegration, ("servers",), integration_rules.servers_stand_once),
    Rule(SiprecIntegration, ("policy", "on_loss"), integration_rules.losses_are_of_mandatory_recordings),
    Rule(SiprecIntegration, ("x_headers",), integration_rules.x_headers_are_lawful),
    Rule(Account, ("voice_services",), service_rules.service_names_are_unique),
    Rule(Account, ("voice_services",), service_rules.integration_names_are_unique),
    Rule(Account, ("voice_services",), service_rules.one_voice_gateway),
    Rule(Account, ("subscriptions", "voice_services"), service_rules.integrations_are_subscribed),
    Rule(Account, ("voice_services", "routes"), service_rules.routes_lead_somewhere),
    Rule(Configuration, ("accounts",), service_rules.account_names_are_unique),
    Rule(Configuration, ("accounts",), service_rules.sources_are_unambiguous),
    Rule(Configuration, ("node", "accounts"), service_rules.users_are_unambiguous),
    Rule(Configuration, ("node", "accounts"), service_rules.registrars_can_reach_us),
    Rule(Configuration, ("node", "accounts"), service_rules.strangers_who_may_call_are_heard),
    Rule(Configuration, ("node", "accounts"), integration_rules.endpoints_are_allowed),
    Rule(Configuration, ("node", "accounts"), integration_rules.recorders_can_reach_us),
    Rule(Configuration, ("node", "accounts"), tls_rules.peers_can_reach_us),
    Rule(Configuration, ("accounts",), tls_rules.settings_agree),
)
"""What a configuration is refused for."""

ADVICE: Final = (
    Rule(Node, ("media", "limits"), node_rules.media_ports_carry_the_limit),
    Rule(Node, ("sip", "media"), node_rules.listeners_share_the_media_family),
    Rule(Node, ("tls",), tls_rules.certificate_is_valid),
    Rule(PeerTls, ("ca",), tls_rules.authorities_are_valid),
    Rule(PeerTls, ("verify",), tls_rules.verification_is_meant),
    Rule(Configuration, ("node", "accounts"), integration_rules.media_ports_carry_recordings),
    Rule(Account, ("routes",), service_rules.later_routes_are_reached),
    Rule(Account, ("voice_services",), service_rules.recordings_carry_keys_safely),
    Rule(Trunk, ("peers", "srtp"), service_rules.keys_are_carried_safely),
    Rule(EndpointAuth, ("bearer", "basic", "headers"), integration_rules.secrets_are_elsewhere),
    Rule(TrunkAuth, ("password",), service_rules.passwords_are_elsewhere),
    Rule(RecorderAuth, ("password",), service_rules.passwords_are_elsewhere),
    Rule(MediaStreamIntegration, ("ca",), integration_rules.certificates_are_there),
    Rule(MediaStreamIntegration, ("urls", "allow_insecure"), integration_rules.insecure_is_meant),
)
"""What is allowed and probably not meant."""


def check(value: object, unread: frozenset[str] = frozenset()) -> Iterator[Finding]:
    """Apply every rule about one value, but not those about the values inside it.

    Args:
        value: a value of the model.
        unread: attributes that could not be read, about which nothing more is to be said.
    """
    yield from _apply(RULES, value, unread)


def check_all(configuration: Configuration) -> Iterator[Finding]:
    """Apply every rule to a configuration and all that is in it."""
    yield from _walk(RULES, configuration, ())


def advise(configuration: Configuration) -> Iterator[Finding]:
    """Tell what is allowed in a configuration and probably not meant."""
    yield from _walk(ADVICE, configuration, ())


def _apply(rules: tuple[Rule, ...], value: object, unread: frozenset[str]) -> Iterator[Finding]:
    for rule in rules:
        if rule.section is type(value) and unread.isdisjoint(rule.attributes):
            yield from rule.find(value)


def _walk(rules: tuple[Rule, ...], value: object, path: KeyPath) -> Iterator[Finding]:
    section: type = type(value)
    for finding in _apply(rules, value, frozenset()):
        yield Finding((*path, *finding.path), finding.message, finding.remedy, finding.at_key)
    for shape in shapes_of(section):
        inner = getattr(value, shape.attribute)
        if not shape.sections or inner is None:
            continue
        if isinstance(inner, tuple):
            for index, item in enumerate(inner):
                yield from _walk(rules, item, (*path, shape.name, index))
        else:
            yield from _walk(rules, inner, (*path, shape.name))
