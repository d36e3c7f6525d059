"""Playwright's driver, one process for all slots: started, noticed when it dies, started again.

Playwright says nothing when its driver is killed while no call is in flight, so the process itself is watched.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import timedelta

import psutil
import structlog
from playwright.async_api import Browser, Error, Playwright, async_playwright

CONNECT_TIMEOUT = timedelta(seconds=30)
"""Connecting to a warm Chrome takes 59 ms, and on a machine that others keep busy as long as a launch may take."""

LOOK_EVERY = timedelta(milliseconds=500)
"""Asking the kernel whether a process lives costs 20 µs; units on a dead driver end within this time."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Connection:
    """A browser, and the event that is set when the driver it is reached through has died."""

    browser: Browser
    lost: asyncio.Event


class Driver:
    """Connects to Chromes, with a new process whenever the last one has died."""

    def __init__(self) -> None:
        self._lost = asyncio.Event()
        self._playwright: Playwright | None = None
        self._process: psutil.Process | None = None
        self._starting = asyncio.Lock()

    async def connect(self, port: int) -> Connection:
        """A connection to the Chrome at ``port``, through a driver that lives. Raises playwright's Error."""
        async with self._starting:
            if self._playwright is None or not self._alive():
                await self._start()
        assert self._playwright is not None
        lost = self._lost
        browser = await self._playwright.chromium.connect_over_cdp(
            f"http://127.0.0.1:{port}", timeout=CONNECT_TIMEOUT.total_seconds() * 1000
        )
        return Connection(browser, lost)

    async def watch(self) -> None:
        """Notice when the driver dies; runs until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY.total_seconds())
            if self._process is not None and not self._lost.is_set() and not self._alive():
                log.error("driver_lost", pid=self._process.pid)
                self._lost.set()

    async def stop(self) -> None:
        """End the driver process."""
        playwright, self._playwright = self._playwright, None
        process, self._process = self._process, None
        if playwright is not None:
            with contextlib.suppress(Error, TimeoutError):
                await asyncio.wait_for(playwright.stop(), 5)
        if process is not None:
            with contextlib.suppress(psutil.Error):
                process.kill()

    async def _start(self) -> None:
        await self.stop()
        before = {process.pid for process in _drivers()}
        self._playwright = await async_playwright().start()
        self._process = next(process for process in _drivers() if process.pid not in before)
        self._lost.set()
        self._lost = asyncio.Event()

    def _alive(self) -> bool:
        try:
            return (
                self._process is not None
                and self._process.is_running()
                and self._process.status() != psutil.STATUS_ZOMBIE
            )
        except psutil.Error:
            return False


def _drivers() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if "run-driver" in child.cmdline():
                found.append(child)
    return found
