"""The session timer of a recording session, at the recorder (RFC 4028)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sidestream.sip.errors import ParseError
from sidestream.sip.message import Request, Response

MAX_INTERVAL_S: Final = 86_400
_VALUE: Final = re.compile(r"\s*(\d{1,9})\s*(?:;.*?refresher\s*=\s*(uac|uas))?", re.IGNORECASE)


@dataclass(slots=True)
class Timer:
    """What was agreed; `renewals` counts how often it began anew.

    Attributes:
        interval_s: the session interval.
        we_refresh: whether the recorder refreshes, or else the client.
    """

    interval_s: int
    we_refresh: bool
    renewals: int = 0

    def renew(self, agreed: Timer) -> None:
        """The session was refreshed."""
        self.interval_s, self.we_refresh = agreed.interval_s, agreed.we_refresh
        self.renewals += 1


def agree(request: Request, response: Response, wanted_s: int | None) -> Timer | None:
    """Agree on a timer in the answer to an INVITE or UPDATE, and write it there (section 9).

    Args:
        request: what is answered.
        response: the 2xx.
        wanted_s: interval that the recorder wants to refresh at, None to leave all to the client.

    Returns:
        The timer; None when there is none.
    """
    asked = _VALUE.match(request.headers.get("Session-Expires") or "")
    if asked is None and (wanted_s is None or not _supports_timers(request)):
        return None
    interval = int(asked[1]) if asked is not None else MAX_INTERVAL_S
    refresher = (asked[2] or "").lower() if asked is not None else ""
    if wanted_s is not None:
        interval = min(interval, wanted_s)  # It may be made less, never more.
    refresher = refresher or ("uac" if wanted_s is None else "uas")
    response.headers.add("Session-Expires", f"{interval};refresher={refresher}")
    if refresher == "uac":
        response.headers.add("Require", "timer")
    return Timer(interval, we_refresh=refresher == "uas")


def _supports_timers(request: Request) -> bool:
    try:
        return "timer" in {tag.lower() for tag in request.headers.values("Supported")}
    except ParseError:
        return False
