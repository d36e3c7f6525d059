"""Load on a control plane from a process of its own: calls good and bad, viewers that read, and viewers that do not.

``python -m infra.bench.load`` reads a `Plan` as JSON and writes a `Report` as JSON; `under_load` runs it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import aiohttp

from fleet.cancellation import end_all
from infra.bench.child import run_module
from infra.bench.raw_client import RawClient

ANSWER_S = 30.0
RETURN_S = 15.0
"""After this a client that never reads comes again: by then it has been cut."""

SLOW_S = 1.0
"""Between two pictures that a slow viewer takes."""

ARRIVE_S = 1.0
"""Viewers come spread over this, as those do that have lost another replica."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``deaf`` of the ``sockets`` never read, ``slow`` of the ``mjpeg`` viewers take a picture a second."""

    url: str
    api_key: str
    tasks: list[str]
    starts: str
    """The page that a call to start a task names: one that this stack can reach."""
    seconds: float = 60
    calls_per_s: float = 300
    sockets: int = 200
    deaf: int = 20
    mjpeg: int = 50
    slow: int = 10
    at_once: int = 400
    """Connections that calls may have open: more than one client may have waiting at a replica, so that it refuses."""


@dataclass(slots=True)
class Report:
    """What came of it. Times are milliseconds; ``statuses`` counts answers by ``call status``."""

    statuses: dict[str, int] = field(default_factory=dict)
    unexpected: dict[str, int] = field(default_factory=dict)
    """Answers that the call should not have got, and viewers that were cut although they read."""
    unanswered: dict[str, int] = field(default_factory=dict)
    """Calls that nothing came back for in ANSWER_S."""
    held_back: int = 0
    """Calls that were not made because all connections were taken."""
    refused: int = 0
    """Calls that were answered with 429 and told when to come again."""
    calls_per_s: float = 0.0
    """Answers that are no refusals."""
    call_p50_ms: float = 0.0
    call_p99_ms: float = 0.0
    events: int = 0
    event_p50_ms: float = 0.0
    event_p99_ms: float = 0.0
    """From the store's time of an event that was said to a connected viewer until the viewer had it."""
    picture_mb_per_s: float = 0.0
    own_delay_p99_ms: float = 0.0
    """How late the load's own loop was, which all its times contain."""

    @property
    def server_errors(self) -> dict[str, int]:
        """Answers of 500 and more."""
        return {name: times for name, times in self.statuses.items() if int(name.rpartition(" ")[2]) >= 500}


@dataclass(frozen=True, slots=True)
class _Call:
    name: str
    weight: int
    method: str
    path: str
    expected: int
    body: bytes | None = None
    key: bool = True


UNKNOWN = "tsk_" + "0" * 26
CALLS = (
    _Call("status", 40, "GET", "/api/scraper/status/{task}", 200),
    _Call("tasks", 10, "GET", "/api/tasks?limit=20", 200),
    _Call("queue", 8, "GET", "/api/tasks/queue/status", 200),
    _Call("live", 8, "GET", "/health/live", 200),
    _Call("slots", 3, "GET", "/api/fleet/slots", 200),
    _Call("filter", 4, "POST", "/api/filters/leads", 200, b'{"limit": 20}'),
    _Call("start", 1, "POST", "/api/scraper/start", 200, b'{"queries": ["{start}"]}'),
    _Call("no such task", 6, "GET", f"/api/scraper/status/{UNKNOWN}", 404),
    _Call("no such route", 3, "GET", "/api/nowhere", 404),
    _Call("no key", 4, "GET", "/api/tasks", 401, key=False),
    _Call("wrong method", 2, "DELETE", "/api/tasks", 405),
    _Call("empty start", 4, "POST", "/api/scraper/start", 422, b"{}"),
    _Call("broken JSON", 4, "POST", "/api/scraper/start", 400, b'{"queries": ["http'),
    _Call("NaN", 1, "POST", "/api/scraper/start", 400, b'{"queries": ["http://a.site.test/"], "radius_km": NaN}'),
    _Call("wrong id", 2, "GET", "/api/scraper/events/{task}?last_event_id=garbage", 400),
)


