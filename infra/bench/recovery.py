"""How long a task takes to be back after something died: a distribution of at least 20 deaths a row."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import psutil
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from fleet.cancellation import end_all
from fleet.ids import stream_position
from fleet.keys import Keys
from fleet.messages import Heartbeat
from infra.bench.rows import Row, distribution
from infra.sample_town import DIRECTORY_URL
from infra.sample_town.model import SITE_SUFFIX
from infra.sample_town.server import Asked, TownServer
from infra.stack.options import Options
from infra.stack.stack import Stack

RUNS = 20
NODES = 5
"""Agents that are killed in one go: each loss lasts as long as a session does, whatever the others do."""
CHROME_BOUND_S, AGENT_BOUND_S, VALKEY_BOUND_S = 2.0, 22.0, 5.0
LOOK_S = 0.005
RETRY_S = 0.05
"""Of a client that got no answer."""
LIMIT_S = 60.0
"""Far beyond every bound: what takes longer is not slow, it is broken."""
SPREAD_S = 3.0
"""Over which the agents of one go are killed: as long as from one heartbeat to the next."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Lease:
    """What became of a lease, ``at`` Unix time, as the store wrote it down. ``state``: what a unit became that left."""

    at: float
    slot: str
    fence: str
    state: str


@dataclass
class Patient:
    """A stack, and clients that look into its store: an answer of the API would add its own time."""

    stack: Stack
    session: aiohttp.ClientSession
    redis: Redis
    keys: Keys
    town: TownServer

    async def start(self) -> str:
        """A task of one unit of many pages; its unit. Asks until the task is accepted."""
        body = {"queries": [DIRECTORY_URL], "platforms": ["directory"]}
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with self.session.post(f"{self.stack.url}/api/scraper/start", json=body) as answer:
                    if answer.status != 503:
                        answer.raise_for_status()
                        return f"{(await answer.json())['task_id']}.0"
            await asyncio.sleep(RETRY_S)

    async def stop(self, unit: str) -> None:
        async with self.session.post(f"{self.stack.url}/api/scraper/stop/{_task(unit)}") as answer:
            answer.raise_for_status()

    async def granted(self, unit: str, after: float = 0) -> Lease:
        """The first lease of a unit that was granted after ``after`` (Unix time)."""
        return await self._logged("granted", unit, after)

    async def ended(self, unit: str, after: float) -> Lease:
        """The first lease of a unit that ended after ``after``: the unit waits then, or runs elsewhere already."""
        return await self._logged("ended", unit, after)

    async def _logged(self, kind: str, unit: str, after: float) -> Lease:
        async def found() -> Lease | None:
            log: Any = await self.redis.xrange(self.keys.leases(), min=int(after * 1000))
            for entry, fields in log:
                if (fields[b"k"], fields[b"unit"]) == (kind.encode(), unit.encode()):
                    slot, fence, state = (fields[name].decode() for name in (b"slot", b"fence", b"state"))
                    return Lease(_moment(entry.decode()), slot, fence, state)
            return None

        return await _until(found, f"a lease of {unit} to be {kind}")

    async def pages(self, unit: str, least: int) -> None:
        """Return once the task has visited so many pages: there is a checkpoint then."""

        async def visited() -> bool:
            return await self.visited(unit) >= least

        await _until(visited, f"{unit} to visit {least} pages")

    async def visited(self, unit: str) -> int:
        """How many pages the task has visited."""
        found: Any = await self.redis.hget(self.keys.task(_task(unit)), "pages")
        return int(found or 0)

    async def asked_after(self, moment: float) -> Asked:
        """The first page that the town was asked for after ``moment`` (Unix time)."""

        async def asked() -> Asked | None:
            pages = (asked for asked in self.town.requests if asked.path != "/robots.txt")
            return next((asked for asked in pages if asked.at > moment), None)

        return await _until(asked, "the next page")

    async def beat(self, node: str, after: float) -> None:
        """Return once a heartbeat that the node sent after ``after`` has been read."""

        async def heard() -> bool:
            entries: Any = await self.redis.xrange(self.keys.out(node), min=int(after * 1000))
            beats = [entry.decode() for entry, fields in entries if fields[b"k"] == Heartbeat.KIND.encode()]
            cursor: Any = await self.redis.hget(self.keys.node(node), "cursor")
            return bool(beats) and _position(cursor.decode()) >= _position(beats[0])

        await _until(heard, f"a heartbeat of {node}")


@dataclass
class Viewer:
    """Watches a task over as many connections as it takes."""

    found: Patient
    unit: str
    last: str = "0-0"
    """The id of the last event it was told of."""

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            path = f"/api/scraper/ws/events/{_task(self.unit)}?last_event_id={self.last}"
            with contextlib.suppress(aiohttp.ClientError):
                async with self.found.session.ws_connect(self.found.stack.url + path) as socket:
                    async for message in socket:
                        self.last = message.json().get("id", self.last)
            await asyncio.sleep(RETRY_S)

    async def told(self, after: float) -> None:
        """Return once it was told of something that happened after ``after`` (Unix time)."""

        async def told() -> bool:
            return _moment(self.last) > after

        await _until(told, f"an event of {self.unit}")


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
                # a connection that died with its server must not cost what is measured more than a look
                redis = Redis.from_url(stack.redis_url, retry=Retry(ConstantBackoff(LOOK_S), 100))
                try:
                    async with aiohttp.ClientSession(headers=headers) as session:
                        yield Patient(stack, session, redis, Keys(options.fleet), town)
                finally:
                    await redis.aclose()


