"""submit, dispatch, position: who gets a slot, in which order, and what is refused."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from control_plane.models import StartRequest
from control_plane.scheduling.queue import TaskQueue
from control_plane.scheduling.room import Room
from control_plane.scheduling.scripts import Refused, Submitted
from fleet import ids
from tests.integration.control_plane.scheduling.world import World


@pytest.fixture
def world(valkey: Redis) -> World:
    return World(valkey)


async def test_a_task_without_a_free_slot_is_queued_with_its_position(world: World) -> None:
    await world.node("n1")
    first, second, third = [await world.task() for _ in range(3)]

    assert [await world.state(t) for t in (first, second, third)] == ["running", "queued", "queued"]
    assert [await world.scripts.position("acme", t) for t in (first, second, third)] == [None, 0, 1]


@pytest.mark.parametrize("asked", ["status", "tasks", "start"])
async def test_a_task_that_is_dispatched_while_it_is_looked_at_is_running(
    world: World, valkey: Redis, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    queue, ask = TaskQueue(valkey, world.keys, world.scripts, Room(valkey)), world.scripts.position
    request = StartRequest(queries=["http://a.test/"], platforms=["website"])
    await world.node("n1")
    await queue.start("acme", request, None)
    running = await world.run("n1")

    async def meanwhile(tenant: str, task: str) -> int | None:
        monkeypatch.setattr(world.scripts, "position", ask)
        await world.end("n1", running)
        return await ask(tenant, task)

    if asked != "start":
        second = await queue.start("acme", request, None)
    monkeypatch.setattr(world.scripts, "position", meanwhile)
    if asked == "start":
        started = await queue.start("acme", request, None)
        assert (started.state, started.queue_position) == ("running", None)
        return
    if asked == "tasks":
        found = (await queue.tasks("acme", status=None, limit=1, offset=0)).tasks[0]
    else:
        found = await queue.status("acme", second.task_id)
    assert (found.status, found.queue_position) == ("running", None)


async def test_a_free_slot_is_granted_with_a_fence_and_a_command(world: World) -> None:
    await world.node("n1")
    task = await world.task()

    run = await world.run("n1")
    slot = await world.slot("n1/0")
    assert (run.unit, run.slot, run.platform, run.query) == (f"{task}.0", 0, "website", "http://0.test/")
    assert (slot["state"], slot["unit"], slot["fence"]) == ("leased", f"{task}.0", str(run.fence))
    assert await world.free() == []
    assert [kind for kind, _ in await world.events(task)] == ["log", "task_started"]


async def test_fences_only_rise_even_when_the_store_lost_the_last_one(world: World) -> None:
    await world.node("n1", slots=2)
    await world.task()
    await world.client.delete(world.keys.fence())
    await world.task()

    first, second = await world.runs("n1")
    assert second.fence > first.fence


async def test_a_task_uses_at_most_max_parallel_slots(world: World) -> None:
    await world.node("n1", slots=4)
    task = await world.task(units=5, max_parallel=3)

    assert await world.units(task) == ["running"] * 3 + ["waiting"] * 2
    assert len(await world.free()) == 1
    await world.end("n1", await world.run("n1"))
    assert await world.units(task) == ["running", "running", "completed", "running", "waiting"]


async def test_tenants_take_turns_whatever_they_have_queued(world: World) -> None:
    flood = [await world.task(tenant="flood") for _ in range(6)]
    single = [await world.task(tenant="single") for _ in range(2)]
    assert await world.scripts.position("single", single[0]) == 1
    assert await world.scripts.position("flood", flood[5]) == 7
    await world.node("n1")

    order = []
    for _ in range(8):
        run = await world.run("n1")
        order.append(run.unit.removesuffix(".0"))
        await world.end("n1", run)
    assert order == [flood[0], single[0], flood[1], single[1], *flood[2:]]


async def test_priority_goes_before_arrival_within_a_tenant(world: World) -> None:
    low, high = await world.task(priority=1), await world.task(priority=9)
    await world.node("n1")
    assert (await world.run("n1")).unit == f"{high}.0"
    assert await world.scripts.position("acme", low) == 0


async def test_a_tenant_at_its_running_limit_waits_and_others_do_not(world: World) -> None:
    await world.client.hset(world.keys.tenant("acme"), "max_running", 1)
    await world.node("n1", slots=3)
    mine = [await world.task() for _ in range(2)]
    other = await world.task(tenant="other")
    assert [await world.state(t) for t in (*mine, other)] == ["running", "queued", "running"]

    await world.end("n1", (await world.runs("n1"))[0])
    assert [await world.state(t) for t in mine] == ["completed", "running"]


async def test_a_label_is_served_only_by_slots_that_carry_it(world: World) -> None:
    await world.node("plain")
    task = await world.task(label="eu")
    assert await world.state(task) == "queued"
    await world.node("european", labels=["eu"])
    assert (await world.run("european")).unit == f"{task}.0"


async def test_the_same_idempotency_key_is_the_same_task(world: World) -> None:
    first = await world.submit(idempotency="k", body="b", task=ids.new_task_id())
    again = await world.submit(idempotency="k", body="b", task=ids.new_task_id())
    other = await world.submit(idempotency="k", body="c", task=ids.new_task_id())

    assert isinstance(first, Submitted)
    assert isinstance(again, Submitted)
    assert (again.task, again.replayed, first.replayed) == (first.task, True, False)
    assert other == Refused("mismatch")
    assert await world.client.zcard(world.keys.tenant_tasks("acme")) == 1


async def test_an_idempotency_key_is_remembered_for_as_long_as_the_setting_says(valkey: Redis) -> None:
    world = World(valkey, idempotency_s=90)
    await world.submit(idempotency="k", body="b", task=ids.new_task_id())
    assert 0 < await valkey.ttl(world.keys.idempotency("acme", "k")) <= 90


async def test_nothing_is_rejected_below_the_cap_and_all_or_nothing_at_it(valkey: Redis) -> None:
    world = World(valkey, queue_cap=5)
    assert isinstance(await world.submit(units=3), Submitted)
    assert await world.submit(units=3) == Refused("queue_full", used=3, limit=5)
    assert isinstance(await world.submit(units=2), Submitted)
    assert await world.counter("units_waiting") + await world.counter("units_queued") == 5


async def test_the_daily_quota_says_when_it_starts_anew(valkey: Redis) -> None:
    world = World(valkey, tenant_daily_units=2)
    assert isinstance(await world.submit(units=2), Submitted)
    refused = await world.submit(units=1)
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.used, refused.limit) == ("quota", 2, 2)
    assert 0 < refused.retry_after <= 86_400
    assert isinstance(await world.submit(units=1, tenant="other"), Submitted)


async def test_a_store_that_forgot_its_scripts_is_told_again(world: World) -> None:
    await world.task()
    await world.client.script_flush()
    assert isinstance(await world.submit(), Submitted)


async def test_no_label_keeps_another_one_from_slots_that_fit_both(world: World) -> None:
    await world.node("n1", labels=["gpu"])
    await world.task(units=20, max_parallel=20)
    wanted = await world.task(tenant="zeta", label="gpu")
    await world.end("n1", await world.run("n1"))
    assert await world.state(wanted) == "running"
