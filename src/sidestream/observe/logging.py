"""Structured logs: one line for each event, on stderr, with the call it belongs to bound to it.

`SIDESTREAM_LOG` chooses the form (`text` for people, the default on a terminal; `json` for collectors, the
default elsewhere) and `SIDESTREAM_LOG_LEVEL` the least level (`debug`, `info`, `warning`, `error`). What
SIP says is logged at `debug` only, without headers and bodies. Secrets are never logged: a key that names one
is masked, whatever it holds.
"""

import json
import logging
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, TextIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

FORM_VARIABLE: Final = "SIDESTREAM_LOG"
LEVEL_VARIABLE: Final = "SIDESTREAM_LOG_LEVEL"

LEVELS: Final[Mapping[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

MASK: Final = "***"
_SECRET_KEYS: Final = (
    "authorization",
    "bearer",
    "credentials",
    "password",
    "private_key",
    "secret",
    "token",
)

Logger = FilteringBoundLogger


def configure(environment: Mapping[str, str], output: TextIO | None = None) -> None:
    """Arrange logging for the process.

    Args:
        environment: where the two variables are looked up; unknown values count as absent.
        output: where lines go; stderr when None.
    """
    output = output or sys.stderr
    form = environment.get(FORM_VARIABLE, "").lower()
    if form not in {"text", "json"}:
        form = "text" if output.isatty() else "json"
    level = LEVELS.get(environment.get(LEVEL_VARIABLE, "").lower(), logging.INFO)
    structlog.configure(
        processors=_processors(form, colors=output.isatty()),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=output),
        cache_logger_on_first_use=False,
    )


def logger(**bound: object) -> Logger:
    """Return a logger; what is bound goes with each of its lines."""
    # Bound at once: what `get_logger` gives would be put together anew for each line.
    return cast("Logger", structlog.get_logger().bind(**bound))


def mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace the value of every key that names a secret."""
    for key in event:
        if _names_secret(key):
            event[key] = MASK
    return event


@lru_cache(1024)
def _names_secret(key: str) -> bool:
    low = key.lower()
    return any(word in low for word in _SECRET_KEYS)


def _to_json(event: EventDict, **_: object) -> str:
    try:
        return _encoder.encode(event).decode()
    except UnicodeEncodeError:
        # What SIP says may hold bytes of another character set, as surrogates.
        return json.dumps(event, default=str)


_encoder: Final = msgspec.json.Encoder(enc_hook=str)


def _processors(form: str, *, colors: bool) -> list[Processor]:
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask_secrets,
    ]
    if form == "text":
        return [*shared, structlog.dev.ConsoleRenderer(colors=colors)]
    return [
        *shared,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(_to_json),
    ]
