"""Who takes part in a call, read from its messages."""

from sidestream.call.facts import Participant, Role
from sidestream.call.numbers import number_in
from sidestream.call.privacy import Privacy
from sidestream.call.side import Side
from sidestream.sip.errors import ParseError
from sidestream.sip.headers import NameAddr, parse_name_addr
from sidestream.sip.message import Headers, Message, Request
from sidestream.sip.uri import Uri, parse_uri


def caller_of(invite: Request, *, trusted: bool = True) -> Participant:
    """The caller of an INVITE: its asserted identity (RFC 3325) unless it wants privacy, else From.

    Args:
        invite: The INVITE.
        trusted: Whether it came from a trunk whose assertions are believed.
    """
    asserted = asserted_identity(invite.headers) if trusted else None
    return _participant(Role.CALLER, asserted or invite.from_, invite.from_.display_name)


def callee_of(invite: Request) -> Participant:
    """The callee of an INVITE: its Request-URI, with the display name of To."""
    return _participant(Role.CALLEE, NameAddr(parse_uri(invite.uri)), invite.to.display_name)


def updated(known: Participant, message: Message) -> Participant:
    """The participant after a message from it, which may assert another identity than the one known."""
    identity = asserted_identity(message.headers)
    if identity is None:
        return known
    return _participant(known.role, identity, known.display_name)


def called_number(invite: Request) -> str:
    """What routes are matched on: the number of the Request-URI, else its user part, else nothing."""
    return number_in(parse_uri(invite.uri))


def asserted_identity(headers: Headers) -> NameAddr | None:
    """The identity that the network vouches for (RFC 3325 9.1), a SIP URI before a tel URI.

    None when there is none, when it is unreadable, or when its owner asked to withhold it (RFC 3325 9.3).
    """
    if Privacy.of(headers).withholds_identity:
        return None
    try:
        identities = [
            parse_name_addr(value, "P-Asserted-Identity") for value in headers.values("P-Asserted-Identity")
        ]
    except ParseError:
        return None
    sip = [identity for identity in identities if str(identity.uri).startswith("sip")]
    return next(iter(sip or identities), None)


def _participant(role: Role, address: NameAddr, display_name: str) -> Participant:
    return Participant(
        id=role.value,
        role=role,
        side=Side.A if role is Role.CALLER else Side.B,
        uri=str(address.uri),
        number=_number(address.uri),
        display_name=address.display_name or display_name,
    )


def _number(uri: Uri) -> str:
    return uri.number or ""
