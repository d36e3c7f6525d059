"""Stop the whole stack in the middle of a task and start it again where it was: nothing is lost, the task goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.main_job.conftest import options
from tests.stacks import Client, Gate, client_of
from tests.support import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")

FLORISTS = "http://directory.town.test/category/florist"


async def leads_of(client: Client, task: str) -> list[str]:
    found = await client.post("/api/filters/leads", {"where": {"task_id": task}, "limit": 100})
    return sorted(lead["lead_id"] for lead in found["items"])


@pytest.mark.faults
async def test_a_stack_that_was_stopped_has_its_tasks_and_leads_and_goes_on(tmp_path: Path, gate: Gate) -> None:
    async with client_of(options(tmp_path / "state", gate)) as before:
        ended = await before.start(FLORISTS, platform="directory")
        (told,) = await before.ended(ended)
        leads = await leads_of(before, ended)
        assert len(leads) == told["total_results"] >= 5
        events = await before.events(ended)
        waiting = await before.start(*(f"http://shop-{n}.gate.test/" for n in range(6)), max_parallel=4)

        async def at_work() -> bool:
            return (await before.status(waiting))["units"].get("running", 0) == 4

        await wait_until(at_work, timeout=30, description="four units to run")

    gate.let_in(12)  # those that were asked for before the stop have left, and are asked for again
    async with client_of(options(tmp_path / "state", gate)) as after:
        assert await after.status(ended) == told
        assert await leads_of(after, ended) == leads
        assert [event["id"] for event in await after.events(ended)] == [event["id"] for event in events]
        (state,) = await after.ended(waiting)
        assert (state["status"], state["units"], state["attempt"]) == ("completed", {"completed": 6}, 1)
        async with after.session.get(after.url(f"/api/export/csv?task_id={ended}")) as answer:
            assert answer.status == 200
            assert len((await answer.text()).splitlines()) == 1 + len(leads)
