"""Models on loopback that speak the chat completions protocol, well or badly; and replicas that ask them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import Counter
from redis.asyncio import Redis

from control_plane.enrichment.breaker import Breaker
from control_plane.enrichment.endpoint import Endpoint
from control_plane.enrichment.enricher import Enricher
from control_plane.enrichment.terms import Terms
from control_plane.scheduling.ingest import UnitFacts, checked_results
from control_plane.scheduling.scripts import Caps
from fleet.messages import Batch, Run
from leads.model import Lead
from tests.integration.control_plane.scheduling.world import World
from tests.support import wait_until

KEY = "sk-endpoint-secret"
THRESHOLD = 3
PAUSE = timedelta(seconds=60)
USAGE = {"prompt_tokens": 300, "completion_tokens": 60}

Answer = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


@dataclass
class Model:
    """``answers`` are for the first requests, ``answer`` for the others; ``held`` keeps them back until it is set."""

    port: int = 0
    answer: Answer | None = None
    answers: list[Answer] = field(default_factory=list)
    held: asyncio.Event | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def leads(self) -> list[list[dict[str, Any]]]:
        """What each request asked about."""
        return [json.loads(body["messages"][1]["content"])["leads"] for body in self.asked]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        self.keys.append(request.headers.get("Authorization"))
        if self.held is not None:
            await self.held.wait()
        answer = self.answers.pop(0) if self.answers else self.answer or honest
        return await answer(request, body)


def completion(leads: Any, usage: dict[str, Any] | None = USAGE) -> web.Response:
    content = leads if isinstance(leads, str) else json.dumps({"leads": leads})
    return web.json_response(
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": content}}], "usage": usage}
    )


def said(lead: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What an honest model says of a lead."""
    fit = 42 if lead["objective"] else None
    return {"id": lead["id"], "category": "legal", "summary": f"{lead['facts']['name']} as told.", "fit": fit} | changes


async def honest(_: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    return completion([said(lead) for lead in json.loads(body["messages"][1]["content"])["leads"]])


def status(code: int, **headers: str) -> Answer:
    async def answer(*_: Any) -> web.StreamResponse:
        return web.Response(status=code, headers=headers)

    return answer


@asynccontextmanager
async def serving(model: Model) -> AsyncIterator[None]:
    """Nobody listens at its port before and after."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", model.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", model.port).start()
    model.port = runner.addresses[0][1]
    try:
        yield
    finally:
        await runner.cleanup()


@pytest.fixture
async def model() -> AsyncIterator[Model]:
    made = Model()
    async with serving(made):
        yield made


@dataclass
class Hands:
    """A clock that the test moves."""

    now: float = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_772_000_000 + self.now


@dataclass
class Desk:
    """A fleet whose leads are put to a model."""

    world: World
    stack: AsyncExitStack
    model: Model
    clock: Hands = field(default_factory=Hands)
    runs: dict[str, tuple[str, Run]] = field(default_factory=dict)
    """Node and command of each unit."""

    def replica(self, **terms: Any) -> Enricher:
        """The enricher of another replica."""
        settled = replace(
            Terms(batch=10, at_once=2, retries=2, timeout=timedelta(seconds=10), price_in=1.0, price_out=2.0,
                  caps=Caps(1_000_000, 1_000_000, 0)),
            **terms,
        )  # fmt: skip
        made = Enricher(
            self.world.scripts, Endpoint(self.model.url, KEY, "gpt-test", settled.timeout), settled,
            Breaker(THRESHOLD, PAUSE), self.clock,
        )  # fmt: skip
        self.stack.push_async_callback(made.aclose)
        return made

    async def find(self, *leads: Lead, tenant: str = "acme", objective: str | None = None) -> str:
        """A task that has found these leads, by the way that every lead comes; the task."""
        await self.world.node(f"n{len(self.runs)}")
        task = await self.world.task(tenant=tenant)
        for node in (f"n{number}" for number in range(len(self.runs) + 1)):
            self.runs |= {run.unit: (node, run) for run in await self.world.runs(node)}
        await self.again(task, *leads, tenant=tenant, objective=objective)
        return task

    async def again(self, task: str, *leads: Lead, tenant: str = "acme", objective: str | None = None) -> None:
        """Another page of a running task that tells of leads."""
        node, run = self.runs[f"{task}.0"]
        entry = await self.world.entry()
        told = Batch(boot="boot", unit=run.unit, fence=run.fence, seq=1,
                     results=[lead.model_dump(mode="json") for lead in leads])  # fmt: skip
        facts = UnitFacts(tenant, "website", "http://0.test/", phone_only=False, objective=objective)
        results = checked_results(told, facts, entry, enrich=True)
        assert (await self.world.batch(node, run, results=results, entry=entry)) == ("ok", len(leads))

    async def work(self, *replicas: Enricher) -> int:
        """Every replica claims once, and all that is under way comes to its end. Batches begun."""
        begun = sum([await replica.claim() for replica in replicas])
        for replica in replicas:
            await wait_until(lambda r=replica: not r._under_way, description="batches to end")
        return begun

    async def stored(self) -> list[Lead]:
        """What is on the results stream, in order."""
        entries = await self.world.client.xrange(self.world.keys.results())
        return [Lead.model_validate_json(fields[b"lead"]) for _, fields in entries]

    async def by_ai(self) -> list[Lead]:
        return [lead for lead in await self.stored() if lead.enrichment and lead.enrichment.source == "ai"]

    async def make_due(self, tenant: str = "acme") -> None:
        """Whatever waits for a retry or the end of a claim waits no longer."""
        await self.world.due(self.world.keys.enrichment_line(tenant))

    async def waiting(self, tenant: str = "acme") -> int:
        found: int = await self.world.client.zcard(self.world.keys.enrichment_line(tenant))
        return found

    async def attempts(self) -> list[int]:
        """How many have failed, of each question that waits."""
        owed = [key async for key in self.world.client.scan_iter("*:enrichment:*")]
        return [int(await self.world.client.hget(key, "attempts")) for key in owed]

    async def spent(self) -> dict[str, int]:
        keys = [key async for key in self.world.client.scan_iter("*:enrichment-spend:*")]
        flat = await self.world.client.hgetall(keys[0]) if keys else {}
        return {name.decode(): int(value) for name, value in flat.items()}


@pytest.fixture
async def desk(valkey: Redis, model: Model) -> AsyncIterator[Desk]:
    world = World(valkey, enrichment_wait_ms=0)
    async with AsyncExitStack() as stack:
        yield Desk(world, stack, model)


class Counts:
    """How much counters have grown since this was made."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str], float] = {}
        self._counters: dict[str, Counter] = {}

    def watch(self, name: str, counter: Counter) -> Counts:
        self._counters[name] = counter
        self._before |= {(name, label): value for label, value in _values(counter).items()}
        return self

    def of(self, name: str) -> dict[str, float]:
        grown = {
            label: value - self._before.get((name, label), 0) for label, value in _values(self._counters[name]).items()
        }
        return {label: value for label, value in grown.items() if value}


def _values(counter: Counter) -> dict[str, float]:
    return {
        next(iter(sample.labels.values()), ""): sample.value
        for family in counter.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }


@pytest.fixture
def counts() -> Counts:
    from control_plane import telemetry

    return (
        Counts()
        .watch("calls", telemetry.ENRICHMENT_CALLS)
        .watch("leads", telemetry.ENRICHMENT_LEADS)
        .watch("fallbacks", telemetry.ENRICHMENT_FALLBACKS)
        .watch("tokens", telemetry.ENRICHMENT_TOKENS)
        .watch("cost", telemetry.ENRICHMENT_COST)
    )
