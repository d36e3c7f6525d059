"""Fake nodes on a real Valkey: what they say goes through the real scripts, what they are told is read as nodes do."""

from __future__ import annotations

import asyncio
import itertools
import signal
import socket
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

from browser_node.launcher import tied
from control_plane.scheduling.ingest import UnitFacts, checked_events, checked_results
from control_plane.scheduling.limits import Limits
from control_plane.scheduling.scripts import NewTask, Scripts, Submitted
from fleet import ids, messages
from fleet.cancellation import end_all
from fleet.connect import Store
from fleet.keys import Keys
from fleet.messages import Batch, Heartbeat, Register, Run, UnitEnd
from infra.stack import valkey

TENANTS, SLOTS, QUEUED, TASK_UNITS = 50, 10, 100, 20
"""A node's slots and the units that wait for it; units of a task, all of which may run at once."""

CLIENTS = 16
"""Calls in flight: a few replicas' worth."""

TIMEOUT_S = 600
"""What is measured may be slow; it must not fail."""


def lead(number: int) -> dict[str, Any]:
    """What an ordinary page tells of a business."""
    phone = f"30{number % 100_000_000:08}"
    return {
        "display_name": f"Backstube Sonnenschein {number}", "categories": ["bakery"],
        "website": f"https://www.sonnenschein-{number}.test/",
        "description": "Bread and rolls since 1923, every morning from six, in the third generation of the family.",
        "phones": [{"raw": f"0{phone}", "e164": f"+49{phone}", "national": f"0{phone}", "type": "fixed_line",
                    "validation_status": "valid"}],
        "source_url": f"https://www.sonnenschein-{number}.test/kontakt",
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cost:
    """What one operation costs. Times in ms; ``cpu_us`` is the server's processor time, which a busy machine does not
    stretch; ``per_s`` is what the clients saw with CLIENTS calls in flight."""

    cpu_us: float
    server_p50: float
    server_p99: float
    client_p50: float
    client_p99: float
    per_s: float


class FakeFleet:
    """One size of fleet on a server of its own. Use ``running``."""

    def __init__(self, url: str, nodes: int) -> None:
        self.nodes = [f"n{number}" for number in range(nodes)]
        self.keys = Keys("bench")
        pool: dict[str, Any] = {"timeout": TIMEOUT_S, "socket_timeout": None, "socket_connect_timeout": TIMEOUT_S}
        # a pool that is passed as an argument would be left open
        self.client: Store = Redis.from_pool(BlockingConnectionPool.from_url(url, max_connections=64, **pool))
        self._listening: Store = Redis.from_pool(
            BlockingConnectionPool.from_url(url, max_connections=nodes + 1, **pool)
        )
        limits = Limits(
            queue_cap=10_000_000, tenant_daily_units=10_000_000, tenant_max_queued=10_000_000, session_ttl_ms=3_600_000,
            idle_ms=3_600_000,
        )  # fmt: skip
        self.scripts = Scripts(self.client, self.keys, limits)
        self.leases: dict[str, dict[str, Run]] = defaultdict(dict)
        self._seen = dict.fromkeys(self.nodes, "0-0")
        self._entries, self._tasks = itertools.count(1), itertools.count()
        self._busy: set[str] = set()
        self._turn = itertools.cycle(self.nodes)

    @classmethod
    @asynccontextmanager
    async def running(cls, nodes: int) -> AsyncIterator[FakeFleet]:
        """A durable server, and ``nodes`` connections that wait for commands on it."""
        with tempfile.TemporaryDirectory(prefix="leadfleet-bench-") as folder, _server(Path(folder)) as url:
            fleet = cls(url, nodes)
            await _answers(fleet.client)
            listeners = [asyncio.create_task(fleet._listen(node)) for node in fleet.nodes]
            try:
                yield fleet
            finally:
                await end_all(listeners)
                await fleet.client.aclose()
                await fleet._listening.aclose()

    # Operations, each one call of a script.

    async def register(self, node: str) -> None:
        await self.scripts.join(node, "hash", "0-1")
        slots = [{"index": index, "port": 9000 + index} for index in range(SLOTS)]
        await self.scripts.register(node, self.entry(), Register(boot="boot", slots=slots))

    async def submit(self, units: int = TASK_UNITS, parallel: int = TASK_UNITS) -> str:
        """A task of the tenant whose turn it is."""
        number = next(self._tasks)
        new = NewTask(
            tenant=f"t{number % TENANTS}", task=ids.new_task_id(), spec="{}", max_parallel=parallel,
            options='{"max_results":100,"respect_robots":true,"render":"auto","enrich_websites":true}',
            units=[("website", f"https://www.business-{number}-{unit}.test/") for unit in range(units)],
        )  # fmt: skip
        submitted = await self.scripts.submit(new)
        assert isinstance(submitted, Submitted), submitted
        return submitted.task

    async def unit_end(self) -> None:
        """Ends a unit; the next one is dispatched to its slot in the same call."""
        async with self._a_node() as node:
            entry, end = self.entry(), self.end(node)
            assert await self.scripts.unit_end(node, entry, end) == "ok"

    async def heartbeat(self) -> None:
        async with self._a_node() as node:
            assert await self.scripts.heartbeat(node, self.entry(), self.beat(node)) == "ok"

    async def ingest(self) -> None:
        """A page: one lead, one line of log, two fields of a checkpoint."""
        async with self._a_node() as node:
            await self._ingest(node, next(iter(self.leases[node].values())))

    async def _ingest(self, node: str, run: Run) -> None:
        entry, number = self.entry(), next(self._entries)
        batch = Batch(
            boot="boot", unit=run.unit, fence=run.fence, seq=number, results=[lead(number)], pages=1, current=run.query,
            events=[{"kind": "log", "data": {"message": f"Visited {run.query}", "level": "info"}}],
            set={f"seen:{number % 10}": "1", "frontier": run.query * 4},
        )  # fmt: skip
        facts = UnitFacts("t0", "website", run.query, phone_only=False, objective=None)
        events, results = checked_events(batch.unit, batch.events), checked_results(batch, facts, entry)
        assert await self.scripts.ingest(node, entry, batch, events, results) == ("ok", 1)

    def beat(self, node: str) -> Heartbeat:
        """What the node would say now."""
        live = {run.unit: run.fence for run in self.leases[node].values()}
        return Heartbeat(boot="boot", live=live, commands_seen=self._seen[node], load={"cpu": 0.5, "rss_mb": 900})

    def end(self, node: str) -> UnitEnd:
        """The end of one of the node's units, which it then has no longer."""
        _, run = self.leases[node].popitem()
        return UnitEnd(boot="boot", unit=run.unit, fence=run.fence, seq=1_000_000, outcome="completed")

    def entry(self) -> str:
        """An id later than all before it."""
        return f"{time.time_ns() // 1_000_000}-{next(self._entries)}"

    # Measuring.

    async def cost(self, operation: Callable[[], Awaitable[Any]], count: int) -> Cost:
        """``count`` operations, CLIENTS at once; the server's times are those of its EVALSHA."""
        await operation()  # the script is loaded, the connection is open
        times: list[float] = []
        left = iter(range(count))

        async def client() -> None:
            for _ in left:
                began = time.perf_counter()
                await operation()
                times.append((time.perf_counter() - began) * 1000)

        await self.client.config_resetstat()
        cpu, began = await self.cpu_s(), time.perf_counter()
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        took, cpu = time.perf_counter() - began, await self.cpu_s() - cpu
        found = (await self.client.info("latencystats")).get("latency_percentiles_usec_evalsha", {})
        return Cost(
            cpu_us=cpu / count * 1e6,
            server_p50=found.get("p50", 0) / 1000,
            server_p99=found.get("p99", 0) / 1000,
            client_p50=percentile(times, 0.5),
            client_p99=percentile(times, 0.99),
            per_s=count / took,
        )

    async def cpu_s(self) -> float:
        """Processor time that the server has used, in seconds."""
        info = await self.client.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    async def memory(self) -> int:
        """Bytes of the server, without what its connections and the writing of its log take for the moment."""
        info = await self.client.info("memory")
        return int(info["used_memory"]) - int(info["mem_clients_normal"]) - int(info["mem_aof_buffer"])

    async def held_ms(self, call: Awaitable[Any]) -> tuple[Any, float]:
        """Its answer, and the server's processor time for one large call: for so long it answers nobody else."""
        before = await self.cpu_s()
        answer = await call
        return answer, (await self.cpu_s() - before) * 1000

    async def all_know(self, leases: int) -> None:
        """Waits until the nodes have read that many leases."""
        until = time.monotonic() + TIMEOUT_S
        while sum(map(len, self.leases.values())) < leases:
            if time.monotonic() > until:
                raise TimeoutError(f"the nodes have read {sum(map(len, self.leases.values()))} of {leases} leases")
            await asyncio.sleep(0.05)

    # Parts.

    @asynccontextmanager
    async def _a_node(self) -> AsyncIterator[str]:
        """A node that runs something and has no entry in flight: a node's entries are applied in order."""
        while True:
            node = next(self._turn)
            if self.leases[node] and node not in self._busy:
                break
            await asyncio.sleep(0)
        self._busy.add(node)
        try:
            yield node
        finally:
            self._busy.discard(node)

    async def _listen(self, node: str) -> None:
        """As the agent does: a blocking read of its own command stream on a connection of its own."""
        stream = self.keys.commands(node)
        while True:
            for _, entries in await self._listening.xread({stream: self._seen[node]}, block=0) or ():
                for raw, fields in entries:
                    command = messages.parse(fields, messages.COMMANDS)
                    if isinstance(command, Run):
                        self.leases[node][command.unit] = command
                    self._seen[node] = raw.decode()


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(len(ordered) * share))]


class _server:  # noqa: N801
    """``with _server(folder) as url``: a Valkey as the embedded stack runs it."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port: int = free.getsockname()[1]
        self._folder = folder

    def __enter__(self) -> str:
        command = [*valkey.command(self._folder, self._port), "--maxclients", "10000"]
        with (self._folder / "valkey.log").open("wb") as log:
            self._process = subprocess.Popen(tied(command, signal.SIGTERM), stdout=log, stderr=log)
        return f"redis://127.0.0.1:{self._port}/0"

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(TIMEOUT_S)


async def _answers(client: Redis) -> None:
    until = time.monotonic() + TIMEOUT_S
    while True:
        try:
            await client.ping()
        except RedisError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.1)
        else:
            return
