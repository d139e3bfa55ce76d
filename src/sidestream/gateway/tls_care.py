"""Which TLS a configuration wants, and the care that its certificates take while it runs."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Final

from sidestream.config.certificates import CertificateFileError
from sidestream.config.model import Configuration, PeerTls, SiprecIntegration
from sidestream.config.values import PeerUri
from sidestream.errors import Fault, SidestreamError
from sidestream.gateway.sip_stack import SipStack
from sidestream.gateway.sip_tls import PeerPolicy, SipTls
from sidestream.gateway.tls_contexts import TlsFiles
from sidestream.observe import metrics
from sidestream.observe.metrics import Metric, Reading

LOOK_S: Final = 10.0
"""How often the files are looked at; a renewed certificate is shown so soon."""


class TlsStartError(SidestreamError):
    """TLS is configured and its files cannot be used."""

    fault = Fault.OPERATOR


def tls_of(configuration: Configuration) -> SipTls | None:
    """Make the TLS of a gateway; None when nothing in its configuration wants it.

    Raises:
        TlsStartError: a file cannot be used.
    """
    own = configuration.node.tls
    found = _peers(configuration)
    if own is None and all(uri.transport != "tls" for uri, _ in found):
        return None
    # The DNS may choose TLS for a peer whose URI leaves that open.
    peers = {(uri.host.lower(), uri.port): PeerPolicy(tls.ca, tls.verify, tls.names) for uri, tls in found}
    files = None if own is None else TlsFiles(own.certificate, own.key, own.client_ca)
    try:
        return SipTls(files, peers)
    except CertificateFileError as error:
        raise TlsStartError(str(error), hint=error.hint) from error


def _peers(configuration: Configuration) -> list[tuple[PeerUri, PeerTls]]:
    found: list[tuple[PeerUri, PeerTls]] = []
    for _, service in configuration.services():
        if service.trunk is not None:
            tls = service.trunk.tls or PeerTls()
            proxy = service.trunk.outbound_proxy
            found += [(uri, tls) for uri in (*service.trunk.neighbours, *((proxy,) if proxy else ()))]
        for integration in service.integrations:
            if isinstance(integration, SiprecIntegration):
                tls = integration.tls or PeerTls()
                found += [(server.uri, tls) for server in integration.servers]
    return found


class TlsCare:
    """Looks after the certificates of a gateway that runs.

    Args:
        tls: what is cared for.
    """

    def __init__(self, tls: SipTls) -> None:
        self._tls = tls
        self._asked = asyncio.Event()

    def reload(self) -> None:
        """Take the files anew, soon and whether or not they have changed."""
        self._asked.set()

    async def run(self) -> None:
        """Take files that change, and warn of what expires, for ever."""
        tls = self._tls
        while True:
            tls.warn_of_expiry(dt.datetime.now(dt.UTC))
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._asked.wait()
            except TimeoutError:
                await asyncio.to_thread(tls.reload_if_changed)
            else:
                self._asked.clear()
                await asyncio.to_thread(tls.reload)


def read_metrics(tls: SipTls, stack: SipStack) -> dict[Metric, Reading]:
    """Return the gauges and counters of TLS."""
    counts = stack.counts
    readings: dict[Metric, Reading] = {
        metrics.SIP_TLS_HANDSHAKES: {
            (direction, version): number for (direction, version), number in counts.handshakes.items()
        },
        metrics.SIP_TLS_HANDSHAKES_OPEN: counts.handshakes_open,
        metrics.SIP_TLS_FAILURES: {
            (direction, failure.value): number for (direction, failure), number in counts.tls_failures.items()
        },
        metrics.SIP_TLS_ALIASES: counts.aliases,
        metrics.SIP_TLS_RELOADS: {
            ("taken",): tls.counts.reloads,
            ("refused",): tls.counts.reload_failures,
        },
    }
    if tls.expires_at is not None:
        readings[metrics.SIP_TLS_CERTIFICATE_EXPIRY] = tls.expires_at.timestamp()
    return readings
