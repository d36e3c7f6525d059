"""``python -m infra.bench [--only NAME]``: one stack of its own, and the figures of the API and of the main job."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from rich.console import Console
from rich.table import Table

from infra.bench import overload, recovery, store
from infra.bench.extraction import extraction
from infra.bench.frames import frames
from infra.bench.peers import bare_pages_per_minute, bare_quart
from infra.bench.rows import Row
from infra.bench.scale import scale
from infra.bench.streams import streams
from infra.bench.watching import watching
from infra.sample_town import DIRECTORY_URL
from infra.sample_town.businesses import build_town
from infra.stack.options import Options
from infra.stack.stack import Stack

CALLS, CLIENTS, LOAD_S, TASKS = 300, 16, 4.0, 30
TABS = 3  # as many as a unit of ours reuses


class Bench:
    """The measurements, each a method that returns rows."""

    def __init__(self, stack: Stack, session: aiohttp.ClientSession) -> None:
        self.stack, self.session = stack, session

    def parts(self) -> list[Callable[[], Awaitable[list[Row]]]]:
        return [self.health, self.start, self.status, self.submit_to_navigation, self.demo, self.memory]

    async def health(self) -> list[Row]:
        return _percentiles("health", await self._times("GET", "/health"))

    async def start(self) -> list[Row]:
        times = []
        for number in range(TASKS):
            began = time.perf_counter()
            task = await self._start(f"http://bench.town.test/page/{number}")
            times.append((time.perf_counter() - began) * 1000)
            await self._ended(task)
        return _percentiles("start", times)

    async def status(self) -> list[Row]:
        task = await self._start("http://bench.town.test/page/1")
        await self._ended(task)
        path = f"/api/scraper/status/{task}"
        rows = _percentiles("status", await self._times("GET", path))
        ours = await self._rate(self.stack.url + path)
        async with bare_quart() as bare:
            peer = await self._rate(bare)
        return [*rows, Row("status_rps", round(ours), "1/s", round(ours / peer, 2), f"bare Quart: {peer:.0f}")]

    async def submit_to_navigation(self) -> list[Row]:
        """From sending the request to the first page request that the town sees; and an event's way to a client."""
        times, delays = [], []
        for number in range(100, 100 + TASKS):
            sent = time.time()
            task = await self._start(f"http://bench.town.test/page/{number}", respect_robots=False)
            delays += await self._follow(task)
            asked = await self._first_request(f"/page/{number}", sent)
            times.append((asked - sent) * 1000)
        return [
            *_percentiles("submit_to_navigation", times),
            *_percentiles("event_to_client", delays),
        ]

    async def demo(self) -> list[Row]:
        urls = [f"http://directory.town.test/business/{b.label}" for b in build_town().businesses]
        peer = await bare_pages_per_minute(urls, self.stack.ports.town, TABS)
        task = await self._start(DIRECTORY_URL, platform="directory")
        state = await self._ended(task)
        ours = 60 * state["pages"] / state["duration_seconds"]
        ratio = round(ours / peer, 2)
        return [Row("demo_pages_per_min", round(ours), "1/min", ratio, f"Playwright, {TABS} tabs: {peer:.0f}")]

    async def memory(self) -> list[Row]:
        rows = []
        for row, part in (("control_plane_rss_mb", "control-plane-1"), ("node_agent_rss_mb", "node-1")):
            pid = self.stack.children[part].pid
            assert pid is not None
            rows.append(Row(row, _resident_mb(psutil.Process(pid)), "MB"))
            workers = [c for c in psutil.Process(pid).children() if "control_plane.store.worker" in c.cmdline()]
            rows += [Row("store_worker_rss_mb", _resident_mb(worker), "MB") for worker in workers]
        return rows

    async def _start(self, query: str, platform: str = "website", **options: Any) -> str:
        body = {"queries": [query], "platforms": [platform], **options}
        async with self.session.post(self.stack.url + "/api/scraper/start", json=body) as answer:
            answer.raise_for_status()
            return str((await answer.json())["task_id"])

    async def _ended(self, task: str) -> dict[str, Any]:
        while True:
            async with self.session.get(f"{self.stack.url}/api/scraper/status/{task}") as answer:
                state: dict[str, Any] = await answer.json()
            if state["status"] not in {"queued", "running"}:
                return state
            await asyncio.sleep(0.1)

    async def _follow(self, task: str) -> list[float]:
        """Milliseconds from the store's time of each live event until it was here; both clocks are this machine's."""
        delays = []
        async with self.session.ws_connect(f"{self.stack.url}/api/scraper/ws/events/{task}") as socket:
            async for message in socket:
                arrived, event = time.time() * 1000, message.json()
                if "id" in event:
                    delays.append(arrived - int(event["id"].partition("-")[0]))
                if event["type"] in {"task_completed", "task_error"}:
                    break
        return delays[len(delays) // 3 :]  # the first ones were told before the socket was open

    async def _first_request(self, path: str, since: float) -> float:
        async with self.session.get(f"http://127.0.0.1:{self.stack.ports.town}/_log") as answer:
            lines = [json.loads(line) for line in (await answer.text()).splitlines()]
        return float(min(line["at"] for line in lines if line["path"] == path and line["at"] >= since))

    async def _times(self, method: str, path: str) -> list[float]:
        times = []
        for _ in range(CALLS):
            began = time.perf_counter()
            async with self.session.request(method, self.stack.url + path) as answer:
                await answer.read()
                answer.raise_for_status()
            times.append((time.perf_counter() - began) * 1000)
        return times

    async def _rate(self, url: str) -> float:
        """Requests a second with CLIENTS at once, the client on the same cores."""
        done, until = 0, time.perf_counter() + LOAD_S

        async def client() -> None:
            nonlocal done
            while time.perf_counter() < until:
                async with self.session.get(url) as answer:
                    await answer.read()
                    answer.raise_for_status()
                done += 1

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        return done / LOAD_S


ALONE = {
    "extraction": extraction,
    "failover": overload.failover,
    "frames": frames,
    "overload": overload.overload,
    "leads_100k": store.small,
    "leads_1m": store.large,
    "recovery_chrome_death": recovery.chrome_death,
    "recovery_agent_death": recovery.agent_death,
    "recovery_valkey_back": recovery.valkey_back,
    "scale": scale,
    "streams": streams,
    "watching": watching,
}
"""Parts that need no stack, or one of their own."""

PARTS = ("health", "start", "status", "submit_to_navigation", "demo", "memory", *ALONE)


async def measure(only: str | None) -> list[Row]:
    """All rows, or those of the parts whose name begins with ``only``."""

    def wanted(part: str) -> bool:
        return only is None or part.startswith(only)

    rows: list[Row] = []
    if any(wanted(part) for part in PARTS if part not in ALONE):
        rows += await _with_a_stack(wanted)
    for name, part in ALONE.items():
        if wanted(name):
            rows += await part()
    return rows


async def _with_a_stack(wanted: Callable[[str], bool]) -> list[Row]:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="leadfleet-bench-") as state:
        # rate limits are for clients; here they would be what is measured
        options = Options(state=Path(state), town=True, settings={"LEADFLEET_RATE_SCALE": "1000"})
        async with Stack(options) as stack:
            headers = {"Authorization": f"Bearer {stack.api_key}"}
            async with aiohttp.ClientSession(headers=headers) as session:
                for part in Bench(stack, session).parts():
                    if wanted(part.__name__):
                        rows += await part()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", metavar="NAME", help=f"a part, or how its name begins: {', '.join(PARTS)}")
    only = parser.parse_args().only
    if only is not None and not any(part.startswith(only) for part in PARTS):
        parser.error(f"no part is called {only}; there are: {', '.join(PARTS)}")
    rows = asyncio.run(measure(only))
    Path("bench.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    table = Table("row", "value", "unit", "ratio", "against")
    table.columns[0].no_wrap = True  # names are looked up in bench.json
    table.columns[0].overflow = "fold"
    for row in rows:
        table.add_row(
            row.name, f"{row.value:g}", row.unit, "" if row.ratio is None else f"{row.ratio:.2f}", row.against or ""
        )
    Console().print(table)


def _percentiles(name: str, milliseconds: Sequence[float]) -> list[Row]:
    ordered = sorted(milliseconds)
    high = ordered[min(len(ordered) - 1, round(len(ordered) * 0.99))]
    return [
        Row(f"{name}_p50_ms", round(statistics.median(ordered), 2), "ms"),
        Row(f"{name}_p99_ms", round(high, 2), "ms"),
    ]


def _resident_mb(process: psutil.Process) -> int:
    return int(process.memory_info().rss / 1e6)


if __name__ == "__main__":
    main()
