"""What tests of every layer lean on: waiting without sleeping, free ports, and the shared data folder."""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")

REPOSITORY = Path(__file__).resolve().parent.parent

POLL_S = 0.01  # no test waits noticeably longer than it must, and the cores are left to the tested code


async def wait_until(
    predicate: Callable[[], Awaitable[T]] | Callable[[], T], timeout: float = 10, description: str = ""
) -> T:
    """Poll ``predicate`` (plain or async) until it returns something true, and return that.

    Raises ``AssertionError`` with ``description`` and the last value when ``timeout`` seconds have passed.
    """
    deadline = time.monotonic() + timeout
    while True:
        outcome = predicate()
        value = await outcome if inspect.isawaitable(outcome) else outcome
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(_timed_out(predicate, timeout, description, value))
        await asyncio.sleep(POLL_S)


def wait_until_sync(predicate: Callable[[], T], timeout: float = 10, description: str = "") -> T:
    """Like `wait_until`, for tests that have no event loop."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(_timed_out(predicate, timeout, description, value))
        time.sleep(POLL_S)


def free_port() -> int:
    """A TCP port that was free on 127.0.0.1 a moment ago; prefer port 0 where a server can report its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def shared_data() -> Path:
    """The folder of real pages and their truth that is not part of the repository; skips where it is absent.

    ``LEADFLEET_SHARED`` names it, else ``../shared/data`` beside the repository.
    """
    folder = Path(os.environ.get("LEADFLEET_SHARED") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"the shared data folder is not on this machine (looked at {folder})")
    return folder


def _timed_out(predicate: object, timeout: float, description: str, value: object) -> str:
    what = description or getattr(predicate, "__qualname__", repr(predicate))
    return f"waited {timeout:g} s for: {what}; last value: {value!r}"
