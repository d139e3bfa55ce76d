"""One registration of an address of record, kept alive, as a table of states (RFC 3261 §10).

`Registrant` says which REGISTER to send next, where, and when to be woken; its runner does that and no more.
Registrars are tried in order. A challenge is answered, a longer life is asked for after a 423, all within one
round; a round in which every registrar failed is followed by the next after a pause that doubles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from sidestream.errors import StateError
from sidestream.sip.dialog import MAX_FORWARDS
from sidestream.sip.digest_client import Again, DigestClient, NotAnswered, Trail
from sidestream.sip.errors import ParseError
from sidestream.sip.grammar import parse_digits
from sidestream.sip.headers import CSeq, NameAddr, parse_name_addr
from sidestream.sip.message import Headers, Request, Response
from sidestream.sip.uri import SipUri, Uri, uris_match

LIFE_MAX_S: Final = 86_400
"""Longest life that a registrar's Min-Expires is followed to."""
REFRESH_AT: Final = 0.8
"""Share of the life granted after which it is refreshed; one that fails then has time to be tried again."""
REFRESH_MIN_S: Final = 5.0
"""However short a life is granted, registrars are not asked more often."""
PAUSE_MAX_S: Final = 1800.0
DENIED_PAUSE_S: Final = 300.0
"""Pause at least after a refusal that asking again does not change; providers block whoever insists."""
LEAVING_S: Final = 4.0
"""How long the end of a registration is waited for."""
MAX_REPEATS: Final = 8
"""REGISTERs to one registrar in one round: challenges, and one life that was too short."""


class State(StrEnum):
    """Where a registration stands."""

    IDLE = "idle"
    TRYING = "trying"
    """Not registered; a REGISTER is out."""
    REGISTERED = "registered"
    REFRESHING = "refreshing"
    """Registered; a REGISTER is out."""
    FAILED = "failed"
    """Not registered; it is tried again after a pause."""
    LEAVING = "leaving"
    """The REGISTER that takes it back is out."""
    ENDED = "ended"


class Input(StrEnum):
    """What happens to a registration."""

    START = "start"
    AGAIN = "again"
    """A challenge, a 423, or a failure with another registrar to turn to: another REGISTER goes out."""
    ACCEPTED = "accepted"
    FAILED = "failed"
    DUE = "due"
    """The time that was asked for has come."""
    STOP = "stop"


class Do(StrEnum):
    """What a move has the registrant do."""

    SEND = "send"
    WAIT_FOR_REFRESH = "wait for refresh"
    PAUSE = "pause"
    SEND_LEAVE = "send leave"
    NOTHING = "nothing"


Table = Mapping[tuple[State, Input], tuple[State, Do]]

_S, _I, _D = State, Input, Do

TABLE: Final[Table] = {
    (_S.IDLE, _I.START): (_S.TRYING, _D.SEND),
    (_S.IDLE, _I.STOP): (_S.ENDED, _D.NOTHING),
    (_S.TRYING, _I.AGAIN): (_S.TRYING, _D.SEND),
    (_S.TRYING, _I.ACCEPTED): (_S.REGISTERED, _D.WAIT_FOR_REFRESH),
    (_S.TRYING, _I.FAILED): (_S.FAILED, _D.PAUSE),
    (_S.TRYING, _I.STOP): (_S.LEAVING, _D.SEND_LEAVE),
    (_S.REGISTERED, _I.DUE): (_S.REFRESHING, _D.SEND),
    (_S.REGISTERED, _I.STOP): (_S.LEAVING, _D.SEND_LEAVE),
    (_S.REFRESHING, _I.AGAIN): (_S.REFRESHING, _D.SEND),
    (_S.REFRESHING, _I.ACCEPTED): (_S.REGISTERED, _D.WAIT_FOR_REFRESH),
    (_S.REFRESHING, _I.FAILED): (_S.FAILED, _D.PAUSE),
    (_S.REFRESHING, _I.STOP): (_S.LEAVING, _D.SEND_LEAVE),
    (_S.FAILED, _I.DUE): (_S.TRYING, _D.SEND),
    (_S.FAILED, _I.STOP): (_S.ENDED, _D.NOTHING),
    (_S.LEAVING, _I.AGAIN): (_S.LEAVING, _D.SEND_LEAVE),
    (_S.LEAVING, _I.ACCEPTED): (_S.ENDED, _D.NOTHING),
    (_S.LEAVING, _I.FAILED): (_S.ENDED, _D.NOTHING),
    (_S.LEAVING, _I.DUE): (_S.ENDED, _D.NOTHING),
    (_S.LEAVING, _I.STOP): (_S.LEAVING, _D.NOTHING),
    (_S.ENDED, _I.STOP): (_S.ENDED, _D.NOTHING),
}
"""Every move; any other raises."""


