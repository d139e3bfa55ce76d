"""A call's logger whose lines are kept in the call's trace too, whatever level the log has."""

from collections.abc import Callable
from typing import Final, cast

from sidestream.observe.logging import Logger, mask_secrets

Note = Callable[[str, str, dict[str, str]], None]
"""Takes the level, the event and its details."""

VALUE_MAX: Final = 200
_LEFT_OUT: Final = frozenset({"exc_info", "account"})


class TracedLog:
    """Writes to a logger, and notes each line.

    Args:
        log: the logger.
        note: takes what is written.
        bound: details that go with each line beside the call's own.
    """

    def __init__(self, log: Logger, note: Note, bound: dict[str, object] | None = None) -> None:
        self._log = log
        self._note = note
        self._bound = bound or {}

    @classmethod
    def of(cls, log: Logger, note: Note) -> Logger:
        """Return a logger that notes what it writes."""
        return cast("Logger", cls(log, note))

    def bind(self, **details: object) -> Logger:
        """Return the logger with further details in each line."""
        return cast("Logger", TracedLog(self._log.bind(**details), self._note, {**self._bound, **details}))

    def debug(self, event: str, **details: object) -> None:
        """Write a line at `debug`, and note it in any case."""
        self._tell("debug", event, details)
        self._log.debug(event, **details)

    def info(self, event: str, **details: object) -> None:
        """Write a line at `info`."""
        self._tell("info", event, details)
        self._log.info(event, **details)

    def warning(self, event: str, **details: object) -> None:
        """Write a line at `warning`."""
        self._tell("warning", event, details)
        self._log.warning(event, **details)

    def error(self, event: str, **details: object) -> None:
        """Write a line at `error`."""
        self._tell("error", event, details)
        self._log.error(event, **details)

    def exception(self, event: str, **details: object) -> None:
        """Write a line at `error` with the trace of the exception at hand; the note has no trace."""
        self._tell("error", event, details)
        self._log.exception(event, **details)

    def _tell(self, level: str, event: str, details: dict[str, object]) -> None:
        shown = mask_secrets(None, level, {**self._bound, **details})
        words = {
            name: str(value)[:VALUE_MAX]
            for name, value in shown.items()
            if value is not None and name not in _LEFT_OUT
        }
        self._note(level, event, words)
