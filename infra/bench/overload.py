"""What clients feel while a replica dies, and while much is asked of one."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from fleet.cancellation import end_all
from fleet.keys import Keys
from infra.bench.fake_nodes import FakeNodes, Habits, until
from infra.bench.load import Plan, under_load
from infra.bench.rows import Row, distribution
from infra.sample_town import DIRECTORY_URL
from infra.stack.options import Options
from infra.stack.stack import Stack

SETTINGS = {"LEADFLEET_RATE_SCALE": "1000"}
"""One key stands for the clients of many."""

KILLS, VIEWERS = 20, 10
RESUMED_BOUND_S = 1.0
RETRY_S = 0.05
LOAD_S, FAKES, EVENT_BOUND_MS = 60.0, 20, 150


async def failover() -> list[Row]:
    """A replica is killed with its viewers on it, again and again: from a viewer's first try to connect to the other
    one until its next event."""
    async with stack_for(replicas=2) as stack, fakes(stack, 1, Habits(page_s=0.05, logs=1)):
        crowd = _Crowd(stack, await start(stack, DIRECTORY_URL))
        viewers = [asyncio.create_task(crowd.watch()) for _ in range(VIEWERS)]
        try:
            for _ in range(KILLS):
                await crowd.lose_replica()
        finally:
            await end_all(viewers)
    return distribution("stream_resumed", crowd.resumed_s, RESUMED_BOUND_S)


async def overload() -> list[Row]:
    """300 calls a second, good and bad, 200 sockets and 50 picture streams, on one replica and 22 units."""
    async with stack_for(nodes=1) as stack, fakes(stack, FAKES, Habits(leads=1)):
        tasks = [await start(stack, DIRECTORY_URL) for _ in range(FAKES + 2)]
        report = await under_load(Plan(stack.url, stack.api_key, tasks, starts=DIRECTORY_URL, seconds=LOAD_S))
    return [
        Row("overload_calls_per_s", report.calls_per_s, "1/s"),
        Row("overload_refused", report.refused, ""),
        Row("overload_call_p99_ms", report.call_p99_ms, "ms"),
        Row("overload_event_p50_ms", report.event_p50_ms, "ms"),
        Row("overload_event_p99_ms", report.event_p99_ms, "ms", None, f"bound {EVENT_BOUND_MS} ms"),
        Row("overload_load_late_p99_ms", report.own_delay_p99_ms, "ms", None, "its own loop; part of all times above"),
        Row("overload_server_errors", sum(report.server_errors.values()), ""),
    ]


@dataclass
class _Crowd:
    """Viewers of one task, all of one replica."""

    stack: Stack
    task: str
    replica: int = 0
    watching: int = 0
    resumed_s: list[float] = field(default_factory=list)

    async def lose_replica(self) -> None:
        """Kill it; all viewers have resumed on the other one, and it is back."""
        await until(lambda: self.watching == VIEWERS)
        victim = self.stack.children[f"control-plane-{self.replica + 1}"]
        before = len(self.resumed_s)
        self.replica = 1 - self.replica
        await asyncio.gather(victim.crash(), until(lambda: len(self.resumed_s) == before + VIEWERS))
        slowest, kills = max(self.resumed_s[before:]), len(self.resumed_s) // VIEWERS
        print(f"{kills} replicas killed, the last one's viewers had resumed after {slowest:.2f} s", flush=True)

    async def watch(self) -> None:
        after = ""
        began: float | None = None
        headers = {"Authorization": f"Bearer {self.stack.api_key}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            while True:
                url = f"{self.stack.urls[self.replica]}/api/scraper/ws/events/{self.task}?last_event_id={after}"
                began, first = began or time.monotonic(), True
                with suppress(aiohttp.ClientError):
                    async with session.ws_connect(url) as socket:
                        async for message in socket:
                            event = message.json()
                            if event["type"] == "connected":
                                continue
                            if first:
                                first = False
                                self.watching += 1
                                if after:
                                    self.resumed_s.append(time.monotonic() - began)
                            after = event["id"]
                if not first:
                    self.watching -= 1
                    began = None
                await asyncio.sleep(RETRY_S)


@asynccontextmanager
async def stack_for(replicas: int = 1, nodes: int = 0) -> AsyncIterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="leadfleet-bench-") as state:
        options = Options(state=Path(state), replicas=replicas, nodes=nodes, town=True, settings=SETTINGS)
        async with Stack(options) as stack:
            yield stack


def fakes(stack: Stack, number: int, habits: Habits) -> FakeNodes:
    names = [f"fake-{index}" for index in range(number)]
    return FakeNodes(stack.redis_url, Keys(stack.options.fleet), names, habits=habits)


async def start(stack: Stack, query: str, platform: str = "directory") -> str:
    headers = {"Authorization": f"Bearer {stack.api_key}"}
    body = {"queries": [query], "platforms": [platform]}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(stack.url + "/api/scraper/start", json=body) as answer,
    ):
        answer.raise_for_status()
        return str((await answer.json())["task_id"])
