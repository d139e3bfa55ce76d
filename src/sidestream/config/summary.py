"""What a configuration would set up, for people and for scripts. Secrets are not in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypedDict

from sidestream.config.model import (
    Account,
    Configuration,
    MediaStreamIntegration,
    Node,
    Route,
    SiprecIntegration,
    VoiceService,
)
from sidestream.config.values import Encoding, milliseconds


class NodeSummary(TypedDict):
    """The gateway itself."""

    name: str
    sip: list[str]
    media: str
    max_calls: int
    api: str | None
    journal: str


class IntegrationSummary(TypedDict):
    """One integration."""

    name: str
    type: str
    endpoints: list[str]
    format: str


class ServiceSummary(TypedDict):
    """One voice service."""

    name: str
    kind: str
    peers: list[str]
    match: list[str]
    integrations: list[IntegrationSummary]


RouteSummary = TypedDict("RouteSummary", {"from": str, "to": str, "match": str | None})


class AccountSummary(TypedDict):
    """One account."""

    name: str
    voice_services: list[ServiceSummary]
    routes: list[RouteSummary]


class Summary(TypedDict):
    """Everything."""

    node: NodeSummary
    accounts: list[AccountSummary]


def summarize(configuration: Configuration) -> Summary:
    """Return what a configuration would set up."""
    return {
        "node": _node(configuration.node),
        "accounts": [_account(account) for account in configuration.accounts],
    }


def _node(node: Node) -> NodeSummary:
    return {
        "name": node.name,
        "sip": [str(listener) for listener in node.sip],
        "media": f"{node.media.address} ports {node.media.ports}",
        "max_calls": node.limits.max_calls,
        "api": str(node.api) if node.api else None,
        "journal": str(node.database.parent / "journal"),
    }


def _account(account: Account) -> AccountSummary:
    return {
        "name": account.name,
        "voice_services": [_service(service) for service in account.voice_services],
        "routes": [_route(route) for route in account.routes],
    }


def _service(service: VoiceService) -> ServiceSummary:
    trunk = service.trunk
    return {
        "name": service.name,
        "kind": service.kind.value,
        "peers": [peer.uri.text for peer in trunk.peers] if trunk else [],
        "match": [str(network) for network in trunk.match] if trunk else [],
        "integrations": [_integration(each) for each in service.integrations],
    }


def _integration(integration: MediaStreamIntegration | SiprecIntegration) -> IntegrationSummary:
    if isinstance(integration, SiprecIntegration):
        servers = [server.uri.text for server in integration.servers]
        return {
            "name": integration.name,
            "type": integration.TYPE,
            "endpoints": servers,
            "format": _recording(integration),
        }
    encoding = integration.encoding.value
    if integration.encoding is not Encoding.CALL:
        encoding += f" at {integration.rate} Hz"
    frame = f"{milliseconds(integration.frame)} ms"
    return {
        "name": integration.name,
        "type": integration.TYPE,
        "endpoints": list(integration.urls),
        "format": f"encoding {encoding}, {integration.layout.value}, {frame}",
    }


def _recording(integration: SiprecIntegration) -> str:
    copies = "" if integration.copies == 1 else f", {integration.copies} copies"
    return f"{integration.policy.value}, {integration.strategy.value}{copies}"


def _route(route: Route) -> RouteSummary:
    return {"from": route.source, "to": route.target, "match": route.match.pattern if route.match else None}


def summary_lines(configuration: Configuration) -> Iterator[str]:
    """Give the summary as lines of text."""
    summary = summarize(configuration)
    node = summary["node"]
    yield f"node {node['name']}"
    yield f"  SIP      {', '.join(node['sip'])}"
    yield f"  media    {node['media']}, up to {node['max_calls']} calls"
    yield f"  API      {node['api'] or 'none: health and metrics are not served'}"
    yield f"  journal  in {node['journal']}"
    for account in summary["accounts"]:
        yield f"account {account['name']}"
        for service in account["voice_services"]:
            yield from _service_lines(service)
        for route in account["routes"]:
            numbers = f" for numbers that match {route['match']}" if route["match"] else ""
            yield f"  route from {route['from']} to {route['to']}{numbers}"


def _service_lines(service: ServiceSummary) -> Iterator[str]:
    peers = ", ".join(service["peers"]) or "no peers"
    sources = f"; calls from {', '.join(service['match'])}" if service["match"] else ""
    yield f"  {service['kind']} {service['name']}: {peers}{sources}"
    for integration in service["integrations"]:
        yield (
            f"    {integration['type']} {integration['name']}: {', '.join(integration['endpoints'])}"
            f" ({integration['format']})"
        )