class Load:
    """All clients of a plan."""

    def __init__(self, plan: Plan, session: aiohttp.ClientSession) -> None:
        self._plan, self._session = plan, session
        self._auth = {"Authorization": f"Bearer {plan.api_key}"}
        self._statuses: Counter[str] = Counter()
        self._unexpected: Counter[str] = Counter()
        self._unanswered: Counter[str] = Counter()
        self._calls: list[float] = []
        self._delays: list[float] = []
        self._own_delays: list[float] = []
        self._picture_bytes = 0
        self._under_way = self._held_back = self._refused = 0

    async def run(self) -> Report:
        plan = self._plan
        readers = plan.sockets - plan.deaf
        viewers = [self._watch(plan.tasks[n % len(plan.tasks)]) for n in range(readers)]
        viewers += [self._never_read(plan.tasks[n % len(plan.tasks)]) for n in range(plan.deaf)]
        viewers += [self._look(plan.tasks[n % len(plan.tasks)]) for n in range(plan.mjpeg - plan.slow)]
        viewers += [self._look_slowly(plan.tasks[n % len(plan.tasks)]) for n in range(plan.slow)]
        random.Random(7).shuffle(viewers)  # noqa: S311 - the same order in every run
        tasks: list[asyncio.Task[None]] = []
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._call_for(plan.seconds))
                for viewer in viewers:
                    tasks.append(asyncio.create_task(viewer))
                    await asyncio.sleep(ARRIVE_S / len(viewers))
        finally:
            for task in tasks:
                if task.done():
                    self._unexpected[f"a viewer ended: {_ending(task)}"] += 1
            await end_all(tasks)
        return Report(
            statuses=dict(self._statuses),
            unexpected=dict(self._unexpected),
            unanswered=dict(self._unanswered),
            held_back=self._held_back,
            refused=self._refused,
            calls_per_s=round(len(self._calls) / plan.seconds, 1),
            call_p50_ms=percentile(self._calls, 0.5),
            call_p99_ms=percentile(self._calls, 0.99),
            events=len(self._delays),
            event_p50_ms=percentile(self._delays, 0.5),
            event_p99_ms=percentile(self._delays, 0.99),
            picture_mb_per_s=round(self._picture_bytes / plan.seconds / 1e6, 1),
            own_delay_p99_ms=percentile(self._own_delays, 0.99),
        )

    async def _call_for(self, seconds: float) -> None:
        """Calls at an even pace, whether or not the ones before have been answered."""
        chosen = random.Random(7)  # noqa: S311 - the same mix in every run
        weights = [call.weight for call in CALLS]
        began, made = time.monotonic(), 0
        async with asyncio.TaskGroup() as calls:
            while (into := time.monotonic() - began) < seconds:
                while made < into * self._plan.calls_per_s:
                    made += 1
                    if self._under_way >= self._plan.at_once:
                        self._held_back += 1
                        continue
                    call = chosen.choices(CALLS, weights)[0]
                    calls.create_task(self._call(call, chosen.choice(self._plan.tasks)))
                wakes = time.monotonic() + 1 / self._plan.calls_per_s
                await asyncio.sleep(1 / self._plan.calls_per_s)
                self._own_delays.append((time.monotonic() - wakes) * 1000)

    async def _call(self, call: _Call, task: str) -> None:
        began = time.perf_counter()
        headers = (self._auth if call.key else {}) | {"Content-Type": "application/json"}
        url = self._plan.url + call.path.format(task=task)
        body = call.body and call.body.replace(b"{start}", self._plan.starts.encode())
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        self._under_way += 1
        try:
            async with self._session.request(call.method, url, data=body, headers=headers, timeout=timeout) as answer:
                await answer.read()
        except (aiohttp.ClientError, TimeoutError) as exc:
            self._unanswered[f"{call.name}: {type(exc).__name__}"] += 1
            return
        finally:
            self._under_way -= 1
        self._statuses[f"{call.name} {answer.status}"] += 1
        if answer.status == 429 and "Retry-After" in answer.headers:
            self._refused += 1
            return
        self._calls.append((time.perf_counter() - began) * 1000)
        if answer.status != call.expected:
            self._unexpected[f"{call.name} {answer.status}"] += 1

    async def _watch(self, task: str) -> None:
        url = f"{self._plan.url}/api/scraper/ws/events/{task}"
        connected = float("inf")
        async with self._session.ws_connect(url, headers=self._auth) as socket:
            async for message in socket:
                now, event = time.time(), json.loads(message.data)
                if event["type"] == "connected":
                    connected = now
                    continue
                at = int(event["id"].partition("-")[0]) / 1000
                if at > connected:
                    self._delays.append((now - at) * 1000)

    async def _look(self, task: str) -> None:
        url = f"{self._plan.url}/live_feed/{task}"
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._session.get(url, headers=self._auth, timeout=timeout) as answer:
            async for piece in answer.content.iter_any():
                self._picture_bytes += len(piece)

    async def _look_slowly(self, task: str) -> None:
        """Comes again when it was cut: it is the server that says what is too slow."""
        while True:
            slow = await RawClient.open(self._plan.url, f"/live_feed/{task}", self._plan.api_key)
            try:
                while True:
                    await slow.part()
                    await asyncio.sleep(SLOW_S)
            except (OSError, EOFError):
                await asyncio.sleep(SLOW_S)
            finally:
                slow.close()

    async def _never_read(self, task: str) -> None:
        while True:
            path = f"/api/scraper/ws/frames/{task}"
            deaf = await RawClient.open_socket(self._plan.url, path, self._plan.api_key)
            try:
                await asyncio.sleep(RETURN_S)
            finally:
                deaf.close()


async def under_load(plan: Plan) -> Report:
    """Run a plan in a process of its own."""
    return Report(**await run_module("infra.bench.load", asdict(plan)))


def _ending(task: asyncio.Task[None]) -> str:
    failure = task.exception()
    status = getattr(failure, "status", "")
    return f"{type(failure).__name__} {status}".strip()


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which a ``part`` of them lies; 0 of none."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * part))], 1) if ordered else 0.0


async def _main() -> None:
    plan = Plan(**json.load(sys.stdin))
    gc.freeze()  # its own pauses would be measured too
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        print(json.dumps(asdict(await Load(plan, session).run())))


if __name__ == "__main__":
    asyncio.run(_main())
