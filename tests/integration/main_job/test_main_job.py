"""The main job through the public API, on real processes: what a customer sees, and what a crash does not change."""

from __future__ import annotations

import asyncio
import collections
import json
from pathlib import Path

import psutil
import pytest

from infra.sample_town.score import score
from infra.sample_town.truth import load_truth
from tests.stacks import Client, Gate
from tests.support import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")

DIRECTORY = "http://directory.town.test/"


def results(events: list[dict]) -> list[dict]:
    return [e["data"] for e in events if e["type"] == "result"]


async def test_the_directory_becomes_a_csv_of_the_towns_businesses(client: Client, tmp_path: Path) -> None:
    task = await client.start(DIRECTORY, platform="directory")
    (state,) = await client.ended(task)
    assert state["status"] == "completed", state

    async with client.session.get(client.url(f"/api/export/csv?task_id={task}")) as answer:
        assert answer.status == 200
        assert "X-Amz-Signature" in str(answer.url)
        target = tmp_path / "leads.csv"
        target.write_bytes(await answer.read())
    judged = score(target)
    assert judged.recall >= 0.95, judged.summary()
    assert not judged.invented, judged.summary()
    assert not judged.forbidden, judged.summary()

    # Any replica tells the same; whoever comes back with an id gets the rest, once and in order.
    told = await client.events(task)
    ids = [e["id"] for e in told]
    assert len(set(ids)) == len(ids)
    middle = len(told) // 2
    again = await client.events(task, replica=1, last_event_id=ids[middle])
    assert [e["id"] for e in again] == ids[middle + 1 :]
    assert len({r["lead_id"] for r in results(told)}) == state["total_results"]


async def test_twenty_tasks_on_four_slots_queue_with_positions_and_all_end(client: Client, gate: Gate) -> None:
    tasks = [await client.start(f"http://shop-{n}.gate.test/") for n in range(20)]
    seen: dict[str, list[int]] = collections.defaultdict(list)

    async def completed() -> int:
        """How many have ended; remembers the position of every one that waits."""
        states = [await client.status(task, replica=n % 2) for n, task in enumerate(tasks)]
        for state in states:
            assert state["status"] in {"queued", "running", "completed"}, state
            assert (state["queue_position"] is not None) == (state["status"] == "queued"), state
            if state["status"] == "queued":
                seen[state["task_id"]].append(state["queue_position"])
        return sum(state["status"] == "completed" for state in states)

    for let_in in range(0, 20, 4):

        async def as_many_ended(expected: int = let_in) -> bool:
            return await completed() == expected

        await wait_until(as_many_ended, timeout=60, description=f"{let_in} of 20 tasks to complete")
        if let_in == 0:
            assert [seen[task][-1] for task in tasks if task in seen] == list(range(16))
            queue = await client.get("/api/tasks/queue/status")
            assert (queue["running"], queue["pending"]) == (4, 16)
        gate.let_in(4)

    async def all_ended() -> bool:
        return await completed() == 20

    await wait_until(all_ended, timeout=60, description="20 tasks to complete")
    assert set(seen) == set(tasks[4:])
    assert all(positions == sorted(positions, reverse=True) for positions in seen.values())
    assert all(seen[task][0] - seen[task][-1] >= 4 for task in tasks[8:])
    slots = (await client.get("/api/fleet/slots"))["slots"]
    assert [slot["state"] for slot in slots] == ["free"] * 4


async def test_a_task_of_many_urls_uses_several_slots(client: Client) -> None:
    task = await client.start(*(f"http://bench.town.test/page/{n}" for n in range(12)), max_parallel=4)

    async def several() -> bool:
        return (await client.status(task))["units"].get("running", 0) >= 3

    await wait_until(several, timeout=30, description="three units to run at once")
    (state,) = await client.ended(task)
    assert (state["status"], state["units"]) == ("completed", {"completed": 12})


async def test_a_viewer_sees_the_page_move_and_capture_ends_with_the_last_one(client: Client) -> None:
    task = await client.start("http://clock.town.test/", "http://bench.town.test/page/1", max_parallel=1)
    async with client.session.get(client.url(f"/live_feed/{task}?fps=10")) as answer:
        assert answer.headers["Content-Type"].startswith("multipart/x-mixed-replace")
        pictures = set()
        body = b""
        while len(pictures) < 3:
            body += await asyncio.wait_for(answer.content.readany(), 20)
            *whole, body = body.split(b"\xff\xd9")
            pictures |= {part[part.find(b"\xff\xd8") :] for part in whole if b"\xff\xd8" in part}
    (state,) = await client.ended(task)
    assert state["status"] == "completed"


@pytest.mark.faults
async def test_killing_a_chrome_a_node_and_a_replica_loses_and_repeats_no_lead(client: Client) -> None:
    task = await client.start(DIRECTORY, platform="directory")

    async def leads(count: int) -> None:
        async def there() -> bool:
            return (await client.status(task, replica=1))["total_results"] >= count

        await wait_until(there, timeout=90, description=f"{count} leads")

    await leads(5)
    _chrome_of(await _busy_node(client)).kill()
    await leads(15)
    client.stack.kill(await _busy_node(client))
    await leads(30)
    client.stack.kill("control-plane-1")
    (state,) = await client.ended(task, replica=1, timeout=150)

    assert state["status"] == "completed", state
    told = results(await client.events(task, replica=1))
    names = collections.Counter(r["display_name"] for r in told)
    assert len({r["lead_id"] for r in told}) == state["total_results"]
    assert len({json.dumps(r["observation_id"]) for r in told}) == len(told)
    town = {b["name"] for b in load_truth()["businesses"]}
    assert len(town & set(names)) >= 0.95 * len(town)


async def _busy_node(client: Client) -> str:
    slots = (await client.get("/api/fleet/slots", replica=1))["slots"]
    return next(slot["node_id"] for slot in slots if slot["state"] == "leased")


def _chrome_of(node: str) -> psutil.Process:
    """A browser process (not one of its children) of a node of this stack."""
    for process in psutil.Process().children(recursive=True):
        command = " ".join(process.cmdline())
        if "--remote-debugging-port" in command and "--type=" not in command and f"/node-{node}/" in command:
            return process
    raise AssertionError(f"node {node} has no Chrome")
