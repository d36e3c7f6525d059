"""Filters and exports over many leads: a stack whose table was filled beforehand, and the bare engines beside it."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
import duckdb
import polars as pl
import psutil

from control_plane.store.schema import Position, view_of_log
from control_plane.store.table import ObservationLog
from infra.bench.leads import log_rows
from infra.bench.queries import PAGE, QUESTIONS, BarePolars, Duck, Question
from infra.bench.rows import Row
from infra.stack.options import BUCKET, Options
from infra.stack.stack import Stack

ROUNDS = 12
TENANT = "default"  # whose key the stack has

_BARE_SINK = """
import pathlib, re, sys, time
import polars as pl
def peak_kb():  # of this program; getrusage also counts what the parent held before it became this one
    return int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
source, target, endpoint = sys.argv[1:]
options = {
    "aws_access_key_id": "local", "aws_secret_access_key": "local", "aws_region": "us-east-1",
    "aws_endpoint_url": endpoint, "aws_allow_http": "true",
}
idle = peak_kb()
lists = ["phones", "phone_types", "phone_validity", "emails", "categories", "opening_hours", "socials"]
rows = pl.scan_parquet(source).drop("phones_e164", "search", "identifiers", "lead")
rows = rows.with_columns(pl.col(name).list.join("; ") for name in lists + ["platforms", "task_ids", "source_urls"])
began = time.perf_counter()
rows.sink_csv(target, storage_options=options)
took = time.perf_counter() - began
print(took, (peak_kb() - idle) / 1000)
"""


class StoreBench:
    """One size of table. Use ``prepared``."""

    def __init__(self, stack: Stack, session: aiohttp.ClientSession, label: str, parquet: Path) -> None:
        self.stack, self.session, self.label, self.parquet = stack, session, label, parquet

    @classmethod
    @asynccontextmanager
    async def prepared(cls, count: int, label: str) -> AsyncIterator[Self]:
        """A stack without browsers over ``count`` observations, and the same leads in a Parquet file."""
        with tempfile.TemporaryDirectory(prefix="leadfleet-bench-") as folder:
            state, parquet = Path(folder) / "state", Path(folder) / "leads.parquet"
            await asyncio.to_thread(_fill, state / "leads", parquet, count)
            options = Options(state=state, nodes=0, settings={"LEADFLEET_RATE_SCALE": "1000"})
            async with Stack(options) as stack:
                headers = {"Authorization": f"Bearer {stack.api_key}", "Accept": "application/json"}
                async with aiohttp.ClientSession(headers=headers) as session:
                    yield cls(stack, session, label, parquet)

    async def filters(self) -> list[Row]:
        """Ten questions over HTTP, warm; then the same ones to Polars and DuckDB, each with all in its memory."""
        idle = self._worker_mb()
        began = time.perf_counter()
        await self._ask(QUESTIONS[0])
        first_s = time.perf_counter() - began
        bodies = [await self._turned(question) for question in QUESTIONS]
        ours: dict[str, list[float]] = {question.name: [] for question in QUESTIONS}
        engine: dict[str, list[float]] = {question.name: [] for question in QUESTIONS}
        for _ in range(ROUNDS):
            for question, body in zip(QUESTIONS, bodies, strict=True):
                began = time.perf_counter()
                answer = await self._ask(question, body)
                ours[question.name].append((time.perf_counter() - began) * 1000)
                engine[question.name].append(answer["took_ms"])
        held = self._worker_mb()
        bare = await asyncio.to_thread(self._polars)
        duck = await asyncio.to_thread(self._duck)
        everything = [each for times in ours.values() for each in times]
        p50, took, peer, other = statistics.median(everything), _middle(engine), _middle(bare), _middle(duck)
        rows = [
            Row(f"filter_{self.label}_p50_ms", round(p50, 2), "ms", round(p50 / peer, 2), f"bare Polars: {peer:.1f}"),
            Row(f"filter_{self.label}_p95_ms", round(_high(everything), 2), "ms"),
            Row(
                f"filter_{self.label}_took_p50_ms",
                round(took, 2),
                "ms",
                round(took / peer, 2),
                "the same, without HTTP",
            ),
            Row(f"filter_{self.label}_duckdb_p50_ms", round(other, 2), "ms"),
            Row(f"view_{self.label}_first_answer_s", round(first_s, 2), "s"),
            Row(f"view_{self.label}_worker_mb", held, "MB", None, f"before the first question: {idle}"),
        ]
        for question in QUESTIONS:
            mine, theirs = statistics.median(ours[question.name]), statistics.median(bare[question.name])
            against = f"bare Polars: {theirs:.1f}, DuckDB: {statistics.median(duck[question.name]):.1f}"
            name = f"filter_{self.label}_{question.name.replace(' ', '_')}_ms"
            rows.append(Row(name, round(mine, 2), "ms", round(mine / theirs, 2), against))
        return rows

    async def export(self, label: str, where: dict[str, Any]) -> list[Row]:
        """A CSV of what matches, from the request to the answer that it is there; and the bare sink of all."""
        await self._ask(QUESTIONS[0])  # the view is there, as in a worker that is used
        with _Watch(self._worker()) as watch:
            began = time.perf_counter()
            async with self.session.post(
                f"{self.stack.url}/api/export", json={"format": "csv", "where": where}
            ) as answer:
                view = await answer.json()
            while view["status"] in {"pending", "running"}:
                async with self.session.get(f"{self.stack.url}/api/export/{view['export_id']}") as answer:
                    view = await answer.json()
                await asyncio.sleep(0.02)
            took = time.perf_counter() - began
        assert view["status"] == "ready", view
        size = f"{view['rows']} rows, {view['bytes'] / 1e6:.0f} MB"
        if where:
            return [Row(f"export_{label}_s", round(took, 2), "s", None, size)]
        bare_s, bare_mb = await asyncio.to_thread(self._bare_sink)
        return [
            Row(f"export_{label}_s", round(took, 2), "s", round(took / bare_s, 2), f"bare Polars sink: {bare_s:.1f}"),
            Row(
                f"export_{label}_rss_mb",
                watch.above_mb,
                "MB",
                round(watch.above_mb / bare_mb, 2),
                f"bare Polars sink: {bare_mb:.0f}; {size}",
            ),
        ]

    async def _ask(self, question: Question, body: dict[str, Any] | None = None) -> dict[str, Any]:
        path = "/api/filters/facets" if question.facets else "/api/filters/leads"
        async with self.session.post(self.stack.url + path, json=body or question.body) as answer:
            answer.raise_for_status()
            members: dict[str, Any] = await answer.json()
            return members

    async def _turned(self, question: Question) -> dict[str, Any]:
        """The body of the page that is measured: a deep one is reached by its cursor."""
        body = question.body
        if question.pages:
            page = await self._ask(question, body | {"limit": question.pages * PAGE // 2})
            page = await self._ask(
                question, body | {"limit": question.pages * PAGE // 2, "cursor": page["next_cursor"]}
            )
            body |= {"cursor": page["next_cursor"]}
        return body

    def _polars(self) -> dict[str, list[float]]:
        bare = BarePolars(pl.read_parquet(self.parquet))
        return _times(bare.ask)

    def _duck(self) -> dict[str, list[float]]:
        with duckdb.connect(":memory:", config={"threads": "2"}) as connection:
            connection.execute("CREATE TABLE leads AS FROM read_parquet(?)", [str(self.parquet)])
            return _times(Duck(connection.execute).ask)

    def _bare_sink(self) -> tuple[float, float]:
        target = f"s3://{BUCKET}/bare.csv"
        endpoint = f"http://127.0.0.1:{self.stack.ports.s3}"
        command = [sys.executable, "-c", _BARE_SINK, str(self.parquet), target, endpoint]
        took, above = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        return float(took), float(above)

    def _worker(self) -> psutil.Process:
        pid = self.stack.children["control-plane-1"].pid
        assert pid is not None
        return next(c for c in psutil.Process(pid).children() if "control_plane.store.worker" in c.cmdline())

    def _worker_mb(self) -> int:
        return int(self._worker().memory_info().rss / 1e6)


class _Watch:
    """Samples the resident memory of a process. ``above_mb``: its peak above what it had at first."""

    def __init__(self, process: psutil.Process) -> None:
        self._process, self._ended = process, threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._idle = self._peak = process.memory_info().rss

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def above_mb(self) -> int:
        return int((self._peak - self._idle) / 1e6)

    def _sample(self) -> None:
        while not self._ended.wait(0.01):
            self._peak = max(self._peak, self._process.memory_info().rss)


async def small() -> list[Row]:
    """100,000 observations."""
    async with StoreBench.prepared(100_000, "100k") as bench:
        return [*await bench.filters(), *await bench.export("50k", {"score_min": 50})]


async def large() -> list[Row]:
    """1,000,000 observations."""
    async with StoreBench.prepared(1_000_000, "1m") as bench:
        return [*await bench.filters(), *await bench.export("1m", {})]


def _fill(leads: Path, parquet: Path, count: int) -> None:
    log = ObservationLog(f"file://{leads}", {})
    log.stored()
    folder = parquet.with_suffix("")
    folder.mkdir()
    for batch, rows in enumerate(log_rows(count, TENANT), start=1):
        log.append(rows, batch, Position(rows["stream_ms"][-1], rows["stream_seq"][-1]))
        view_of_log(rows).write_parquet(folder / f"{batch:05}.parquet")
    pl.scan_parquet(folder / "*.parquet").sink_parquet(parquet)


def _times(ask: Callable[[Question], int]) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {question.name: [] for question in QUESTIONS}
    for _ in range(ROUNDS):
        for question in QUESTIONS:
            began = time.perf_counter()
            ask(question)
            times[question.name].append((time.perf_counter() - began) * 1000)
    return times


def _middle(times: dict[str, list[float]]) -> float:
    return statistics.median([took for each in times.values() for took in each])


def _high(times: list[float]) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, round(len(ordered) * 0.95))]
