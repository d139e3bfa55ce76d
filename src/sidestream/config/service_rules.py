"""What must hold for accounts, voice services, trunks and routes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Final

from sidestream.config.model import (
    Account,
    Configuration,
    RecorderAuth,
    Registration,
    SiprecIntegration,
    Trunk,
    TrunkAuth,
    VoiceService,
)
from sidestream.config.numbering import E164, Rewrite
from sidestream.config.problems import Finding, KeyPath
from sidestream.config.signalling import UnknownSources
from sidestream.config.values import (
    DigestAlgorithm,
    PeerUri,
    RecordingSrtp,
    Srtp,
    Subscription,
    VoiceServiceKind,
)

RELAYED_CODECS: Final = (
    *("PCMU", "PCMA", "G722", "opus", "GSM", "G723", "G728", "G729", "iLBC", "speex", "AMR", "AMR-WB"),
    *("L16", "CN", "telephone-event"),
)
"""Every codec that a trunk may list."""
_FOLLOWERS: Final = frozenset({"TELEPHONE-EVENT", "CN"})


def _doubled(names: Iterable[str], path: KeyPath, what: str, key: str = "name") -> Iterator[Finding]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            yield Finding((*path, index, key), f"{what} {name!r} stands here twice", "Choose another name")
        seen.add(name)


def account_names_are_unique(configuration: Configuration) -> Iterator[Finding]:
    """No two accounts have one name."""
    yield from _doubled((each.name for each in configuration.accounts), ("accounts",), "the account")


def service_names_are_unique(account: Account) -> Iterator[Finding]:
    """No two voice services of an account have one name."""
    names = (each.name for each in account.voice_services)
    yield from _doubled(names, ("voice_services",), "the voice service")


def integration_names_are_unique(account: Account) -> Iterator[Finding]:
    """A name stands for one integration in its account.

    The same integration may stand on several voice services with the same settings; a call uses it once.
    """
    known: dict[str, object] = {}
    for place, service in enumerate(account.voice_services):
        path: KeyPath = ("voice_services", place, "integrations")
        yield from _doubled((each.name for each in service.integrations), path, "the integration")
        for index, integration in enumerate(service.integrations):
            if known.setdefault(integration.name, integration) != integration:
                message = f"another voice service has an integration {integration.name!r} with other settings"
                remedy = "Choose another name, or give both the same settings"
                yield Finding((*path, index, "name"), message, remedy)
        known.update({each.name: each for each in service.integrations if each.name not in known})


def one_voice_gateway(account: Account) -> Iterator[Finding]:
    """An account has one voice gateway at most."""
    found = [
        i for i, each in enumerate(account.voice_services) if each.kind is VoiceServiceKind.VOICE_GATEWAY
    ]
    for index in found[1:]:
        first = account.voice_services[found[0]].name
        message = f"the account has a voice gateway already: {first!r}"
        yield Finding(("voice_services", index, "kind"), message, "Keep one service of kind voice_gateway")


def integrations_are_subscribed(account: Account) -> Iterator[Finding]:
    """Integrations want the subscription `voice-integration`."""
    if Subscription.VOICE_INTEGRATION in account.subscriptions:
        return
    for index, service in enumerate(account.voice_services):
        if service.integrations:
            message = f"the account {account.name!r} has no subscription to voice-integration"
            remedy = "Add subscriptions: [voice-integration] to the account, or remove the integrations"
            yield Finding(("voice_services", index, "integrations"), message, remedy)


def routes_lead_somewhere(account: Account) -> Iterator[Finding]:
    """Both ends of a route are voice services with a trunk, and its target has a peer."""
    for index, route in enumerate(account.routes):
        for key, name in (("from", route.source), ("to", route.target)):
            yield from _route_end(account, ("routes", index, key), name)


def _route_end(account: Account, path: KeyPath, name: str) -> Iterator[Finding]:
    service = account.service(name)
    if service is None:
        names = ", ".join(each.name for each in account.voice_services) or "none yet"
        message = f"the account has no voice service {name!r}"
        yield Finding(path, message, f"Name one of its voice services: {names}")
    elif service.trunk is None:
        yield Finding(
            path, f"the voice service {name!r} has no trunk", "Give it a trunk, or remove the route"
        )
    elif path[-1] == "to" and not service.trunk.peers:
        message = f"the trunk of {name!r} has no peer to send calls to"
        yield Finding(path, message, "Add peers: to the trunk, or remove the route")


def later_routes_are_reached(account: Account) -> Iterator[Finding]:
    """Advice: a route behind one that takes every number is never used."""
    taken: dict[str, int] = {}
    for index, route in enumerate(account.routes):
        if route.source in taken:
            first = f"routes[{taken[route.source]}]"
            message = f"this route is never used: {first} takes every call from {route.source!r}"
            yield Finding(("routes", index, "from"), message, "Put it before that one, or remove it")
        elif route.match is None:
            taken[route.source] = index


def sources_are_unambiguous(configuration: Configuration) -> Iterator[Finding]:
    """No address is matched by two trunks equally well."""
    owners: dict[object, tuple[int, int]] = {}
    for a, account in enumerate(configuration.accounts):
        for s, service in enumerate(account.voice_services):
            if service.trunk is None:
                continue
            path: KeyPath = ("accounts", a, "voice_services", s, "trunk")
            for claim, place in _claims(service.trunk):
                first = owners.setdefault(claim, (a, s))
                if first != (a, s):
                    holder = configuration.accounts[first[0]]
                    other = f"{holder.name}/{holder.voice_services[first[1]].name}"
                    message = f"{claim} belongs to the trunk of {other!r} already: calls would be ambiguous"
                    yield Finding(
                        (*path, *place), message, "Leave it to one trunk, or write a narrower network"
                    )


def _claims(trunk: Trunk) -> Iterator[tuple[object, KeyPath]]:
    for index, network in enumerate(trunk.match):
        yield network, ("match", index)
    for index, peer in enumerate(trunk.peers):
        yield _socket_of(peer.uri), ("peers", index, "uri")
    for index, uri in enumerate(trunk.register.registrars if trunk.register else ()):
        yield _socket_of(uri), ("register", "registrars", index)


def _socket_of(uri: PeerUri) -> str:
    try:
        host = str(ip_address(uri.host))
    except ValueError:
        host = uri.host.lower().rstrip(".")
    return f"{host} port {uri.port}"


def replacements_name_groups(rewrite: Rewrite) -> Iterator[Finding]:
    """A replacement names no group that its expression does not have."""
    named = max((int(each) for each in re.findall(r"\\([1-9])", rewrite.replace)), default=0)
    if named > rewrite.match.groups:
        message = f"\\{named} is a group that the expression does not have: it has {rewrite.match.groups}"
        yield Finding(
            ("replace",), message, "Put what is to be kept into ( ) in match, or name another group"
        )


def prefixes_differ(plan: E164) -> Iterator[Finding]:
    """The prefixes of a numbering plan differ, and the national one does not begin with the other."""
    if plan.national_prefix.startswith(plan.international_prefix):
        other = plan.international_prefix
        message = f"national numbers would be read as international ones, which begin with {other}"
        yield Finding(("national_prefix",), message, "Correct one of the prefixes")


def any_source_is_authenticated(auth: TrunkAuth) -> Iterator[Finding]:
    """`any_source` wants `require_auth`."""
    if auth.any_source and not auth.require_auth:
        message = "calls from anywhere would be taken without a password"
        yield Finding(("any_source",), message, "Write require_auth: true, or remove any_source")


def algorithms_stand_once(auth: TrunkAuth) -> Iterator[Finding]:
    """Each digest algorithm stands once."""
    for index, algorithm in enumerate(auth.algorithms):
        if algorithm in auth.algorithms[:index]:
            yield Finding(("algorithms", index), f"{algorithm} stands here twice", "Keep one of them")


def passwords_are_elsewhere(auth: TrunkAuth | RecorderAuth) -> Iterator[Finding]:
    """Advice: a SIP password that stands in the file is read by everyone who reads the file."""
    if auth.password.origin == "text":
        remedy = "Write {env: NAME} or {file: PATH} instead"
        yield Finding(("password",), "the secret stands in the file", remedy)


def users_are_unambiguous(configuration: Configuration) -> Iterator[Finding]:
    """No user name and realm stand for two trunks that calls are taken for from any source.

    Trunks that share such a realm offer the same algorithms, since a caller is asked before it is known.
    """
    owners: dict[tuple[str, str], str] = {}
    offers: dict[str, tuple[DigestAlgorithm, ...]] = {}
    for path, name, auth in _roaming(configuration):
        realm = configuration.node.realm_of(auth)
        other = owners.setdefault((auth.username, realm), name)
        if other != name:
            message = f"{auth.username!r} at {realm!r} is {other!r} already: calls would be ambiguous"
            yield Finding((*path, "username"), message, "Choose another user name or realm")
        if offers.setdefault(realm, auth.algorithms) != auth.algorithms:
            message = f"other trunks with any_source in the realm {realm!r} offer other algorithms"
            yield Finding((*path, "algorithms"), message, "Give both the same algorithms, or another realm")


def _roaming(configuration: Configuration) -> Iterator[tuple[KeyPath, str, TrunkAuth]]:
    """The credentials that calls are taken by from any source, with their place and trunk."""
    for a, account in enumerate(configuration.accounts):
        for s, service in enumerate(account.voice_services):
            auth = service.trunk.auth if service.trunk else None
            if auth is not None and auth.any_source:
                path: KeyPath = ("accounts", a, "voice_services", s, "trunk", "auth")
                yield path, f"{account.name}/{service.name}", auth


def registrations_lead_somewhere(trunk: Trunk) -> Iterator[Finding]:
    """A trunk that registers has a registrar or a peer, and registers no address of theirs twice."""
    registration = trunk.register
    if registration is None:
        return
    if not registration.registrars and not trunk.peers:
        message = "there is neither a registrar nor a peer to register at"
        yield Finding(("register",), message, "Add registrars: to it, or peers: to the trunk")
    seen: set[str] = set()
    for index, uri in enumerate(registration.registrars):
        if uri.text in seen:
            yield Finding(
                ("register", "registrars", index), "this registrar stands here twice", "Keep one of them"
            )
        seen.add(uri.text)


def registrations_have_a_user(registration: Registration) -> Iterator[Finding]:
    """An address of record names a user, and nothing beside user, host and port."""
    text = registration.aor.text
    if "@" not in text or ";" in text or not text.lower().startswith("sip:"):
        remedy = 'Write a user and a domain, such as "sip:desk@provider.example"'
        yield Finding(("aor",), f"{text[:80]!r} is no address of record", remedy)


def registrars_can_reach_us(configuration: Configuration) -> Iterator[Finding]:
    """The gateway listens on each transport that it registers by, so that calls can come that way."""
    listened = {listener.transport for listener in configuration.node.sip}
    for a, account in enumerate(configuration.accounts):
        for s, service in enumerate(account.voice_services):
            registration = service.trunk.register if service.trunk else None
            if service.trunk is None or registration is None:
                continue
            path: KeyPath = ("accounts", a, "voice_services", s, "trunk", "register")
            ways = (registration.proxy,) if registration.proxy else registration.registrars
            for uri in ways or tuple(peer.uri for peer in service.trunk.peers):
                if uri.transport not in listened:
                    message = (
                        f"{uri} is registered at by {uri.transport}, which the gateway does not listen on"
                    )
                    remedy = f"Add {uri.transport}://… to node.sip, or name another ;transport="
                    yield Finding(path, message, remedy)


def keys_are_carried_safely(trunk: Trunk) -> Iterator[Finding]:
    """SRTP keys are in the SIP messages: over UDP or TCP whoever reads those can hear the call."""
    clear = [peer.uri.text for peer in trunk.peers if peer.uri.transport != "tls"]
    if trunk.srtp is not Srtp.OFF and clear:
        remedy = "Reach the peer by TLS: sip:HOST;transport=tls"
        yield Finding(("srtp",), f"keys travel in clear SIP to {clear[0]}", remedy)


def recordings_carry_keys_safely(account: Account) -> Iterator[Finding]:
    """The same for the keys of recordings, where a call of the account may have SRTP."""
    trunks = [service.trunk for service in account.voice_services if service.trunk is not None]
    calls = any(trunk.srtp is not Srtp.OFF for trunk in trunks)
    for index, service in enumerate(account.voice_services):
        for place, integration in enumerate(service.integrations):
            if not isinstance(integration, SiprecIntegration):
                continue
            follows = integration.srtp is RecordingSrtp.CALL and calls
            clear = [each.uri.text for each in integration.servers if each.uri.transport != "tls"]
            if clear and (follows or integration.srtp is RecordingSrtp.REQUIRED):
                path = ("voice_services", index, "integrations", place, "servers")
                remedy = "Reach the server by TLS: sip:HOST;transport=tls"
                yield Finding(path, f"keys of recordings travel in clear SIP to {clear[0]}", remedy)


def codecs_are_known(trunk: Trunk) -> Iterator[Finding]:
    """Each codec is known and stands once, and one of them carries a voice."""
    known, seen = {each.upper() for each in RELAYED_CODECS}, set[str]()
    for index, name in enumerate(trunk.codecs):
        upper = name.upper()
        if upper not in known:
            remedy = f"Use some of {', '.join(RELAYED_CODECS)}"
            yield Finding(("codecs", index), f"{name!r} is no known codec", remedy)
        elif upper in seen:
            yield Finding(("codecs", index), f"{name} stands here twice", "Keep one of them")
        seen.add(upper)
    if seen <= _FOLLOWERS:
        yield Finding(("codecs",), "no codec in the list can carry a voice", "Add PCMU or PCMA")


def intervals_fit(trunk: Trunk) -> Iterator[Finding]:
    """A trunk's `session_expires` is not shorter than its `min_se`; both are whole seconds."""
    if trunk.session_expires < trunk.min_se:
        message = "the session interval is shorter than min_se, the shortest that this trunk takes"
        yield Finding(("session_expires",), message, "Lengthen session_expires, or shorten min_se")
    for key in ("session_expires", "min_se"):
        if getattr(trunk, key) % 1:
            yield Finding((key,), "a session interval is told in whole seconds", "Round it, such as 90s")


