"""Runs each test of this folder on uvloop, as the gateway does, and on plain asyncio."""

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return what pytest-asyncio makes the loops by."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
