"""How long a task takes to be back after something died: a distribution of at least 20 deaths a row."""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import psutil
from redis.asyncio import Redis

from fleet.keys import Keys
from infra.bench.rows import Row
from infra.sample_town import DIRECTORY_URL
from infra.sample_town.model import SITE_SUFFIX
from infra.sample_town.server import TownServer
from infra.stack.options import Options
from infra.stack.stack import Stack

RUNS = 20
NODES = 5
"""Agents that are killed in one go: each loss lasts as long as a session does, whatever the others do."""
LOOK_S = 0.005
LIMIT_S = 60.0
"""Far beyond every bound: what takes longer is not slow, it is broken."""
SPREAD_S = 3.0
"""Over which the agents of one go are killed: as long as from one heartbeat to the next."""

T = TypeVar("T")


@dataclass
class Patient:
    """A stack, and clients that look into its store: an answer of the API would add its own time."""

    stack: Stack
    session: aiohttp.ClientSession
    redis: Redis
    keys: Keys
    town: TownServer

    async def start(self) -> str:
        """A task of one unit of many pages; its unit."""
        body = {"queries": [DIRECTORY_URL], "platforms": ["directory"]}
        async with self.session.post(f"{self.stack.url}/api/scraper/start", json=body) as answer:
            answer.raise_for_status()
            return f"{(await answer.json())['task_id']}.0"

    async def stop(self, unit: str) -> None:
        async with self.session.post(f"{self.stack.url}/api/scraper/stop/{_task(unit)}") as answer:
            answer.raise_for_status()

    async def lease(self, unit: str, *, other_than: str = "") -> tuple[str, str]:
        """``(slot, fence)`` of a unit that runs, once it does so under another fence."""

        async def leased() -> tuple[str, str] | None:
            found = await self._unit(unit)
            return (found["slot"], found["fence"]) if found.get("fence", other_than) != other_than else None

        return await _until(leased, f"{unit} to run")

    async def pages(self, unit: str, least: int) -> None:
        """Return once the task has visited so many pages: there is a checkpoint then."""

        async def visited() -> bool:
            found: Any = await self.redis.hget(self.keys.task(_task(unit)), "pages")
            return int(found or 0) >= least

        await _until(visited, f"{unit} to visit {least} pages")

    async def asked_after(self, moment: float) -> float:
        """Unix time of the first page that the town was asked for after ``moment``."""

        async def asked() -> float | None:
            return next((asked.at for asked in self.town.requests if asked.at > moment), None)

        return await _until(asked, "the next page")

    async def queued(self, unit: str, killed: float) -> float:
        """Seconds from ``killed`` (Unix time) until the unit waits for another node."""

        async def waits() -> bool:
            return (await self._unit(unit))["state"] == "queued"

        await _until(waits, f"{unit} to be queued again")
        return time.time() - killed

    async def _unit(self, unit: str) -> dict[str, str]:
        found: Any = await self.redis.hgetall(self.keys.unit(unit))
        return {name.decode(): value.decode() for name, value in found.items()}


@contextlib.asynccontextmanager
async def patient(nodes: int) -> AsyncIterator[Patient]:
    """A stack of ``nodes`` with one Chrome each."""
    with tempfile.TemporaryDirectory(prefix="leadfleet-bench-") as state:
        async with TownServer() as town:  # in this process: it knows when a page was asked for
            allowed = (f"*.{SITE_SUFFIX}=127.0.0.1:{town.port}",)
            settings = {"LEADFLEET_RATE_SCALE": "1000"}
            options = Options(state=Path(state), nodes=nodes, slots=1, egress_allow=allowed, settings=settings)
            async with Stack(options) as stack:
                headers = {"Authorization": f"Bearer {stack.api_key}"}
                redis = Redis.from_url(stack.redis_url)
                try:
                    async with aiohttp.ClientSession(headers=headers) as session:
                        yield Patient(stack, session, redis, Keys(options.fleet), town)
                finally:
                    await redis.aclose()


async def chrome_death() -> list[Row]:
    """From the kill of a Chrome with a task until that task asks for its next page, on a fresh one in the same slot."""
    times = []
    async with patient(nodes=1) as found:
        for _ in range(RUNS):
            unit = await found.start()
            slot, fence = await found.lease(unit)
            await found.pages(unit, 2)
            killed = time.time()
            _browser(found.stack, slot).kill()
            await found.lease(unit, other_than=fence)
            times.append(await found.asked_after(time.time()) - killed)
            print(f"{len(times)} Chromes killed, the last was back after {times[-1]:.2f} s", flush=True)
            await found.stop(unit)
    return distribution("recovery_chrome_death", times)


async def agent_death() -> list[Row]:
    """From the kill of an agent, which does not come back, until its unit waits for another node."""
    times: list[float] = []
    chance = random.Random(1)  # noqa: S311 - when to kill is no secret
    async with patient(NODES) as found:
        while len(times) < RUNS:
            units = [await found.start() for _ in range(NODES)]
            slots = [(await found.lease(unit))[0] for unit in units]
            pauses = sorted(chance.uniform(0, SPREAD_S) for _ in units)

            async def lose(unit: str, slot: str, pause: float) -> float:
                await asyncio.sleep(pause)
                killed = time.time()
                await found.stack.lose(slot.partition("/")[0])
                return await found.queued(unit, killed)

            times += await asyncio.gather(*map(lose, units, slots, pauses))
            print(f"{len(times)} agents killed, the last ones' units were back after {times[-1]:.1f} s", flush=True)
            for unit in units:
                await found.stop(unit)
            for slot in slots:
                await found.stack.add_node(slot.partition("/")[0])
            await found.stack.wait_for_nodes()
    return distribution("recovery_agent_death", times)


def distribution(name: str, seconds: Sequence[float]) -> list[Row]:
    """Rows of p50, p95 and the longest of ``seconds``."""
    ordered = sorted(seconds)
    figures = {
        "p50": statistics.median(ordered),
        "p95": ordered[min(len(ordered) - 1, round(len(ordered) * 0.95))],
        "max": ordered[-1],
    }
    runs = f"{len(ordered)} runs"
    return [Row(f"{name}_{which}_s", round(took, 2), "s", None, runs) for which, took in figures.items()]


def _browser(stack: Stack, slot: str) -> psutil.Process:
    """The browser process of a slot, which is a child of its agent."""
    node, _, index = slot.partition("/")
    pid = stack.children[node].pid
    assert pid is not None
    for child in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            command = " ".join(child.cmdline())
            if f"/slots/{index}/" in command and "--remote-debugging-port" in command and "--type=" not in command:
                return child
    raise LookupError(f"no Chrome runs on {slot}")


def _task(unit: str) -> str:
    return unit.rpartition(".")[0]


async def _until(look: Callable[[], Awaitable[T | None]], what: str) -> T:
    """The first true answer of ``look``; TimeoutError after ``LIMIT_S``."""
    deadline = time.monotonic() + LIMIT_S
    while not (found := await look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {LIMIT_S:g} s for {what}")
        await asyncio.sleep(LOOK_S)
    return found
