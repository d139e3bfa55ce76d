"""What calls and recordings want of the SIP stack."""

from typing import Protocol

from sidestream.sip.events import ClientKey, ServerKey
from sidestream.sip.hop import Hop
from sidestream.sip.message import Request, Response


class SipOrders(Protocol):
    """The stack as whoever sends by it sees it."""

    def resolve_now(self, uri: str) -> tuple[Hop, ...] | None:
        """As `resolve`, without waiting: None when a name must be looked up first."""
        ...

    async def resolve(self, uri: str) -> tuple[Hop, ...]:
        """Return the hops of a URI in order; none when it cannot be resolved."""
        ...

    def send_request(self, request: Request, hops: tuple[Hop, ...]) -> ClientKey:
        """Send a request in a new client transaction."""
        ...

    def send_ack(self, ack: Request, hop: Hop) -> None:
        """Send the ACK of a 2xx."""
        ...

    def cancel(self, key: ClientKey, reason: str | None = None) -> None:
        """Cancel an INVITE."""
        ...

    def respond(self, key: ServerKey, response: Response) -> None:
        """Answer a request."""
        ...

    def confirm_1xx(self, key: ServerKey) -> None:
        """Stop re-sending a reliable provisional response."""
        ...

    def confirm_2xx(self, key: ServerKey) -> None:
        """Stop re-sending a 2xx."""
        ...
