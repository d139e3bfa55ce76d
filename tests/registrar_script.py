"""A registrar that a test plays, under a clock that only the test moves."""

from itertools import count

from sidestream.sip.builder import response_to
from sidestream.sip.digest_client import DigestClient
from sidestream.sip.message import Request, Response
from sidestream.sip.parser import parse_message, validate
from sidestream.sip.registration import Plan, Registrant, Step
from sidestream.sip.serializer import serialize
from sidestream.sip.uri import SipUri

AOR = SipUri.parse("sip:desk@provider.example")
FIRST, SECOND = "sip:192.0.2.1:5060", "sip:192.0.2.2:5060"
CONTACT = "sip:desk@198.51.100.1:5060"
ASKED = ("WWW-Authenticate", 'Digest realm="provider.example", nonce="n1", qop="auth"')


def plan(
    *,
    registrars: tuple[str, ...] = (FIRST,),
    contact: str = CONTACT,
    expires: int = 600,
    proxy: str | None = None,
    gin: bool = False,
) -> Plan:
    """What is registered."""
    return Plan(
        aor=AOR, registrars=registrars, contact=contact, expires=expires, retry=30, proxy=proxy, gin=gin
    )


class Bench:
    """A registrant and what it wants."""

    def __init__(self, one: Plan | None = None, *, auth: bool = True) -> None:
        words = count(1)
        client = DigestClient("desk", "secret", "*", lambda: "cnonce") if auth else None
        self.now = 1000.0
        self.one = Registrant(one or plan(), client, lambda: f"word{next(words)}", lambda: 1.0)
        self.step = Step()

    def start(self) -> "Bench":
        """Begin."""
        self.step = self.one.start(self.now)
        return self

    def registered(self, **headers: str) -> "Bench":
        """Begin, and be registered."""
        self.start()
        self.accept(**headers)
        return self

    @property
    def request(self) -> Request:
        """The request that is wanted sent, as a registrar reads it."""
        assert self.step.request is not None
        sent = self.step.request.copy()
        sent.headers.prepend("Via", "SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKx")
        read = parse_message(serialize(sent))
        validate(read)
        assert isinstance(read, Request)
        return read

    def answer(self, status: int, *headers: tuple[str, str]) -> None:
        """The registrar answers."""
        response = response_to(self.request, status, to_tag="registrar")
        for name, value in headers:
            response.headers.add(name, value)
        read = parse_message(serialize(response))
        assert isinstance(read, Response)
        self.step = self.one.answered(read, self.now)

    def accept(self, contact: str | None = None, **headers: str) -> None:
        """The registrar takes it."""
        said = self.request.headers.get("Contact") or ""
        more = [(name.replace("_", "-"), value) for name, value in headers.items()]
        self.answer(200, ("Contact", contact or said), *more)

    def wake(self) -> None:
        """The time that was asked for comes."""
        assert self.step.wake_at is not None
        self.now = self.step.wake_at
        self.step = self.one.due(self.now)
