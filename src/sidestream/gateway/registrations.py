"""Keeps trunks registered: sends what each `Registrant` wants sent, and wakes it in time."""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from sidestream.call.routing import Way
from sidestream.call.setup import SECURE_CONTACT
from sidestream.config.model import Configuration, Registration, Trunk
from sidestream.config.uris import is_sips
from sidestream.config.values import PeerUri
from sidestream.gateway.clock import Clock
from sidestream.gateway.doorkeeper import TrunkKey
from sidestream.gateway.ids import new_token
from sidestream.gateway.sip_orders import SipOrders
from sidestream.gateway.tasks import TaskOwner
from sidestream.observe import metrics
from sidestream.observe.logging import Logger
from sidestream.observe.metrics import Metric, Metrics, Reading
from sidestream.sip.digest_client import DigestClient
from sidestream.sip.events import (
    ClientKey,
    ClientTimedOut,
    ClientTransportFailed,
    ResponseReceived,
    SipEvent,
)
from sidestream.sip.hop import Hop
from sidestream.sip.message import Request
from sidestream.sip.registration import LEAVING_S, Plan, Registrant, State, Status, Step, Verdict
from sidestream.sip.uri import SipUri

_SETTLED: Final = frozenset({State.REGISTERED, State.FAILED, State.ENDED})
"""States at whose begin something is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationTools:
    """What registrations work with.

    Attributes:
        sip: the stack.
        contacts: our Contact URI by transport.
        user_agent: our name.
        clients: credentials of trunks.
        metrics: where rounds are counted.
        clock: gives the time.
        log: where changes are told.
    """

    sip: SipOrders
    contacts: Mapping[str, str]
    user_agent: str
    clients: Mapping[TrunkKey, DigestClient]
    metrics: Metrics
    clock: Clock
    log: Logger


class _Runner:
    """One trunk's registration."""

    def __init__(
        self,
        registrant: Registrant,
        tools: RegistrationTools,
        open_requests: dict[ClientKey, "_Runner"],
        log: Logger,
    ) -> None:
        self._registrant = registrant
        self._open = open_requests
        self._tools = tools
        self._log = log
        self._tasks = TaskOwner("registration")
        self._timer: asyncio.TimerHandle | None = None
        self._told: tuple[State, Verdict] | None = None
        self._key: ClientKey | None = None
        self.ended = asyncio.Event()

    @property
    def status(self) -> Status:
        return self._registrant.status

    @property
    def way(self) -> Way | None:
        status = self.status
        return Way(status.registrar, self._registrant.routes) if status.registered else None

    def do(self, step: Callable[[float], Step]) -> None:
        """Take a step of the registrant and do what it says."""
        wanted = step(self._tools.clock.monotonic())
        self._tell()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wanted.wake_at is not None:
            delay = max(0.0, wanted.wake_at - self._tools.clock.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self.do, self._registrant.due)
        if wanted.request is not None:
            self._send(wanted)
        if self.status.state is State.ENDED:
            self._forget()
            self.ended.set()

    def start(self) -> None:
        self.do(self._registrant.start)

    def stop(self) -> None:
        self.do(self._registrant.stop)

    def take(self, event: ResponseReceived | ClientTimedOut | ClientTransportFailed) -> None:
        """Take what became of the request that is out."""
        if isinstance(event, ResponseReceived) and event.response.status < 200:
            return
        self._forget()
        match event:
            case ResponseReceived(response=response):
                self.do(partial(self._registrant.answered, response))
            case ClientTimedOut():
                self.do(partial(self._registrant.lost, Verdict.NO_ANSWER))
            case ClientTransportFailed():
                self.do(partial(self._registrant.lost, Verdict.UNREACHABLE))

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._tasks.close()

    def _forget(self) -> None:
        """Whatever is still answered to the last request is answered in vain."""
        if self._key is not None:
            self._open.pop(self._key, None)
            self._key = None

    def _sent(self, request: Request, hops: tuple[Hop, ...]) -> None:
        self._key = self._tools.sip.send_request(request, hops)
        self._open[self._key] = self

    def _send(self, step: Step) -> None:
        self._forget()
        hops = self._tools.sip.resolve_now(step.way)
        if hops is None or not hops:
            # Never from within the step that asked for it: a failure is a step of its own.
            self._tasks.spawn(self._look_up_and_send(step), "REGISTER")
        elif step.request is not None:
            self._sent(step.request, hops)

    async def _look_up_and_send(self, step: Step) -> None:
        hops = await self._tools.sip.resolve(step.way)
        if step.request is None or step.request is not self._registrant.sent:
            return  # another one has taken its place
        if hops:
            self._sent(step.request, hops)
        else:
            self.do(partial(self._registrant.lost, Verdict.UNREACHABLE))

    def _tell(self) -> None:
        """Count each round that came to an end, and write a line where something has changed."""
        status = self.status
        if status.state not in _SETTLED:
            return
        if status.state is not State.ENDED:
            self._tools.metrics.count(metrics.REGISTRATION_ROUNDS, status.verdict.value)
        if (status.state, status.verdict) == self._told:
            return
        self._told = (status.state, status.verdict)
        now = self._tools.clock.monotonic()
        wait = None if status.next_at is None else round(status.next_at - now)
        if status.state is State.REGISTERED:
            life = round((status.expires_at or now) - now)
            self._log.info("trunk registered", registrar=status.registrar, expires_s=life)
        elif status.state is State.FAILED:
            self._log.warning(
                "trunk not registered", verdict=status.verdict.value, detail=status.detail, retry_s=wait
            )
        else:
            self._log.info("registration ended")


