"""The token that the API is opened with: from the environment, or a file that is made at the first start."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sidestream.errors import Fault, SidestreamError
from sidestream.observe.logging import Logger

VARIABLE: Final = "SIDESTREAM_ADMIN_TOKEN"
FILE: Final = "admin.token"
LEAST: Final = 16
"""Characters of a token that nobody guesses in a lifetime of tries over a network."""
MOST: Final = 512


class TokenError(SidestreamError):
    """There is a token, and it can't be used."""

    fault = Fault.OPERATOR


def admin_token(environment: Mapping[str, str], directory: Path, log: Logger) -> str:
    """Return the token, made now when there is none.

    Args:
        environment: where `SIDESTREAM_ADMIN_TOKEN` is looked up first.
        directory: where the file is kept, with mode 0600.
        log: told when a file is made; never the token.

    Raises:
        TokenError: it is too short, or the file cannot be read or made.
    """
    if VARIABLE in environment:
        return _checked(environment[VARIABLE].strip(), f"the environment variable {VARIABLE}")
    path = directory / FILE
    try:
        return _checked(_read(path) or _make(path, log), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise TokenError(
            f"the file {path} can't be used: {error}", hint=f"make it readable, or set {VARIABLE}"
        ) from error


def _checked(token: str, where: str) -> str:
    if not (LEAST <= len(token) <= MOST and token.isascii() and token.isprintable() and " " not in token):
        raise TokenError(
            f"the token in {where} is no {LEAST} to {MOST} printable characters without a space",
            hint="take another one, such as the output of `openssl rand -hex 32`",
        )
    return token


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(4 * MOST).decode("ascii").strip()
    except FileNotFoundError:
        return ""


def _make(path: Path, log: Logger) -> str:
    token = secrets.token_urlsafe(32)
    path.parent.mkdir(parents=True, exist_ok=True)
    # An empty file of a start that was cut short is taken over; its mode may be anything.
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(file, 0o600)
        os.write(file, token.encode() + b"\n")
        os.fsync(file)
    finally:
        os.close(file)
    log.info("a secret for the API was made", file=str(path))
    return token
