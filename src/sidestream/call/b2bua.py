"""One call from its INVITE to its verdict: the back-to-back user agent (RFC 3261 section 6)."""

from sidestream.call.commands import Command
from sidestream.call.context import CallContext
from sidestream.call.events import CallEvent, RequestArrived
from sidestream.call.record import CallSnapshot
from sidestream.call.setup import CallSetup
from sidestream.call.state import CallState


class B2bua:
    """One call. It does nothing by itself: its gateway tells it events and executes its commands, in order.

    Args:
        setup: What the gateway collected.
        invite: The caller's INVITE, as validated by the transaction layer.
        now: Monotonic seconds that belong to `setup.started_at`.
    """

    def __init__(self, setup: CallSetup, invite: RequestArrived, now: float) -> None:
        self._ctx = CallContext(setup, invite, now)

    def start(self) -> list[Command]:
        """Begin: try the first peer, or refuse the call. To be called once, before any event."""
        return self._ctx.take_commands()

    def apply(self, event: CallEvent, now: float) -> list[Command]:
        """Take an event in and say what is to be done about it.

        Never raises: a failure of ours ends this call with the verdict `internal-error`. After `EndCall` every
        event is answered with nothing.

        Args:
            event: What happened.
            now: Monotonic seconds.
        """
        self._ctx.now = now
        return self._ctx.take_commands()

    def snapshot(self) -> CallSnapshot:
        """The call as it stands."""
        return self._ctx.snapshot()

    def dialog_ids(self) -> tuple[tuple[str, str], ...]:
        """(Call-ID, our tag) of every dialog of the call.

        Requests and ACKs whose Call-ID and To tag are listed here are the call's. The caller's is there from the
        construction on; each `SendRequest` of an INVITE to a peer may add one, so look again after
        `start()` and each `apply()` that ordered one. None is ever taken away. Forks of one INVITE share theirs.
        """
        return ()

    @property
    def state(self) -> CallState:
        """Where the call stands."""
        return self._ctx.state

    @property
    def ended(self) -> bool:
        """Whether `EndCall` has been given."""
        return self._ctx.state is CallState.ENDED

    @property
    def answered(self) -> bool:
        """Whether the callee's answer was relayed."""
        return self._ctx.answered_at is not None

    @property
    def failure(self) -> Exception | None:
        """The first failure of ours, for the gateway's log; None when all went as the tables say."""
        return None
