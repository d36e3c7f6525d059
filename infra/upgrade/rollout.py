"""The rollout: which part is renewed when, and what was seen meanwhile."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from fleet.cancellation import end_all
from fleet.keys import Keys
from infra.stack.options import Options
from infra.stack.stack import Stack
from infra.upgrade.balancer import Balancer, balancing
from infra.upgrade.load import Load
from infra.upgrade.next_version import make_next_version

REPLICAS, NODES, CLIENTS = 2, 3, 4
STOP_DELAY_S = 5
"""Twice what a round of the balancer's probes can take, which ask for 2 s at most: whoever is told to stop is left
alone by then."""
SETTLED_TASKS = 6
"""Tasks that end between two steps, so that each step meets a fleet at work."""


@dataclass
class Report:
    """What came of an upgrade. It went well when ``failed`` and ``lost`` are empty and ``missed`` is 0."""

    steps: list[tuple[str, float]] = field(default_factory=list)
    """(what, seconds it took)."""
    requests: int = 0
    failed: list[str] = field(default_factory=list)
    longest_s: float = 0.0
    tasks: int = 0
    lost: dict[str, str] = field(default_factory=dict)
    """Tasks that did not complete, and their state."""
    repeated: int = 0
    """Tasks that were charged with an attempt."""
    slowest_s: float = 0.0
    streams: int = 0
    resumed: int = 0
    missed: int = 0
    versions: dict[str, Counter[str]] = field(default_factory=dict)
    """Messages by who wrote them (``nodes``, ``replicas``) and version."""

    @property
    def well(self) -> bool:
        return not self.failed and not self.lost and not self.missed

    def __str__(self) -> str:
        lines = [f"{what:<40} {seconds:6.1f} s" for what, seconds in self.steps]
        for side, counted in self.versions.items():
            told = ", ".join(f"version {version}: {count}" for version, count in sorted(counted.items()))
            lines.append(f"messages of {side:<28} {told}")
        tasks = f"{self.tasks} tasks, {len(self.lost)} lost, {self.repeated} charged with an attempt"
        lines += [
            f"{self.requests} requests, {len(self.failed)} failed; the slowest took {self.longest_s:.2f} s",
            f"{tasks}; the slowest took {self.slowest_s:.1f} s",
            f"{self.streams} streams, {self.resumed} resumed elsewhere, {self.missed} events missed",
            *self.failed[:10],
            *(f"{task} is {state}" for task, state in self.lost.items()),
        ]
        return "\n".join(lines)


class Versions:
    """Reads along on the streams between replicas and nodes, and counts the versions of what it sees."""

    def __init__(self, redis: Redis, keys: Keys, nodes: list[str]) -> None:
        self._redis = redis
        self._streams = {keys.out(node): "nodes" for node in nodes} | {
            keys.commands(node): "replicas" for node in nodes
        }
        self.counted: dict[str, Counter[str]] = defaultdict(Counter)

    async def watch(self) -> None:
        """Until cancelled. An entry that is trimmed before we read it is not counted."""
        last: dict[Any, Any] = dict.fromkeys(self._streams, "$")
        while True:
            found: Any = await self._redis.xread(last, block=1000)
            for stream, entries in found:
                name = stream.decode()
                last[name] = entries[-1][0]
                self.counted[self._streams[name]].update(fields[b"v"].decode() for _, fields in entries)


async def upgrade(state: Path, say: Callable[[str], None] = print) -> Report:
    """Start a stack in ``state``, put it under load, and renew all its parts but Valkey and S3."""
    options = Options(
        state=state,
        replicas=REPLICAS,
        nodes=NODES,
        slots=1,
        town=True,
        stop_delay_s=STOP_DELAY_S,
        settings={"LEADFLEET_RATE_SCALE": "1000"},
    )
    report = Report()
    with tempfile.TemporaryDirectory(prefix="leadfleet-next-") as folder:
        code = await asyncio.to_thread(make_next_version, Path(folder))
        async with Stack(options) as stack, balancing(stack.urls, stack.api_key) as balancer:
            say(f"{REPLICAS} replicas and {NODES} nodes are up; {CLIENTS} clients begin")
            redis = Redis.from_url(stack.redis_url)
            nodes = [name for name in stack.children if name.startswith("node-")]
            versions, load = Versions(redis, Keys(options.fleet), nodes), Load(balancer, CLIENTS)
            working = asyncio.create_task(load.run(), name="load")
            watching = asyncio.create_task(versions.watch(), name="versions")
            try:
                await _roll(stack, code, balancer, load, working, report, say)
                load.stop.set()
                await working
            finally:
                await end_all([working, watching])
                await redis.aclose()
                _fill(report, balancer, load, versions)
    return report


async def _roll(
    stack: Stack,
    code: Path,
    balancer: Balancer,
    load: Load,
    working: asyncio.Task[None],
    report: Report,
    say: Callable[[str], None],
) -> None:
    async def drain(node: str) -> None:
        assert await balancer.request("POST", f"/api/fleet/nodes/{node}/drain") is not None, report

    async def step(what: str, name: str, node: bool) -> None:
        await _tasks_end(load, working)
        began, failed = time.monotonic(), len(balancer.figures.failed)
        await stack.renew(name, code, (lambda: drain(name)) if node else None)
        if node:
            await stack.wait_for_nodes()
        else:
            await _in_turn(stack, name, balancer)
        report.steps.append((what, time.monotonic() - began))
        say(f"{what}: {report.steps[-1][1]:.1f} s, {len(balancer.figures.failed)} requests have failed")
        for failure in balancer.figures.failed[failed:]:
            say(failure)

    # Replicas first: what nodes of the next version say is then understood by all.
    for name in [name for name in stack.children if name.startswith("control-plane-")]:
        await step(f"{name} stopped, started and in turn again", name, node=False)
    for name in [name for name in stack.children if name.startswith("node-")]:
        await step(f"{name} drained, started and up again", name, node=True)
    await _tasks_end(load, working)


async def _in_turn(stack: Stack, name: str, balancer: Balancer) -> None:
    """Until the balancer sends requests to it: the next replica must not leave before."""
    url = stack.urls[int(name.rpartition("-")[2]) - 1]
    await balancer.until(lambda: balancer.is_ready(url))


async def _tasks_end(load: Load, working: asyncio.Task[None]) -> None:
    """Until `SETTLED_TASKS` more tasks have ended; raises what ended the load."""
    wanted = load.attempts.total() + SETTLED_TASKS
    while load.attempts.total() < wanted:
        if working.done():
            working.result()
        await asyncio.sleep(0.1)


def _fill(report: Report, balancer: Balancer, load: Load, versions: Versions) -> None:
    figures = balancer.figures
    report.requests, report.failed = figures.requests, figures.failed
    report.longest_s = figures.longest_s
    report.tasks = len(load.states)
    report.lost = {task: state for task, state in load.states.items() if state != "completed"}
    report.repeated = sum(count for attempts, count in load.attempts.items() if attempts > 1)
    report.slowest_s = load.slowest_s
    report.streams, report.resumed, report.missed = load.streams, load.resumed, load.missed
    report.versions = dict(versions.counted)