class Verdict(StrEnum):
    """How the last round of a registration ended, for operators."""

    PENDING = "pending"
    """No round has ended yet."""
    REGISTERED = "registered"
    UNREACHABLE = "unreachable"
    NO_ANSWER = "no-answer"
    WANTS_CREDENTIALS = "wants-credentials"
    CREDENTIALS_REJECTED = "credentials-rejected"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    GIN_UNSUPPORTED = "gin-unsupported"
    TOO_BRIEF = "too-brief"
    REJECTED = "rejected"
    REGISTRAR_FAILED = "registrar-failed"
    BINDING_MISSING = "binding-missing"
    """The registrar said 200, and our Contact is not among what it keeps."""


_BY_STATUS: Final = {
    401: Verdict.WANTS_CREDENTIALS,
    403: Verdict.FORBIDDEN,
    404: Verdict.NOT_FOUND,
    407: Verdict.WANTS_CREDENTIALS,
    408: Verdict.NO_ANSWER,
    420: Verdict.GIN_UNSUPPORTED,
    423: Verdict.TOO_BRIEF,
}
_ELSEWHERE: Final = frozenset({Verdict.UNREACHABLE, Verdict.NO_ANSWER, Verdict.REGISTRAR_FAILED})
"""Failures of a registrar that another one may not have (RFC 3263 §4.3)."""
_DENIED: Final = frozenset(Verdict) - _ELSEWHERE - {Verdict.PENDING, Verdict.REGISTERED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is registered, and where.

    Attributes:
        aor: address of record.
        registrars: URIs that REGISTER is sent to, in order; at least one.
        proxy: URI of an outbound proxy that it is sent through, if any.
        contact: our Contact URI.
        expires: seconds asked for.
        retry: pause in seconds after the first round that failed.
        gin: whether it stands for all numbers of a trunk (RFC 6140).
        user_agent: our name.
    """

    aor: SipUri
    registrars: tuple[str, ...]
    contact: str
    expires: int
    retry: float
    proxy: str | None = None
    gin: bool = False
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """What the runner is to do.

    Attributes:
        request: what to send, complete but for Via; None for nothing.
        way: URI that says where to.
        wake_at: when to call `due`, in seconds of the runner's clock; None for never.
    """

    request: Request | None = None
    way: str = ""
    wake_at: float | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of a registration; times in seconds of the runner's clock."""

    state: State = State.IDLE
    verdict: Verdict = Verdict.PENDING
    detail: str = ""
    """Of the last failure, with the registrar's own words; empty while registered."""
    registrar: str = ""
    """URI of the registrar that took it."""
    since: float | None = None
    """When it was registered first without a break; None while it is not."""
    expires_at: float | None = None
    next_at: float | None = None
    """When the next REGISTER goes out; None while one is out."""
    failures: int = 0
    """Rounds that failed in a row."""
    service_route: tuple[str, ...] = ()
    """Route values that the registrar wants calls to take (RFC 3608)."""

    @property
    def registered(self) -> bool:
        """Whether calls find us."""
        return self.state in {State.REGISTERED, State.REFRESHING}


@dataclass(slots=True)
class _Round:
    """REGISTERs to one registrar after another, until one takes it."""

    registrar: int = 0
    repeats: int = 0
    trail: Trail = ()
    answer: Request | None = None
    """The request as it goes again after a challenge."""


class Registrant:
    """Keeps one address of record registered. It does nothing by itself; see `Step`.

    Args:
        plan: what is registered.
        auth: answers challenges, if there are credentials.
        token: makes unguessable words, for Call-ID and tag.
        random: gives numbers from 0 to 1, so that a provider's customers don't all come back at once.
    """

    def __init__(
        self,
        plan: Plan,
        auth: DigestClient | None,
        token: Callable[[], str],
        random: Callable[[], float],
    ) -> None:
        self._plan = plan
        self._auth = auth
        self._random = random
        self._call_id, self._tag = token(), token()  # §10.2: the same for all of its REGISTERs
        self._cseq = 0
        self._expires = plan.expires
        self._home = 0
        self._round = _Round()
        self.sent: Request | None = None
        """The last REGISTER."""
        self.status = Status()

    def start(self, now: float) -> Step:
        """Register."""
        return self._move(Input.START, now)

    def due(self, now: float) -> Step:
        """The time of `Step.wake_at` has come."""
        if self.status.state in {State.REGISTERED, State.FAILED}:
            self._round = _Round(self._home)
        return self._move(Input.DUE, now)

    def stop(self, now: float) -> Step:
        """Take the registration back (§10.2.2); over when the state is `ENDED`."""
        self._round = _Round(self._home)
        return self._move(Input.STOP, now)

    def answered(self, response: Response, now: float) -> Step:
        """The registrar gave a final response to the last request."""
        if 200 <= response.status < 300:
            return self._accepted(response, now)
        if response.status in {401, 407} and self._auth is not None and self.sent is not None:
            outcome = self._auth.answer(self.sent, response, self._registrar, self._round.trail)
            if isinstance(outcome, Again):
                self._round.trail, self._round.answer = outcome.trail, outcome.request
                return self._again(now)
            if outcome is NotAnswered.REJECTED:
                return self._failed(Verdict.CREDENTIALS_REJECTED, _words(response), now)
        if response.status == 423 and self._longer(response):
            return self._again(now)
        return self._failed(self._verdict_of(response.status), _words(response), now, _retry_after(response))

    def lost(self, verdict: Verdict, now: float) -> Step:
        """The last request could not be sent (`UNREACHABLE`) or got no answer (`NO_ANSWER`)."""
        words = "no answer" if verdict is Verdict.NO_ANSWER else "out of reach"
        return self._failed(verdict, words, now)

    def _verdict_of(self, status: int) -> Verdict:
        if status == 420 and not self._plan.gin:
            return Verdict.REJECTED
        otherwise = Verdict.REGISTRAR_FAILED if 500 <= status < 600 else Verdict.REJECTED
        return _BY_STATUS.get(status, otherwise)

    @property
    def routes(self) -> tuple[str, ...]:
        """Route values of calls by way of this registration; empty where there are none."""
        if self.status.service_route:
            return self.status.service_route
        return () if self._plan.proxy is None else (_loose(self._plan.proxy),)

    @property
    def _registrar(self) -> str:
        return self._plan.registrars[self._round.registrar]

    def _accepted(self, response: Response, now: float) -> Step:
        if self.status.state is State.LEAVING:
            return self._move(Input.ACCEPTED, now)
        life = self._granted(response)
        if not life:
            return self._failed(Verdict.BINDING_MISSING, "the registrar does not keep our Contact", now)
        self._home = self._round.registrar
        self.status = replace(
            self.status,
            verdict=Verdict.REGISTERED,
            detail="",
            registrar=self._registrar,
            since=now if self.status.since is None else self.status.since,
            expires_at=now + life,
            failures=0,
            service_route=_service_route(response),
        )
        return self._move(Input.ACCEPTED, now)

    def _granted(self, response: Response) -> int:
        """Seconds that the registrar keeps our Contact for (§10.2.1.1, §10.3 step 8); 0 when it does not."""
        try:
            contacts = response.contacts
        except ParseError:
            return 0
        mine = next((each for each in contacts if _is_ours(each.uri, self._contact.uri)), None)
        if mine is None:
            return 0
        granted = _seconds(mine.params.get("expires") or response.headers.get("Expires"))
        return min(self._expires if granted is None else granted, LIFE_MAX_S)

    def _longer(self, response: Response) -> bool:
        """Ask for the life that a 423 wants, if that is longer (§10.2.8)."""
        wanted = _seconds(response.headers.get("Min-Expires"))
        if wanted is None or not self._expires < wanted <= LIFE_MAX_S:
            return False
        self._expires = wanted
        self._round.trail = ()
        return True

    def _again(self, now: float) -> Step:
        self._round.repeats += 1
        if self._round.repeats > MAX_REPEATS:
            return self._failed(Verdict.REJECTED, "the registrar asks for ever more", now)
        return self._move(Input.AGAIN, now)

    def _failed(self, verdict: Verdict, words: str, now: float, wait: float | None = None) -> Step:
        if self.status.state is State.LEAVING:
            return self._move(Input.FAILED, now)
        others = len(self._plan.registrars) - 1
        detail = f"{self._registrar}: {words}"
        if verdict in _ELSEWHERE and (self._round.registrar - self._home) % (others + 1) < others:
            self._round = _Round((self._round.registrar + 1) % (others + 1))
            self.status = replace(self.status, detail=detail)
            return self._move(Input.AGAIN, now)
        failures = self.status.failures + 1
        pause = min(self._plan.retry * 2 ** min(failures - 1, 16), PAUSE_MAX_S)
        if verdict in _DENIED:
            pause = max(pause, DENIED_PAUSE_S)
        # Half of it at random, as RFC 5626 §4.5 has it.
        pause = max(pause * (0.5 + self._random() / 2), min(wait or 0.0, PAUSE_MAX_S))
        self.status = replace(
            self.status,
            verdict=verdict,
            detail=detail,
            failures=failures,
            since=None,
            expires_at=None,
            next_at=now + pause,
            service_route=(),
        )
        return self._move(Input.FAILED, now)

    def _move(self, cause: Input, now: float) -> Step:
        before = self.status.state
        move = TABLE.get((before, cause))
        if move is None:
            raise StateError(f"registration: {cause} in {before}")
        state, do = move
        self.status = replace(self.status, state=state)
        match do:
            case Do.SEND:
                self.status = replace(self.status, next_at=None)
                return Step(self._register(self._expires), self._way)
            case Do.SEND_LEAVE:
                self.status = replace(self.status, next_at=None)
                return Step(self._register(0), self._way, now + LEAVING_S)
            case Do.WAIT_FOR_REFRESH:
                life = (self.status.expires_at or now) - now
                wait = max(life * (REFRESH_AT - self._random() * 0.05), REFRESH_MIN_S)
                self.status = replace(self.status, next_at=now + wait)
                return Step(wake_at=now + wait)
            case Do.PAUSE:
                return Step(wake_at=self.status.next_at)
            case Do.NOTHING:
                return Step()

    @property
    def _way(self) -> str:
        return self._plan.proxy or self._registrar

    @property
    def _contact(self) -> NameAddr:
        return parse_name_addr(f"<{self._plan.contact}>")

    def _register(self, expires: int) -> Request:
        """The next REGISTER (§10.2); the answer to a challenge goes as it is."""
        self._cseq += 1
        answer, self._round.answer = self._round.answer, None
        if answer is not None:
            answer.headers.set("CSeq", str(CSeq(self._cseq, "REGISTER")))
            self.sent = answer
            return answer
        plan = self._plan
        domain = SipUri(plan.aor.scheme, None, plan.aor.host, plan.aor.port)
        headers = Headers()
        if plan.proxy is not None:
            headers.add("Route", _loose(plan.proxy))
        headers.add("Max-Forwards", str(MAX_FORWARDS))
        headers.add("From", f"<{plan.aor}>;tag={self._tag}")
        headers.add("To", f"<{plan.aor}>")
        headers.add("Call-ID", self._call_id)
        headers.add("CSeq", str(CSeq(self._cseq, "REGISTER")))
        headers.add("Contact", f"<{plan.contact}>;expires={expires}")
        headers.add("Expires", str(expires))
        if plan.gin:
            headers.add("Require", "gin")  # RFC 6140 §5.2
            headers.add("Proxy-Require", "gin")
        if plan.user_agent:
            headers.add("User-Agent", plan.user_agent)
        request = self.sent = Request("REGISTER", str(domain), headers)
        if self._auth is not None:
            self._auth.dress(request, self._registrar)
        return request


def _loose(uri: str) -> str:
    """A Route value of a proxy, which is a loose router (RFC 3261 §16.12)."""
    parsed = SipUri.parse(uri)
    return f"<{parsed if parsed.loose_router else replace(parsed, params={**parsed.params, 'lr': None})}>"


def _is_ours(one: Uri, ours: Uri) -> bool:
    """Whether a Contact in a 200 is ours; registrars add parameters, and a PBX's has none of a user's."""
    if uris_match(one, ours):
        return True
    if not isinstance(one, SipUri) or not isinstance(ours, SipUri):
        return False
    return (one.user, one.host.lower(), one.port) == (ours.user, ours.host.lower(), ours.port)


def _service_route(response: Response) -> tuple[str, ...]:
    """RFC 3608 §5; one that can't be read is as good as none."""
    try:
        routes = [parse_name_addr(value) for value in response.headers.values("Service-Route")]
    except ParseError:
        return ()
    return tuple(str(route) for route in routes[:16] if isinstance(route.uri, SipUri))


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_digits(text.strip(" \t"), "Expires", 2**32 - 1)
    except ParseError:
        return None


def _retry_after(response: Response) -> float | None:
    """What `Retry-After` says, without its comment and parameters (RFC 3261 §20.33)."""
    text = response.headers.get("Retry-After") or ""
    found = _seconds(text.partition("(")[0].partition(";")[0])
    return None if found is None else float(found)


def _words(response: Response) -> str:
    return f"{response.status} {response.reason}".strip()[:200]


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.IDLE}"]
    lines += [f"    {start} --> {end} : {cause} / {do}" for (start, cause), (end, do) in TABLE.items()]
    lines.append(f"    {State.ENDED} --> [*]")
    return "\n".join(lines) + "\n"