class Registrations:
    """Every registration of a gateway.

    Args:
        configuration: trunks and how they are registered.
        tools: what they work with.
    """

    def __init__(self, configuration: Configuration, tools: RegistrationTools) -> None:
        self._now = tools.clock.monotonic
        self._runners: dict[TrunkKey, _Runner] = {}
        self._open: dict[ClientKey, _Runner] = {}
        for account, service in configuration.services():
            trunk = service.trunk
            if trunk is None or trunk.register is None or account.suspended:
                continue
            key = (account.name, service.name)
            plan = plan_of(trunk, trunk.register, tools)
            registrant = Registrant(plan, tools.clients.get(key), new_token, random.random)
            log = tools.log.bind(account=account.name, service=service.name, aor=str(plan.aor))
            self._runners[key] = _Runner(registrant, tools, self._open, log)

    def start(self) -> None:
        """Register every trunk that is to be."""
        for runner in self._runners.values():
            runner.start()

    def take(self, event: SipEvent) -> bool:
        """Take what became of a REGISTER; false when the event is about none."""
        if not isinstance(event, ResponseReceived | ClientTimedOut | ClientTransportFailed):
            return False
        runner = self._open.get(event.key)
        if runner is not None:
            runner.take(event)
        return runner is not None

    def way_of(self, key: TrunkKey) -> Way | None:
        """By which way calls to a trunk go; None where no registration says so."""
        runner = self._runners.get(key)
        return None if runner is None else runner.way

    def status_of(self, key: TrunkKey) -> Status | None:
        """What is known of a trunk's registration; None when it has none."""
        runner = self._runners.get(key)
        return None if runner is None else runner.status

    async def stop(self) -> None:
        """Take every registration back, and wait a little for the answers."""
        for runner in self._runners.values():
            runner.stop()
        waits = [asyncio.ensure_future(runner.ended.wait()) for runner in self._runners.values()]
        if waits:
            _, late = await asyncio.wait(waits, timeout=LEAVING_S + 1)
            for task in late:
                task.cancel()

    async def close(self) -> None:
        """Let go of timers and look-ups."""
        for runner in self._runners.values():
            await runner.close()

    def read_metrics(self) -> dict[Metric, Reading]:
        """Return the gauges of registrations."""
        now = self._now()
        status = {key: runner.status for key, runner in self._runners.items()}
        return {
            metrics.REGISTRATION_UP: {key: float(each.registered) for key, each in status.items()},
            metrics.REGISTRATION_STATE: {
                (*key, each.state.value, each.verdict.value): 1.0 for key, each in status.items()
            },
            metrics.REGISTRATION_AGE: {
                key: now - each.since for key, each in status.items() if each.since is not None
            },
            metrics.REGISTRATION_NEXT: {
                key: max(0.0, each.next_at - now) for key, each in status.items() if each.next_at is not None
            },
        }


def plan_of(trunk: Trunk, registration: Registration, tools: RegistrationTools) -> Plan:
    """What a trunk's registration is."""
    registrars = registration.registrars or _by_priority(trunk)
    aor = SipUri.parse(registration.aor.text)
    first = registration.proxy or registrars[0]
    key = SECURE_CONTACT if aor.scheme == "sips" or is_sips(first.text) else first.transport
    ours = SipUri.parse(tools.contacts.get(key) or next(iter(tools.contacts.values())))
    params = {**ours.params, "bnc": None} if registration.gin else ours.params
    user = None if registration.gin else aor.user
    return Plan(
        aor=aor,
        registrars=tuple(str(uri) for uri in registrars),
        contact=str(SipUri(ours.scheme, user, ours.host, ours.port, params=params)),
        expires=round(registration.expires),
        retry=registration.retry,
        proxy=None if registration.proxy is None else str(registration.proxy),
        gin=registration.gin,
        user_agent=tools.user_agent,
    )


def _by_priority(trunk: Trunk) -> tuple[PeerUri, ...]:
    """The trunk's peers in the order of their priorities, the heavier ones first."""
    peers = sorted(trunk.peers, key=lambda peer: (peer.priority, -peer.weight))
    return tuple(peer.uri for peer in peers)
