"""Clients that do what clients do, and hands that hurt a fleet, both at random from a seed."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
import psutil
from redis.exceptions import RedisError

from fleet.cancellation import end_all
from tests.faults.fleet import FaultyFleet
from tests.faults.ledger import StorePicture, lease_entry
from tests.stacks import TERMINAL

HOSTS = 60
"""Sites that tasks choose from: few, so that the leads table merges and stays of one size."""
LOOK_S = 0.5
END_WITHIN_S = 240
"""From submission: a unit that loses its Chrome or its node every time it starts is given up long before."""
FIRST_FAULT_S = 10.0
STORE_BACK_S = 60

T = TypeVar("T")


async def patiently(look: Callable[[], Awaitable[T]]) -> T:
    """What ``look`` finds once the store answers: it is our own look, not a client's, and the store is being hurt."""
    deadline = time.monotonic() + STORE_BACK_S
    while True:
        try:
            return await look()
        except (RedisError, OSError, TimeoutError) as error:
            if time.monotonic() > deadline:
                raise AssertionError(f"the store did not answer for {STORE_BACK_S} s") from error
            await asyncio.sleep(LOOK_S)


@dataclass
class Archive:
    """What the store held of tasks that have ended, and all of the log of leases: the rest has expired by the end."""

    fleet: FaultyFleet
    picture: StorePicture = field(default_factory=StorePicture)
    _last: str = "-"

    async def add(self, task: str) -> None:
        await self.picture.add_task(self.fleet.redis, self.fleet.keys, task)

    async def follow_leases(self) -> None:
        """What the log of leases has got since the last call."""
        found: Any = await self.fleet.redis.xrange(self.fleet.keys.leases(), min=self._last)
        entries = [lease_entry(entry, fields) for entry, fields in found]
        self.picture.leases += entries
        if entries:
            self._last = "(" + entries[-1]["id"]

    async def complete(self) -> StorePicture:
        """The store as it is now, with what has expired; taken when all is quiet."""
        await self.follow_leases()
        now = await StorePicture.take(self.fleet.redis, self.fleet.keys)
        for name in ("tasks", "units", "events", "seen"):
            setattr(now, name, getattr(now, name) | getattr(self.picture, name))
        now.leases = self.picture.leases
        return now


@dataclass
class Clients:
    """``count`` clients, each from a task to the next. What each does follows from the seed alone; when, does not."""

    fleet: FaultyFleet
    archive: Archive
    seed: int
    count: int
    between_s: tuple[float, float]
    """From one submission of a client to its next; chosen so that the fleet keeps up, whatever happens to it."""
    done: Counter[str] = field(default_factory=Counter)
    _viewers: set[asyncio.Task[Any]] = field(default_factory=set)

    async def run(self, until: float) -> None:
        """Until the loop's clock says ``until``; then each ends the task it is at."""
        try:
            async with asyncio.TaskGroup() as group:
                for index in range(self.count):
                    group.create_task(self._client(index, until), name=f"client {index}")
                group.create_task(self._reader(until), name="client of leads")
            if self._viewers:
                await asyncio.wait(self._viewers, timeout=END_WITHIN_S)
            for viewer in self._viewers:
                assert viewer.done(), f"{viewer.get_name()} never ended"
                viewer.result()
        finally:
            await end_all(self._viewers)

    async def _client(self, index: int, until: float) -> None:
        chance = random.Random(f"{self.seed} client {index}")
        number = 0
        while time.monotonic() < until:
            pause = asyncio.create_task(asyncio.sleep(chance.uniform(*self.between_s)))
            try:
                await self._task(f"soak-{self.seed}-{index}-{number}", chance)
                await pause
            finally:
                pause.cancel()
            number += 1

    async def _task(self, key: str, chance: random.Random) -> None:
        sites = [f"http://soak-{chance.randrange(HOSTS)}.site.test/" for _ in range(chance.choice([1, 1, 1, 2, 3]))]
        replica = chance.randrange(2)
        watched, pictures = chance.random() < 0.4, chance.random() < 0.25
        twice, stopped, paused = (chance.random() < share for share in (0.1, 0.08, 0.08))
        wait_s, held_s = chance.uniform(0.2, 3), chance.uniform(0.5, 4)
        task = await self.fleet.submit(*sites, key=key, replica=replica)
        self.done["tasks"] += 1
        self.done["units"] += len(sites)
        if twice:
            assert await self.fleet.submit(*sites, key=key, replica=1 - replica) == task
            self.done["submitted twice"] += 1
        viewer = self.fleet.watch(task, replica) if watched else None
        if pictures:
            self._view(self._pictures(task, replica, held_s), f"pictures of {task}")
        if stopped or paused:
            await asyncio.sleep(wait_s)
            await self._tell("stop" if stopped else "pause", task)
        if paused and not stopped:
            await asyncio.sleep(held_s)
            await self._tell("resume", task)
        await self._until_its_end(task)
        if viewer is not None:
            await asyncio.wait_for(viewer, END_WITHIN_S)
            self.done["watched to the end"] += 1

    async def _until_its_end(self, task: str) -> None:
        deadline = time.monotonic() + END_WITHIN_S
        while (state := await self.fleet.status(task))["status"] not in TERMINAL:
            assert time.monotonic() < deadline, f"{task} has not ended: {state}"
            if state["status"] == "paused":  # the answer to the resumption may have been lost, or the call
                await self._tell("resume", task)
            await asyncio.sleep(LOOK_S)
        self.done[state["status"]] += 1
        await patiently(lambda: self.archive.add(task))

    async def _tell(self, what: str, task: str) -> None:
        """Once, to whoever answers; a task that is over meanwhile says no, which is fine."""
        for replica in range(2):
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                status, answer = await self.fleet.ask("POST", f"/api/scraper/{what}/{task}", None, replica)
                if status < 500:
                    assert status in {200, 409}, (what, task, answer)
                    self.done[f"told to {what}"] += 1
                    return

    def _view(self, work: Any, name: str) -> None:
        viewer = asyncio.create_task(work, name=name)
        self._viewers.add(viewer)

        def over(task: asyncio.Task[Any]) -> None:
            if not task.cancelled() and task.exception() is None:
                self._viewers.discard(task)

        viewer.add_done_callback(over)

    async def _pictures(self, task: str, replica: int, seconds: float) -> None:
        """A viewer of the live pictures that leaves in the middle of one."""
        url = f"{self.fleet.stack.urls[replica]}/api/scraper/live_feed/{task}"
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with asyncio.timeout(seconds), self.fleet.session.get(url) as feed:
                async for _ in feed.content.iter_any():
                    self.done["pieces of pictures"] += 1

    async def _reader(self, until: float) -> None:
        """A client that filters and exports what was found."""
        chance = random.Random(f"{self.seed} reader")
        while time.monotonic() < until:
            replica, exports = chance.randrange(2), chance.random() < 0.3
            path, body = ("/api/export", {"format": "csv"}) if exports else ("/api/filters/leads", {"limit": 50})
            self.done["exports asked for"] += exports
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                status, answer = await self.fleet.ask("POST", path, body, replica)
                assert status < 400 or status == 503, (path, status, answer)
                self.done["exports" if exports else "filters"] += status < 400
            await asyncio.sleep(chance.uniform(5, 15))