def recordings_fit_the_kind(service: VoiceService) -> Iterator[Finding]:
    """SIPREC is refused on carriers and voice gateways."""
    if service.kind not in {VoiceServiceKind.CARRIER, VoiceServiceKind.VOICE_GATEWAY}:
        return
    for index, integration in enumerate(service.integrations):
        if integration.TYPE == "siprec":
            message = f"a siprec integration is refused on a service of kind {service.kind.value}"
            remedy = "Put it on the contact centre or the unified communications service of the call"
            yield Finding(("integrations", index, "type"), message, remedy)


def streams_have_a_trunk(service: VoiceService) -> Iterator[Finding]:
    """A media stream wants a service with a SIP trunk."""
    if service.trunk is not None:
        return
    for index, integration in enumerate(service.integrations):
        if integration.TYPE == "media_stream":
            message = f"the voice service {service.name!r} has no SIP trunk, so there is no call to stream"
            yield Finding(("integrations", index, "type"), message, "Add trunk: to the service")


def strangers_who_may_call_are_heard(configuration: Configuration) -> Iterator[Finding]:
    """Where strangers are dropped, no trunk takes calls from any source."""
    if configuration.node.protection.unknown_sources is not UnknownSources.DROP:
        return
    for a, account in enumerate(configuration.accounts):
        for s, service in enumerate(account.voice_services):
            if service.trunk is not None and service.trunk.auth is not None and service.trunk.auth.any_source:
                path: KeyPath = ("accounts", a, "voice_services", s, "trunk", "auth", "any_source")
                message = "calls from any source are dropped by node.protection.unknown_sources: drop"
                yield Finding(path, message, "Write unknown_sources: refuse, or any_source: false")
