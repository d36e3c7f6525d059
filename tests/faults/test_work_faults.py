"""Work that does not end as it should, on real nodes: it is ended, and its slot serves again."""

from __future__ import annotations

import pytest

from fleet.model import CANCEL_GRACE
from tests.faults.fleet import FaultyFleet
from tests.faults.site import Sites
from tests.support import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.asyncio(loop_scope="module")]


async def test_23_a_task_that_ignores_its_cancel_leaves_a_clean_slot(fleet: FaultyFleet, site: Sites) -> None:
    task = await fleet.submit("http://spins-23.site.test/", key="spins-23")
    node, index, _ = await fleet.at_work()
    await wait_until(lambda: site.visits["spins-23.site.test/"], 60, "the page to spin")
    await fleet.insist("POST", f"/api/scraper/stop/{task}")

    async def free_again() -> None:
        async def is_free() -> bool:
            slots = (await fleet.insist("GET", "/api/fleet/slots"))["slots"]
            return [slot["state"] for slot in slots if (slot["node_id"], slot["index"]) == (node, index)] == ["free"]

        await wait_until(is_free, 90, "the slot to be free")

    await fleet.recovers("23 slot of a task that ignores its cancel", CANCEL_GRACE.total_seconds(), free_again)
    assert (await fleet.status(task))["status"] == "stopped"
    (state,) = await fleet.ended(await fleet.submit("http://after-23.site.test/", key="after-23"))
    assert state["status"] == "completed", "capacity is unchanged"


async def test_34_after_idle_hours_the_first_lease_works(fleet: FaultyFleet) -> None:
    """What hours without work take away: every connection, and the scripts that the store keeps."""
    await fleet.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await fleet.redis.script_flush()
    (state,) = await fleet.ended(await fleet.submit("http://idle-34.site.test/", key="idle-34"))
    assert (state["status"], state["attempt"]) == ("completed", 1)


async def test_05_a_drained_node_ends_its_work_leaves_and_is_replaced(fleet: FaultyFleet, site: Sites) -> None:
    site.hold()
    task = await fleet.submit("http://drain-5.site.test/", key="drain-5")
    node, _, _ = await fleet.at_work()

    async def seen() -> dict[str, object]:
        nodes = (await fleet.insist("GET", "/api/fleet/nodes"))["nodes"]
        return next(each for each in nodes if each["node_id"] == node)

    generation = (await seen())["generation"]
    drained = await fleet.insist("POST", f"/api/fleet/nodes/{node}/drain")
    assert (drained["state"], drained["slots_free"]) == ("draining", 1)
    again = await fleet.insist("POST", f"/api/fleet/nodes/{node}/drain")
    assert again["state"] == "draining", "said twice it is the same"
    others = [await fleet.submit(f"http://other-{n}.site.test/", key=f"other-{n}") for n in range(3)]
    site.let_go()
    states = await fleet.ended(task, *others)
    assert [(state["status"], state["attempt"]) for state in states] == [("completed", 1)] * 4

    async def replaced() -> bool:
        now = await seen()
        return now["state"] == "up" and now["generation"] != generation

    await wait_until(replaced, 90, "a new agent in its place")