@dataclass
class Faults:
    """One fault after another. ``spared`` are a replica and a node that are never killed: what they hold is measured.

    They lose their Chromes, their store and their peers, and are frozen for less than a lease lasts.
    """

    fleet: FaultyFleet
    seed: int
    between_s: tuple[float, float]
    done: list[tuple[float, str]] = field(default_factory=list)
    """(seconds since the first sample, what)."""

    def plan(self) -> list[tuple[int, str, Callable[[random.Random], Awaitable[None]]]]:
        """(weight, name, hand)."""
        return [
            (8, "kill Chrome", self._kill_chrome),
            (2, "freeze Chrome", self._freeze_chrome),
            (2, "kill agent", lambda _: self._kill("node-2")),
            (2, "freeze agent", self._freeze_agent),
            (2, "kill replica", lambda _: self._kill("control-plane-2")),
            (2, "freeze replica", self._freeze_replica),
            (1, "kill Valkey", lambda _: self._kill("valkey")),
            (1, "freeze Valkey", lambda chance: self._freeze("valkey", chance.uniform(1, 6))),
            (2, "kill driver", self._kill_driver),
        ]

    async def run(self, until: float) -> None:
        chance = random.Random(f"{self.seed} faults")
        weights, names, hands = zip(*self.plan(), strict=True)
        began = time.monotonic()
        await asyncio.sleep(FIRST_FAULT_S)
        while time.monotonic() < until:
            (index,) = chance.choices(range(len(names)), weights)
            self.done.append((time.monotonic() - began, names[index]))
            await hands[index](chance)
            await asyncio.sleep(chance.uniform(*self.between_s))

    async def _kill_chrome(self, chance: random.Random) -> None:
        browser = self._browser(chance)
        if browser is not None:
            browser.kill()

    async def _freeze_chrome(self, chance: random.Random) -> None:
        """For good: its agent kills it within 10 s."""
        browser = self._browser(chance)
        if browser is not None:
            browser.suspend()

    def _browser(self, chance: random.Random) -> psutil.Process | None:
        """None while all of them are being replaced."""
        found = sorted(
            (browser for node in ("node-1", "node-2") for browser in self.fleet.browsers(node)), key=lambda b: b.pid
        )
        return chance.choice(found) if found else None

    async def _kill(self, child: str) -> None:
        self.fleet.stack.kill(child)

    async def _kill_driver(self, chance: random.Random) -> None:
        """Of the node that is not measured."""
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.fleet.pid("node-2")).children():
                if "run-driver" in child.cmdline():
                    child.kill()

    async def _freeze_agent(self, chance: random.Random) -> None:
        """Longer than its leases last, now and then, when it is not the one that is measured."""
        node, longest = chance.choice([("node-1", 8.0), ("node-2", 25.0)])
        await self._freeze(node, chance.uniform(3, longest))

    async def _freeze_replica(self, chance: random.Random) -> None:
        await self._freeze(chance.choice(["control-plane-1", "control-plane-2"]), chance.uniform(1, 6))

    async def _freeze(self, child: str, seconds: float) -> None:
        if self.fleet.stack.children[child].running:
            async with self.fleet.frozen(self.fleet.pid(child)):
                await asyncio.sleep(seconds)
