"""The language model that leads are put to: down, slow, failing, or talking nonsense."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from infra.bench.fake_nodes import FakeNodes, Habits
from tests.faults.fleet import FaultyFleet, faulty_fleet, fleet_options
from tests.integration.control_plane.enrichment.conftest import Model, completion, serving, status
from tests.support import free_port, wait_until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.faults]

LEADS = 2
WAIT_S = 60


@pytest.fixture(scope="module")
def model() -> Model:
    """Nobody listens at its port unless it is served."""
    return Model(port=free_port())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_fleet(tmp_path_factory: pytest.TempPathFactory, model: Model) -> AsyncIterator[FaultyFleet]:
    """One replica; a lead is a question of its own, asked once, and two failures open the breaker."""
    directory = tmp_path_factory.mktemp("fleet")
    terms = {"URL": model.url, "MODEL": "m", "TIMEOUT": 1, "RETRIES": 0, "BATCH": 1, "BREAKER_FAILURES": LEADS,
             "BREAKER_PAUSE": 2}  # fmt: skip
    settings = {f"LEADFLEET_ENRICHMENT_{name}": str(value) for name, value in terms.items()}
    options = fleet_options(directory / "state", ["*.site.test=127.0.0.1:9"], replicas=1, nodes=0, settings=settings)
    async with faulty_fleet(options, directory / "ledger") as fleet:
        await fleet.begin()
        yield fleet


async def _nonsense(*_: Any) -> Any:
    return completion("I am sorry, I cannot do that.")


@pytest.mark.parametrize("fault", ["unreachable", "timeout", "server_error", "malformed"])
async def test_37_leads_keep_the_rules_while_the_model_fails_and_the_breaker_opens_and_closes(
    fleet: FaultyFleet, model: Model, fault: str
) -> None:
    async with AsyncExitStack() as bad:
        model.answer = {"server_error": status(500), "malformed": _nonsense}.get(fault)
        model.held = asyncio.Event() if fault == "timeout" else None
        if fault != "unreachable":
            await bad.enter_async_context(serving(model))
        task = await found(fleet, f"bad-{fault}")

        async def opened() -> bool:
            return (await health(fleet))["components"]["enrichment"].get("breaker") in {"open", "half_open"}

        await wait_until(opened, WAIT_S, "the breaker to open")
        assert await sources(fleet, task) == ["rules"] * LEADS
        assert (await health(fleet))["status"] == "degraded"
        assert await calls(fleet, fault) >= LEADS

    model.answer = model.held = None
    async with serving(model):
        asked = len(model.asked)
        task = await found(fleet, f"good-{fault}")

        async def closed() -> bool:
            return (await health(fleet))["components"]["enrichment"]["status"] == "up"

        async def enriched() -> bool:
            return await sources(fleet, task) == ["ai"] * LEADS

        await wait_until(closed, WAIT_S, "the breaker to close")
        await wait_until(enriched, WAIT_S, "the leads to be enriched")
        assert len(model.asked) == asked + LEADS, "what failed is not asked again"


async def found(fleet: FaultyFleet, name: str) -> str:
    """A task that finds leads; it ends completed whatever the model does."""
    name = name.replace("_", "-")
    habits = Habits(pages=1, logs=0, leads=LEADS)
    async with FakeNodes(fleet.stack.redis_url, fleet.keys, [f"fake-{name}"], habits=habits):
        task = await fleet.submit(f"http://{name}.site.test/", key=name)
        (end,) = await fleet.ended(task)
    assert (end["status"], end["total_results"], end["error"]) == ("completed", LEADS, None)
    return task


async def sources(fleet: FaultyFleet, task: str) -> list[str]:
    """Who enriched each of the task's leads."""
    page = await fleet.insist("POST", "/api/filters/leads", {"where": {"task_id": task}})
    return [lead["enrichment"]["source"] for lead in page["items"]]


async def health(fleet: FaultyFleet) -> Any:
    return await fleet.insist("GET", "/health")


async def calls(fleet: FaultyFleet, outcome: str) -> float:
    """How many questions ended so, by the replica's metrics."""
    async with fleet.session.get(f"{fleet.stack.url}/metrics", headers={"Accept": "text/plain"}) as answer:
        lines = (await answer.text()).splitlines()
    wanted = f'leadfleet_enrichment_calls_total{{outcome="{outcome}"}} '
    return sum(float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted))