async def chrome_death() -> list[Row]:
    """From the kill of a Chrome with a task until that task asks for its next page, on a fresh one in the same slot."""
    times: list[float] = []
    async with patient(nodes=1) as found:
        for _ in range(RUNS):
            began = time.time()
            unit = await found.start()
            first = await found.asked_after(began)
            slot = (await found.granted(unit)).slot
            await found.pages(unit, 2)
            killed = time.time()
            _browser(found.stack, slot).kill()
            again = await found.granted(unit, killed)
            page = await found.asked_after(again.at)
            if page.path == first.path:
                raise RuntimeError(f"{unit} was begun anew, at {page.path}, and not resumed from its checkpoint")
            times.append(page.at - killed)
            print(f"{len(times)} Chromes killed, the last was back after {times[-1]:.2f} s", flush=True)
            await found.stop(unit)
    return distribution("recovery_chrome_death", times, CHROME_BOUND_S)


async def agent_death() -> list[Row]:
    """From the kill of an agent, which does not come back, until its unit waits again or runs elsewhere."""
    times: list[float] = []
    chance = random.Random(1)  # noqa: S311 - when to kill is no secret
    async with patient(NODES) as found:

        async def lose(unit: str, slot: str, pause: float) -> float:
            await asyncio.sleep(pause)
            killed = time.time()
            await found.stack.lose(_node(slot))
            lease = await found.ended(unit, killed)
            if lease.state != "queued":
                raise RuntimeError(f"{unit} became {lease.state} when its agent died, and not queued")
            return lease.at - killed

        while len(times) < RUNS:
            units = [await found.start() for _ in range(NODES)]
            slots = [(await found.granted(unit)).slot for unit in units]
            pauses = sorted(chance.uniform(0, SPREAD_S) for _ in units)
            times += await asyncio.gather(*map(lose, units, slots, pauses))
            print(f"{len(times)} agents killed, the last ones' units were back after {times[-1]:.1f} s", flush=True)
            for unit in units:
                await found.stop(unit)
            for slot in slots:
                await found.stack.add_node(_node(slot))
            await found.stack.wait_for_nodes()
    return distribution("recovery_agent_death", times, AGENT_BOUND_S)


async def valkey_back() -> list[Row]:
    """From the first answer of a Valkey that was killed and reads its log back in until all of this works again: tasks
    progress, events reach a viewer, each node is heard, a task is accepted. A node beats every few seconds only."""
    times: list[float] = []
    async with patient(nodes=2) as found:
        nodes = [name for name in found.stack.children if name.startswith("node-")]
        for _ in range(RUNS):
            units = [await found.start() for _ in nodes]
            viewer = Viewer(found, units[0])
            watching = asyncio.create_task(viewer.watch(), name="watch")
            try:
                for unit in units:
                    await found.pages(unit, 2)
                await found.stack.children["valkey"].crash()
                took = await _all_back(found, nodes, units, viewer)
            finally:
                await end_all([watching])
            times.append(max(took.values()))
            parts = ", ".join(f"{what} {seconds:.2f} s" for what, seconds in took.items())
            print(f"Valkey was killed {len(times)} times; {parts}", flush=True)
            for unit in units:
                await found.stop(unit)
    return distribution("recovery_valkey_back", times, VALKEY_BOUND_S)


async def _all_back(found: Patient, nodes: list[str], units: list[str], viewer: Viewer) -> dict[str, float]:
    """Seconds until each part works, from now on."""
    back, began = time.time(), time.monotonic()
    before = [await found.visited(unit) for unit in units]

    async def submit() -> None:
        submitted.append(await found.start())

    async def timed(*work: Awaitable[None]) -> float:
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(*work)
        return time.monotonic() - began

    submitted: list[str] = []
    tasks, events, heartbeats, accepted = await asyncio.gather(
        timed(*(found.pages(unit, pages + 1) for unit, pages in zip(units, before, strict=True))),
        timed(viewer.told(back)),
        timed(*(found.beat(node, back) for node in nodes)),
        timed(submit()),
    )
    for unit in submitted:
        await found.stop(unit)
    return {"tasks": tasks, "events": events, "heartbeats": heartbeats, "a submit": accepted}


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


def _node(slot: str) -> str:
    return slot.partition("/")[0]


def _position(entry: str) -> tuple[int, int]:
    found = stream_position(entry)
    assert found is not None, entry
    return found


def _moment(entry: str) -> float:
    """Unix time of an entry of a stream, by the store's clock, which is ours."""
    return _position(entry)[0] / 1000


async def _until(look: Callable[[], Awaitable[T | None]], what: str) -> T:
    """The first true answer of ``look``; TimeoutError after ``LIMIT_S``."""
    deadline = time.monotonic() + LIMIT_S
    while not (found := await look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {LIMIT_S:g} s for {what}")
        await asyncio.sleep(LOOK_S)
    return found
