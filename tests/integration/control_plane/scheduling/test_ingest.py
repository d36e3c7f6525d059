"""ingest, unit_end: each entry once, only under the fence, everything it says together."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json

import pytest
from redis.asyncio import Redis

from control_plane.scheduling.scripts import Result
from fleet import ids
from fleet.messages import Batch
from tests.integration.control_plane.scheduling.world import World


@pytest.fixture
async def world(valkey: Redis) -> World:
    world = World(valkey)
    await world.node("n1", slots=2)
    return world


async def test_a_batch_becomes_results_progress_and_checkpoint_at_once(world: World) -> None:
    task = await world.task()
    run = await world.run("n1")
    assert await world.batch("n1", run, leads=["a", "b"], changes={"v:1": "", "f:2": "x"}, log="hello") == ("ok", 2)
    assert await world.batch("n1", run, unset=["f:2"], left_out=1) == ("ok", 0)

    results = [data for _, data in await world.events(task, "result")]
    assert [(r["lead_id"], r["display_name"]) for r in results] == [("led_a", "a"), ("led_b", "b")]
    (_, progress), *_ = reversed(await world.events(task, "progress"))
    assert (progress["progress"], progress["total_results"]) == ({"website": 2}, 2)
    assert (progress["pages"], progress["pages_left_out"]) == (2, 1)
    assert await world.client.hgetall(world.keys.checkpoint(run.unit)) == {b"v:1": b""}
    stored = await world.client.xrange(world.keys.results())
    assert [json.loads(f[b"lead"])["lead_id"] for _, f in stored] == ["led_a", "led_b"]
    assert {f[b"tenant"] for _, f in stored} == {b"acme"}


async def test_replicas_that_race_apply_an_entry_once(world: World) -> None:
    task = await world.task()
    run = await world.run("n1")
    entries = [await world.entry() for _ in range(20)]

    async def replica() -> list[str]:
        verdicts = []
        for number, entry in enumerate(entries, start=1):
            verdict, _ = await world.batch("n1", run, leads=[f"lead{number}"], entry=entry, seq=number)
            verdicts.append(verdict)
        return verdicts

    told = await asyncio.gather(replica(), replica(), replica())
    assert sorted(itertools.chain(*told)) == ["applied"] * 40 + ["ok"] * 20
    names = [data["display_name"] for _, data in await world.events(task, "result")]
    assert names == [f"lead{n}" for n in range(1, 21)]


async def test_a_batch_appended_twice_after_a_lost_reply_counts_once(world: World) -> None:
    task = await world.task()
    run = await world.run("n1")
    assert await world.batch("n1", run, leads=["a"], seq=1) == ("ok", 1)
    assert await world.batch("n1", run, leads=["a"], seq=1) == ("repeated", 0)
    assert (await world.events(task, "progress"))[-1][1]["pages"] == 1


@pytest.mark.parametrize("forgery", ["fence", "node", "boot", "unit"])
async def test_what_is_not_under_the_lease_is_refused_and_counted(world: World, forgery: str) -> None:
    await world.node("n2")
    task = await world.task()
    holder, other = ("n1", "n2") if await world.runs("n1") else ("n2", "n1")
    run = await world.run(holder)
    forged = {
        "fence": lambda: world.batch(holder, dataclasses.replace(run, fence=run.fence - 1), leads=["x"]),
        "node": lambda: world.batch(other, run, leads=["x"]),
        "boot": lambda: world.batch(holder, run, leads=["x"], boot="earlier"),
        "unit": lambda: world.batch(holder, dataclasses.replace(run, unit=f"{ids.new_task_id()}.0"), leads=["x"]),
    }[forgery]
    assert await forged() == ("stale" if forgery == "boot" else "refused", 0)
    assert await world.events(task, "result") == []
    assert await world.counter("stale_writes") == 1


async def test_the_end_of_a_unit_frees_the_slot_and_ends_the_task(world: World) -> None:
    task = await world.task()
    run = await world.run("n1")
    await world.batch("n1", run, leads=["a"], changes={"k": "v"})
    assert await world.end("n1", run) == "ok"

    assert (await world.state(task), await world.units(task)) == ("completed", ["completed"])
    assert await world.free() == ["n1/0", "n1/1"]
    assert (await world.events(task))[-1][0] == "task_completed"
    assert await world.client.exists(world.keys.checkpoint(run.unit)) == 0
    for key in (world.keys.task(task), world.keys.events(task), world.keys.unit(run.unit), world.keys.seen(task)):
        assert 0 < await world.client.ttl(key) <= 7 * 86_400


async def test_a_failed_attempt_is_repeated_from_the_checkpoint_and_then_a_dead_letter(world: World) -> None:
    task = await world.task()
    for attempt in (1, 2, 3):
        run = await world.run("n1")
        assert (run.attempt, run.checkpoint) == (attempt, {f"page{n}": "done" for n in range(1, attempt)})
        await world.batch("n1", run, changes={f"page{attempt}": "done"})
        await world.end("n1", run, "failed", error="timeout", detail="no answer")
        if attempt < 3:
            assert await world.units(task) == ["retrying"]
            await world.due(world.keys.retries())
            assert (await world.scripts.reap()).retries == 1
    assert (await world.state(task), await world.units(task)) == ("error", ["failed"])
    ((_, dead),) = await world.client.xrange(world.keys.dead())
    assert (dead[b"unit"], dead[b"error"], dead[b"attempts"]) == (run.unit.encode(), b"timeout", b"3")
    kind, data = (await world.events(task))[-1]
    assert (kind, data["error"], data["detail"]) == ("task_error", "timeout", "no answer")


@pytest.mark.parametrize("error", ["chrome_died", "chrome_lost", "driver_lost"])
async def test_a_browser_that_died_is_replaced_at_once_and_the_second_time_waited_for(world: World, error: str) -> None:
    task = await world.task()
    first = await world.run("n1")
    await world.end("n1", first, "failed", error=error)
    second = await world.run("n1")
    assert (second.unit, second.attempt) == (first.unit, 2)
    await world.end("n1", second, "failed", error=error)
    assert await world.units(task) == ["retrying"]


async def test_what_another_attempt_cannot_mend_is_given_up_at_once(world: World) -> None:
    task = await world.task()
    await world.end("n1", await world.run("n1"), "failed", error="dns", detail="no such host", retryable=False)
    assert await world.state(task) == "error"


async def test_a_task_with_some_failed_units_is_completed_and_says_so(world: World) -> None:
    task = await world.task(units=2)
    first, second = await world.runs("n1")
    await world.end("n1", first)
    await world.end("n1", second, "failed", error="dns", detail="no such host", retryable=False)
    kind, data = (await world.events(task))[-1]
    assert (kind, data["error"]) == ("task_completed", "partial")
    assert "1 of 2 units failed" in data["detail"]


async def test_the_same_observation_or_identifier_is_one_lead(world: World) -> None:
    task = await world.task()
    run = await world.run("n1")

    def seen(observation: str, minted: str, *identifiers: str) -> Result:
        return Result(observation, minted, identifiers, b'{"display_name":"A"}')

    await world.batch("n1", run, results=[seen("o1", "led_1", "d:a.test")])
    await world.batch("n1", run, results=[seen("o1", "led_1", "d:a.test"), seen("o2", "led_2", "p:1", "?d:a.test")])
    await world.batch("n1", run, results=[seen("o3", "led_3", "p:2", "?d:a.test"), seen("o4", "led_4", "p:9", "p:2")])

    # The phone-less lead of the site is adopted by the first branch; the second branch is a lead of its own.
    assert [d["lead_id"] for _, d in await world.events(task, "result")] == ["led_1", "led_1", "led_3", "led_3"]
    assert (await world.events(task, "progress"))[-1][1]["total_results"] == 2


async def test_max_results_ends_the_task_and_revokes_what_runs(world: World) -> None:
    task = await world.task(units=3, max_results=2)
    first, second = await world.runs("n1")
    assert await world.batch("n1", first, leads=["a", "b", "c"]) == ("ok", 2)

    assert (await world.state(task), await world.units(task)) == ("completed", ["completed"] * 3)
    assert [m.KIND for m in await world.commands("n1")][-2:] == ["cancel", "cancel"]
    assert await world.batch("n1", second, leads=["d"]) == ("refused", 0)
    assert (await world.slot("n1/0"))["state"] == "releasing"
    await world.end("n1", first, "stopped")
    assert (await world.slot("n1/0"))["state"] == "free"


async def test_an_entry_that_is_no_message_moves_the_cursor_and_is_counted(world: World) -> None:
    entry = await world.entry()
    assert [await world.scripts.skip("n1", entry), await world.scripts.skip("n1", entry)] == ["ok", "applied"]
    assert await world.counter("malformed_entries") == 1


async def test_a_batch_that_was_checked_against_an_older_opt_out_list_is_not_applied(world: World) -> None:
    task = await world.task()
    run = await world.run("n1")
    await world.client.hincrby(world.keys.tenant("acme"), "opt_outs", 1)
    entry = await world.entry()
    before = await world.client.hgetall(world.keys.node("n1"))
    assert await world.batch("n1", run, leads=["a"], entry=entry, seq=1) == ("outdated", 0)
    assert await world.events(task, "result") == []
    assert await world.client.hgetall(world.keys.node("n1")) == before, "its place was not moved"
    message = Batch(boot="boot", unit=run.unit, fence=run.fence, seq=1, pages=1)
    kept = [Result("obs_b", "led_b", ["p:b"], b'{"display_name":"b"}')]
    applied = await world.scripts.ingest("n1", entry, message, [], kept, opt_outs=1, withheld=1)
    assert applied == ("ok", 1)
    assert await world.counter("leads_withheld") == 1
