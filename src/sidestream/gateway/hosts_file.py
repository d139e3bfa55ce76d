"""The names that the machine itself knows (hosts(5)), read again when the file has changed."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Final

HOSTS: Final = Path("/etc/hosts")
LARGEST: Final = 4 * 1024 * 1024
"""Bytes that are read at most: block lists of a million names have no place in a call."""
LOOK_S: Final = 5.0
"""How often it is looked whether the file has changed."""


class HostsFile:
    """Addresses by name.

    Args:
        path: the file; that there is none is no error.
        monotonic: gives the time in seconds.
    """

    def __init__(self, path: Path, monotonic: Callable[[], float]) -> None:
        self._path = path
        self._now = monotonic
        self._looked_at: float | None = None
        self._stamp: tuple[int, int] | None = None
        self._names: dict[str, list[str]] = {}

    def addresses(self, name: str) -> list[str] | None:
        """The addresses of a name in lower case, in the file's order; None when it is not there."""
        if self._looked_at is None or self._now() - self._looked_at >= LOOK_S:
            self._looked_at = self._now()
            self._look()
        return self._names.get(name)

    def _look(self) -> None:
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if stamp == self._stamp:
                return
            with self._path.open("rb") as file:
                text = file.read(LARGEST).decode("ascii", "replace")
        except OSError:
            self._stamp, self._names = None, {}
            return
        self._stamp, self._names = stamp, _read(text)


def _read(text: str) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for line in text.splitlines():
        address, *aliases = line.partition("#")[0].split() or [""]
        try:
            found = str(ip_address(address.partition("%")[0]))
        except ValueError:
            continue
        for alias in aliases:
            known = names.setdefault(alias.lower().rstrip("."), [])
            if found not in known:
                known.append(found)
    return names
