"""Session timers (RFC 4028): read, written and scheduled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sidestream.sip.errors import ParseError
from sidestream.sip.grammar import parse_params
from sidestream.sip.message import Message, Request, Response
from sidestream.sip.reliability import supports

TAG: Final = "timer"
"""The option tag (RFC 4028 section 4)."""

MIN_SE_S: Final = 90
"""The least session interval there may be (RFC 4028 section 5)."""
MAX_SE_S: Final = 86_400
"""Longer ones are cut: no session lasts longer."""


@dataclass(frozen=True, slots=True)
class SessionTimer:
    """What was agreed.

    Attributes:
        interval_s: the session interval.
        we_refresh: whose turn it is to refresh.
    """

    interval_s: int
    we_refresh: bool

    @property
    def due_in_s(self) -> float:
        """When we refresh (half of the interval), or give a peer up that has not (section 10)."""
        return self.interval_s / 2 if self.we_refresh else self.last_moment_s

    @property
    def last_moment_s(self) -> float:
        """When a session that nobody refreshed is ended (section 10)."""
        return self.interval_s - min(32.0, self.interval_s / 3)

    def value(self, *, as_server: bool) -> str:
        """The Session-Expires value, seen from the request's sender: `uac` is whoever sent the request."""
        uac_refreshes = self.we_refresh is not as_server
        return f"{self.interval_s};refresher={'uac' if uac_refreshes else 'uas'}"


def asked_by(message: Message) -> tuple[int, str | None] | None:
    """The interval in seconds and the refresher that a message names; None when it names no valid one."""
    value = message.headers.get("Session-Expires")
    if value is None:
        return None
    seconds, semicolon, params = value.partition(";")
    seconds = seconds.strip()
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) < 10):
        return None
    try:
        refresher = (parse_params(semicolon + params, "Session-Expires").get("refresher") or "").lower()
    except ParseError:
        refresher = ""
    return min(int(seconds), MAX_SE_S), refresher if refresher in {"uac", "uas"} else None


def of_response(response: Response) -> SessionTimer | None:
    """The timer that the 2xx to a request of ours sets (section 7.2); without the header there is none."""
    asked = asked_by(response)
    if asked is None:
        return None
    interval, refresher = asked
    return SessionTimer(max(interval, MIN_SE_S), refresher != "uas")


def of_request(request: Request, current: SessionTimer | None) -> SessionTimer | None:
    """The timer that our 2xx sets when the other side has it its way (section 9).

    One that says nothing of timers is refreshed by us when we did it before; it is not waited for.
    """
    asked = asked_by(request)
    if asked is None:
        return current if current is not None and current.we_refresh else None
    interval, refresher = asked
    return SessionTimer(max(interval, MIN_SE_S), refresher == "uas")


def accepted(request: Request, wanted_s: int, least_s: int) -> SessionTimer | None:
    """The timer that our 2xx sets when we have an interval in mind (section 9, table 2).

    What was asked for may be made less, never more, and never less than either side's minimum. A sender that
    leaves the choice refreshes by itself where it knows how.

    Args:
        request: INVITE or UPDATE.
        wanted_s: our interval in seconds.
        least_s: our minimum in seconds.

    Returns:
        The timer; None when the sender neither knows session timers nor has one asked for on its way.
    """
    asked, knows = asked_by(request), supports(request, TAG)
    if asked is None and not knows:
        return None
    interval, refresher = asked or (MAX_SE_S, None)
    least = max(least_s, MIN_SE_S, _seconds(request, "Min-SE") or 0)
    chosen = min(interval, max(wanted_s, least))
    return SessionTimer(chosen, (refresher or ("uac" if knows else "uas")) == "uas")


def too_small(request: Request, least_s: int = MIN_SE_S) -> bool:
    """Whether a request asks for an interval that is refused with 422 (section 9)."""
    asked = asked_by(request)
    return asked is not None and asked[0] < max(least_s, MIN_SE_S)


def least_of(response: Response) -> int | None:
    """The interval in seconds that a 422 asks for (section 7.3); None when it names none."""
    return _seconds(response, "Min-SE")


def _seconds(message: Message, name: str) -> int | None:
    value = (message.headers.get(name) or "").partition(";")[0].strip()
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        return None
    return int(value) if int(value) <= MAX_SE_S else None
