"""Dialogs: the state two user agents share and the requests inside them (RFC 3261 §12)."""

from __future__ import annotations

from dataclasses import dataclass, field

from sidestream.sip.errors import NotRoutableError
from sidestream.sip.headers import CSeq, NameAddr
from sidestream.sip.message import Headers, Message, Request, Response
from sidestream.sip.secure import is_secure, secured
from sidestream.sip.uri import OpaqueUri, SipUri, Uri, parse_uri

DialogId = tuple[str, str, str]
"""Call-ID, our tag, the peer's tag; the empty string stands for a missing tag (RFC 2543)."""

MAX_FORWARDS = 70
"""RFC 3261 §8.1.1.6."""

TARGET_REFRESH = frozenset({"INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER"})
"""Requests that carry our Contact and move the remote target (RFC 3261 §12.2, RFC 3311, RFC 6665)."""


def id_from_request(request: Request) -> DialogId:
    """The id of the dialog a received in-dialog request belongs to."""
    return request.call_id, request.to_tag or "", request.from_tag or ""


def id_from_response(response: Response) -> DialogId:
    """The id of the dialog a received response belongs to."""
    return response.call_id, response.from_tag or "", response.to_tag or ""


@dataclass(slots=True)
class Dialog:
    """One dialog, seen from our side.

    Attributes:
        call_id: Call-ID.
        local: our address with our tag.
        remote: the peer's address with its tag (no tag from RFC 2543 peers).
        contact: our Contact value in target refresh requests.
        remote_target: where requests are addressed.
        route_set: the routes to visit, nearest first.
        local_cseq: number of our last request.
        remote_cseq: number of the peer's last request, None before the first.
        confirmed: whether a 2xx was exchanged; else the dialog is early.
        secure: whether it was begun by a `sips` URI: then all that is sent goes over TLS, wherever the peer
            says that it is (RFC 3261 §12.1.1, §26.2.2).
    """

    call_id: str
    local: NameAddr
    remote: NameAddr
    contact: str
    remote_target: Uri
    route_set: list[NameAddr] = field(default_factory=list)
    local_cseq: int = 0
    remote_cseq: int | None = None
    confirmed: bool = False
    secure: bool = False

    @staticmethod
    def from_invite_uas(request: Request, local_tag: str, contact: str) -> Dialog:
        """The dialog our answer to this request makes (RFC 3261 §12.1.1).

        Args:
            request: the validated request.
            local_tag: the tag we put into To.
            contact: our Contact value, for example `<sip:gw@192.0.2.1:5060>`.
        """
        return Dialog(
            call_id=request.call_id,
            local=NameAddr(request.to.uri, request.to.display_name, {"tag": local_tag}),
            remote=_address_of(request.from_),
            contact=contact,
            # RFC 2543 peers may send no Contact; then From says where they are.
            remote_target=request.contacts[0].uri if request.contacts else request.from_.uri,
            route_set=list(request.record_routes),
            remote_cseq=request.cseq.number,
            secure=is_secure(request.uri),
        )

    @staticmethod
    def from_invite_uac(request: Request, response: Response) -> Dialog:
        """The dialog this response to our request makes (RFC 3261 §12.1.2).

        Args:
            request: what we sent, with our Contact.
            response: the validated provisional or 2xx response.
        """
        return Dialog(
            call_id=request.call_id,
            local=_address_of(request.from_),
            remote=_address_of(response.to),
            contact=request.headers.get("Contact") or "",
            remote_target=response.contacts[0].uri if response.contacts else parse_uri(request.uri),
            route_set=list(reversed(response.record_routes)),
            local_cseq=request.cseq.number,
            confirmed=response.status >= 200,
            secure=is_secure(request.uri),
        )

    @property
    def id(self) -> DialogId:
        """The dialog's id."""
        return self.call_id, self.local_tag, self.remote_tag or ""

    @property
    def local_tag(self) -> str:
        """Our tag."""
        return self.local.tag or ""

    @property
    def remote_tag(self) -> str | None:
        """The peer's tag, None from an RFC 2543 peer."""
        return self.remote.tag

    @property
    def local_uri(self) -> Uri:
        """Our address."""
        return self.local.uri

    @property
    def remote_uri(self) -> Uri:
        """The peer's address."""
        return self.remote.uri

    def confirm(self, response: Response) -> None:
        """A 2xx to our INVITE confirms this dialog: its route set is taken anew (RFC 3261 §13.2.2.4)."""
        if not self.confirmed:
            self.route_set = list(reversed(response.record_routes))
            self.confirmed = True
        self.update_target(response)

    def update_target(self, message: Message) -> None:
        """Follow the Contact of a target refresh request or its 2xx (RFC 3261 §12.2.1.2, §12.2.2)."""
        if message.contacts:
            self.remote_target = message.contacts[0].uri

    def accept_remote_cseq(self, number: int) -> bool:
        """Take note of a received request's number; false when it is out of order: answer 500 (§12.2.2)."""
        if self.remote_cseq is not None and number < self.remote_cseq:
            return False
        self.remote_cseq = number
        return True

    def create_request(self, method: str) -> Request:
        """A request inside the dialog, complete but for Via and body (RFC 3261 §12.2.1.1)."""
        self.local_cseq += 1
        request = self._request(method, self.local_cseq)
        if method in TARGET_REFRESH and self.contact:
            request.headers.add("Contact", self.contact)
        return request

    def create_ack(self, invite_cseq: int) -> Request:
        """The ACK for a 2xx to the INVITE of that number (RFC 3261 §13.2.2.4)."""
        return self._request("ACK", invite_cseq)

    def next_hop_uri(self) -> str:
        """The URI that says where a request of this dialog is sent first (RFC 3261 §8.1.2, §12.2.1.1)."""
        target = self.route_set[0].uri if self.route_set else self.remote_target
        return str(secured(target) if self.secure else target)

    def _request(self, method: str, number: int) -> Request:
        uri, routes = self._routing()
        headers = Headers()
        for route in routes:
            headers.append_wire("Route", route)
        headers.append_wire("Max-Forwards", str(MAX_FORWARDS))
        headers.append_wire("From", str(self.local))
        headers.append_wire("To", str(self.remote))
        headers.append_wire("Call-ID", self.call_id)
        headers.append_wire("CSeq", str(CSeq(number, method)))
        return Request(method, uri, headers)

    def _routing(self) -> tuple[str, list[str]]:
        """Request-URI and Route values: loose routing, or strict when the first route has no `lr`."""
        target = secured(self.remote_target) if self.secure else self.remote_target
        if isinstance(target, SipUri):
            target = target.without_headers()
        if not self.route_set:
            return str(target), []
        first = self.route_set[0].uri
        if isinstance(first, OpaqueUri):
            raise NotRoutableError(f"route is no SIP URI: {first}")
        if first.loose_router:
            return str(target), [str(route) for route in self.route_set]
        rest = [str(route) for route in self.route_set[1:]]
        return str(first.without_headers()), [*rest, f"<{target}>"]


def _address_of(address: NameAddr) -> NameAddr:
    """An address as a dialog keeps it: of the parameters only the tag."""
    tag = address.tag
    return NameAddr(address.uri, address.display_name, {} if tag is None else {"tag": tag})
