"""The slots of a node: each keeps one warm Chrome, replaces it when it dies and lends it to one unit at a time.

A unit gets a *lane*: a fresh BrowserContext with one open tab, made before it is asked for. Contexts share nothing
(cookies, storage, caches, service workers), so no tenant sees what another one left; inside a unit tabs are reused.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from playwright.async_api import BrowserContext, Error, Page

from browser_node import disk, processes
from browser_node.chrome import WINDOW, Chrome, ChromeFailed, ChromeSpec
from browser_node.driver import Connection, Driver
from browser_node.guard import Guard
from browser_node.pulse import PING_EVERY, PING_TIMEOUT, Pulse
from fleet.cancellation import end_all, to_the_end
from fleet.model import SlotState

LANE_TIMEOUT = timedelta(seconds=30)
"""Making or closing a context takes 0.1 s. A Chrome that hangs is gone long before, by its pings; this is for one whose
contexts alone do, on a machine that is as busy as a launch may find it."""

RELAUNCH_FIRST = timedelta(seconds=1)
RELAUNCH_MOST = timedelta(seconds=30)
"""Between launches that fail: a full disk or a missing library does not go away by trying faster."""

SPACE_AGAIN = timedelta(seconds=1)
"""How often a slot without room for its Chrome looks whether there is some."""

CHROME_DIED, DRIVER_LOST = "chrome_died", "driver_lost"

OnChange = Callable[[int, SlotState, int], None]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RecycleAfter:
    """A Chrome is replaced between units once it has served ``units`` or holds ``memory`` bytes."""

    units: int
    memory: int


@dataclass(slots=True)
class Lane:
    """What a unit runs in. ``ended`` resolves to a code when the Chrome or the way to it is gone."""

    context: BrowserContext
    ended: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def end(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)


class Slot:
    """One slot. ``on_change(index, state, port)`` is told when its Chrome is warm (free) or gone (broken)."""

    def __init__(
        self,
        index: int,
        directory: Path,
        spec: ChromeSpec,
        driver: Driver,
        recycle: RecycleAfter,
        on_change: OnChange,
        user_agent: str = "",
    ) -> None:
        self.index = index
        self.directory = directory
        """Of its Chrome's profile and temporary files."""
        self._spec, self._driver = spec, driver
        self._recycle, self._on_change, self._user_agent = recycle, on_change, user_agent
        self._chrome: Chrome | None = None
        self._lane: Lane | None = None
        self._lent: Lane | None = None
        self._warm = asyncio.Event()
        self._returned = asyncio.Event()
        self._retire = asyncio.Event()
        self._units = 0
        self._announced = False
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The debug port of the warm Chrome, 0 when there is none."""
        return self._chrome.port if self._chrome is not None and self._announced else 0

    @property
    def pid(self) -> int:
        """The leader of its Chrome's session, 0 when there is none."""
        return self._chrome.pid if self._chrome is not None and self._chrome.alive else 0

    async def warm(self) -> None:
        """Return once a lane can be lent."""
        await self._warm.wait()

    async def lend(self) -> Lane:
        """A fresh lane, as soon as there is one; the caller gives it back."""
        while self._lane is None:
            await self._warm.wait()
        self._lent, self._lane = self._lane, None
        self._warm.clear()
        self._returned.clear()
        self._units += 1
        return self._lent

    async def due(self) -> bool:
        """Whether the Chrome is to be replaced before the next unit. Says so at once, before the unit's end."""
        chrome = self._chrome
        if chrome is None:
            return True
        memory = await asyncio.to_thread(chrome.memory)
        due = self._units >= self._recycle.units or memory >= self._recycle.memory
        if due:
            log.info("chrome_recycled", slot=self.index, units=self._units, memory_mb=memory >> 20)
            self._announce(SlotState.BROKEN)
            self._retire.set()
        return due

    def give_back(self, lane: Lane) -> None:
        """The unit is over: its context is closed, and with it its tabs and what they stored. Never waits."""
        if lane is self._lent:
            self._lent = None
            self._later(self._close(lane, self._chrome), "close-context")

    def kill(self) -> None:
        """Kill the Chrome; a new one follows."""
        if self._chrome is not None:
            self._chrome.kill()

    def fail(self, reason: str) -> None:
        """Kill the Chrome, and have the unit that runs in it fail for ``reason``."""
        if self._lent is not None:
            self._lent.end(reason)
        self.kill()

    async def keep(self) -> None:
        """Keep a Chrome warm until cancelled; then leave neither process nor directory."""
        try:
            await self._keep()
        finally:
            await end_all(self._closing)

    async def _keep(self) -> None:
        pause = RELAUNCH_FIRST
        while True:
            self._retire.clear()
            self._units = 0
            try:
                await self._until_room()
                self._chrome = await Chrome.launch(self._spec, self.directory)
                try:
                    await self._live(self._chrome)
                    pause = RELAUNCH_FIRST
                finally:
                    self._cool()
                    await to_the_end(self._chrome.stop())
                    self._chrome = None
            except (ChromeFailed, Error, TimeoutError, OSError) as exc:
                why = f"{type(exc).__name__}: {exc}"
                log.error("chrome_launch_failed", slot=self.index, error=why, again_in=pause.total_seconds())
                await asyncio.sleep(pause.total_seconds())
                pause = min(pause * 2, RELAUNCH_MOST)

    async def _until_room(self) -> None:
        """Wait until the disk has room for a profile: a Chrome that starts without fails as it likes."""
        state, told = Path(self._spec.mark), False
        while not disk.has_room(state):
            if not told:
                log.error("no_space", slot=self.index, state=str(state), needed_mb=disk.ROOM_FOR_A_CHROME >> 20)
                told = True
            await asyncio.sleep(SPACE_AGAIN.total_seconds())

    async def _live(self, chrome: Chrome) -> None:
        """One Chrome's life: serve lanes until it dies or is to be replaced."""
        pings = asyncio.create_task(self._ping(chrome), name=f"slot-{self.index}-ping")
        try:
            while chrome.alive and not self._retire.is_set():
                connection = await self._driver.connect(chrome.port)
                await self._warm_up(connection)
                # not before: it would be the last to be served while it still has all to do
                await chrome.step_back()
                await self._serve(chrome, connection)
        except (Error, TimeoutError):
            if chrome.alive:  # an error of a Chrome that just died says nothing new
                raise
        finally:
            pings.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pings

    async def _serve(self, chrome: Chrome, connection: Connection) -> None:
        """Lanes over one connection, the first of which is there; returns when it, the Chrome or its time is over."""
        lost = asyncio.create_task(connection.lost.wait())
        retire = asyncio.create_task(self._retire.wait())
        try:
            while True:
                returned = asyncio.create_task(self._returned.wait())
                await asyncio.wait({chrome.died, lost, retire, returned}, return_when=asyncio.FIRST_COMPLETED)
                returned.cancel()
                if not chrome.alive:
                    self._end_lanes(CHROME_DIED)
                    return
                if connection.lost.is_set():
                    self._end_lanes(DRIVER_LOST)
                    return
                if self._retire.is_set():
                    await self._until_returned(chrome)
                    return
                await self._warm_up(connection)
        finally:
            lost.cancel()
            retire.cancel()

    async def _until_returned(self, chrome: Chrome) -> None:
        """A Chrome that is to be replaced waits for its unit's context to be closed, unless it dies first."""
        if self._returned.is_set() or (self._lent is None and self._lane is not None):
            return  # closed already, or nobody came
        returned = asyncio.create_task(self._returned.wait())
        await asyncio.wait({chrome.died, returned}, return_when=asyncio.FIRST_COMPLETED)
        returned.cancel()

    async def _warm_up(self, connection: Connection) -> None:
        async with asyncio.timeout(LANE_TIMEOUT.total_seconds()):
            context = await connection.browser.new_context(
                viewport={"width": WINDOW[0], "height": WINDOW[1]},
                user_agent=self._user_agent or None,
                accept_downloads=False,
                service_workers="block",
            )
            await context.new_page()
        context.on("page", self._close_popup)
        self._lane = Lane(context)
        self._returned.clear()
        self._announce(SlotState.FREE)
        self._warm.set()

    def _close_popup(self, page: Page) -> None:
        """Pages open windows without end; the runner's own tabs have no opener and stay."""
        self._later(_close_if_opened(page), "close-popup")

    async def _close(self, lane: Lane, chrome: Chrome | None) -> None:
        """``chrome`` is the one that it is in; by its end there may be another, which is not concerned."""
        try:
            async with asyncio.timeout(LANE_TIMEOUT.total_seconds()):
                await lane.context.close()
        except (Error, TimeoutError):
            if chrome is not None:
                chrome.kill()
        finally:
            if chrome is self._chrome:
                self._returned.set()

    def _later(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _ping(self, chrome: Chrome) -> None:
        """Kill a Chrome that hangs."""
        pulse = Pulse()
        while True:
            await asyncio.sleep(PING_EVERY.total_seconds())
            before = chrome.waits()
            answered = await chrome.answers(PING_TIMEOUT) or not chrome.alive
            waited = processes.longest_wait(before, chrome.waits())
            if pulse.hangs(answered=answered, waited_s=waited):
                log.error("chrome_hangs", slot=self.index, pid=chrome.pid)
                chrome.kill()
                return
            if not answered:
                log.warning("chrome_starves", slot=self.index, pid=chrome.pid, waited_s=round(waited, 1))

    def _end_lanes(self, reason: str) -> None:
        if self._lent is not None:
            log.warning("lane_ended", slot=self.index, reason=reason)
        if reason == CHROME_DIED:
            self._announce(SlotState.BROKEN)
        for lane in (self._lane, self._lent):
            if lane is not None:
                lane.end(reason)
        self._lane = self._lent = None
        self._warm.clear()

    def _cool(self) -> None:
        self._end_lanes(CHROME_DIED)

    def _announce(self, state: SlotState) -> None:
        warm = state is SlotState.FREE
        if warm != self._announced:
            self._announced = warm
            self._on_change(self.index, state, self._chrome.port if warm and self._chrome else 0)


async def _close_if_opened(page: Page) -> None:
    with contextlib.suppress(Error):
        if await page.opener() is not None:
            await page.close()


class Pool:
    """All slots of a node, the driver they share, and who guards them: a Chrome may hold ``memory`` bytes."""

    def __init__(self, make_slot: Callable[[int, Driver], Slot], count: int, state: Path, memory: int) -> None:
        self._driver = Driver()
        self.slots = [make_slot(index, self._driver) for index in range(count)]
        self._guard = Guard(self.slots, state, memory)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to keep the slots warm; `Slot.warm` says when one is."""
        self._tasks = [asyncio.create_task(slot.keep(), name=f"slot-{slot.index}") for slot in self.slots]
        self._tasks.append(asyncio.create_task(self._driver.watch(), name="driver-watch"))
        self._tasks.append(asyncio.create_task(self._guard.watch(), name="guard"))

    async def stop(self) -> None:
        """End every Chrome and the driver."""
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                log.error("slot_ended_badly", error=repr(result))
        await self._driver.stop()
