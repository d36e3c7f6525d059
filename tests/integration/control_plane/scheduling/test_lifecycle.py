"""stop, pause, resume, register, heartbeat, drain, goodbye, reap: what people and time do to a fleet."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from control_plane.scheduling.scripts import Control
from fleet.messages import Accepted, Cancel, Drain, Pause, Register, Superseded
from tests.integration.control_plane.scheduling.world import World


@pytest.fixture
async def world(valkey: Redis) -> World:
    world = World(valkey)
    await world.node("n1", slots=2)
    return world


async def test_stop_ends_the_task_and_refuses_what_still_comes(world: World) -> None:
    task = await world.task(units=4)
    first, _ = await world.runs("n1")
    assert await world.scripts.stop("acme", task) == Control("ok", "stopped")

    assert await world.units(task) == ["stopped"] * 4
    assert {c.unit for c in await world.commands("n1", Cancel)} == {f"{task}.0", f"{task}.1"}
    assert await world.batch("n1", first, leads=["late"]) == ("refused", 0)
    assert (await world.events(task))[-1][0] == "task_stopped"
    assert await world.free() == []
    await world.end("n1", first, "stopped")
    assert await world.free() == ["n1/0"]
    assert await world.scripts.stop("acme", task) == Control("terminal", "stopped")


@pytest.mark.parametrize("call", ["stop", "pause", "resume"])
async def test_another_tenants_task_is_unknown(world: World, call: str) -> None:
    task = await world.task()
    assert await getattr(world.scripts, call)("other", task) == Control("unknown")
    assert await world.state(task) == "running"


async def test_pause_frees_the_slots_and_resume_goes_on_from_the_checkpoint(world: World) -> None:
    task = await world.task(units=3)
    first, second = await world.runs("n1")
    await world.batch("n1", first, changes={"v": "1"})
    assert await world.scripts.pause("acme", task) == Control("ok", "paused")
    assert len(await world.commands("n1", Pause)) == 2
    await world.end("n1", first, "paused")
    await world.end("n1", second, "paused")
    assert await world.units(task) == ["paused", "paused", "waiting"]
    assert await world.free() == ["n1/0", "n1/1"]

    assert await world.scripts.resume("acme", task) == Control("ok", "running")
    assert await world.units(task) == ["running", "running", "waiting"]
    again = (await world.runs("n1"))[-2]
    assert (again.unit, again.checkpoint, again.attempt) == (first.unit, {"v": "1"}, 1)
    assert again.fence > first.fence
    kinds = [k for k, _ in await world.events(task) if k.startswith("task_")]
    assert kinds == ["task_started", "task_paused", "task_resumed"]


async def test_a_task_resumed_before_its_units_had_paused_runs_on(world: World) -> None:
    task = await world.task()
    run = await world.run("n1")
    await world.scripts.pause("acme", task)
    await world.scripts.resume("acme", task)
    await world.end("n1", run, "paused")
    assert await world.units(task) == ["running"]
    assert "attempts" not in await world.unit(task)
    assert (await world.run("n1")).fence > run.fence


async def test_a_node_that_restarts_gives_its_work_back_as_a_delivery(world: World) -> None:
    task = await world.task()
    before = await world.run("n1")
    assert await world.node("n1", slots=2, boot="second") == "ok"

    unit = await world.unit(task)
    assert (unit["state"], unit["deliveries"]) == ("running", "1")
    assert "attempts" not in unit
    after = await world.run("n1")
    assert after.fence > before.fence
    assert after.boot == "second"
    superseded, accepted = (await world.commands("n1"))[:2]
    assert isinstance(superseded, Superseded)
    assert (superseded.boot, superseded.by) == ("boot", "second")
    assert isinstance(accepted, Accepted)
    assert accepted.generation == 2
    assert await world.batch("n1", before, leads=["late"]) == ("stale", 0)


async def test_a_name_that_is_in_use_is_not_given_to_another_password(world: World) -> None:
    assert await world.scripts.join("n1", "other-hash", "1-1") is False
    assert await world.scripts.join("n1", "hash-n1", "1-2") is True
    await world.age("n1", 60_000)
    await world.scripts.reap()
    assert await world.scripts.join("n1", "other-hash", "1-3") is True


async def test_a_heartbeat_that_does_not_name_a_lease_loses_it(world: World) -> None:
    task = await world.task()
    run = await world.run("n1")
    assert await world.beat("n1", live=[run]) == "ok"
    assert (await world.unit(task))["fence"] == str(run.fence)
    await world.beat("n1", live=[])
    assert (await world.unit(task))["deliveries"] == "1"
    assert (await world.run("n1")).fence > run.fence


async def test_a_heartbeat_from_before_the_grant_loses_nothing(world: World) -> None:
    task = await world.task()
    await world.beat("n1", live=[], seen="1-1")
    assert "deliveries" not in await world.unit(task)


async def test_a_heartbeat_that_names_a_lost_lease_is_told_so(world: World) -> None:
    await world.task()
    run = await world.run("n1")
    await world.beat("n1", live=[])
    await world.beat("n1", live=[run], seen="1-1")
    cancels = await world.commands("n1", Cancel)
    assert [(c.unit, c.fence) for c in cancels] == [(run.unit, run.fence)]


async def test_a_silent_node_is_reaped_and_its_work_runs_elsewhere(world: World) -> None:
    task = await world.task()
    run = await world.run("n1")
    await world.batch("n1", run, changes={"v": "1"}, leads=["a"])
    await world.node("n2")
    await world.age("n1", 19_000)
    assert (await world.scripts.reap()).nodes == 0
    await world.age("n1", 2_000)
    assert (await world.scripts.reap()).nodes == 1

    moved = await world.run("n2")
    assert (moved.unit, moved.checkpoint, moved.attempt) == (run.unit, {"v": "1"}, 1)
    assert await world.batch("n1", run, leads=["late"]) == ("refused", 0)
    assert [d["display_name"] for _, d in await world.events(task, "result")] == ["a"]
    assert (await world.slot("n1/0"))["state"] == "down"


async def test_a_node_that_nobody_has_read_is_not_dead(world: World) -> None:
    await world.client.xadd(world.keys.out("n1"), {"k": "heartbeat"})
    await world.age("n1", 60_000)
    assert (await world.scripts.reap()).nodes == 0


async def test_a_node_taken_for_dead_serves_again_when_it_is_back(world: World) -> None:
    await world.age("n1", 60_000)
    await world.scripts.reap()
    assert await world.free() == []
    await world.beat("n1")
    assert await world.free() == ["n1/0", "n1/1"]
    assert await world.client.ttl(world.keys.slot("n1/0")) == -1
    assert await world.client.ttl(world.keys.node("n1")) == -1


async def test_a_unit_that_keeps_losing_its_node_is_a_dead_letter(valkey: Redis) -> None:
    world = World(valkey)
    task = await world.task()
    for boot in range(5):
        assert await world.units(task) == ["queued"]
        await world.node("n1", boot=f"boot{boot}")
        await world.age("n1", 60_000)
        await world.scripts.reap()
    assert await world.units(task) == ["failed"]
    assert (await world.unit(task))["error"] == "node_lost"


async def test_a_draining_node_gets_nothing_new_and_leaves_at_no_cost(world: World) -> None:
    first = await world.task()
    assert await world.scripts.drain("n1") == "ok"
    assert len(await world.commands("n1", Drain)) == 1
    second = await world.task()
    assert await world.state(second) == "queued"
    await world.node("n2", slots=2)
    run = (await world.runs("n1"))[0]
    await world.end("n1", run, "returned")
    assert await world.leave("n1") == "ok"

    unit = await world.unit(first)
    assert (unit["state"], unit["slot"]) == ("running", "n2/1")
    assert "deliveries" not in unit
    assert "attempts" not in unit
    assert await world.scripts.drain("n1") == "down"
    assert await world.scripts.drain("nobody") == "unknown"


async def test_a_node_that_says_it_drains_is_taken_out(world: World) -> None:
    await world.beat("n1", draining=True)
    assert await world.free() == []
    assert await world.state(await world.task()) == "queued"


async def test_a_broken_slot_is_not_offered_until_its_new_chrome_is_warm(world: World) -> None:
    await world.chrome("n1", 0, "broken")
    assert await world.free() == ["n1/1"]
    await world.chrome("n1", 0, "free", port=1234)
    assert await world.free() == ["n1/0", "n1/1"]
    assert (await world.slot("n1/0"))["port"] == "1234"


async def test_a_slot_that_registers_without_a_port_waits_for_its_nodes_word(world: World) -> None:
    """The node has no way out yet."""
    await world.scripts.join("n2", "hash", "0-1")
    register = Register(boot="boot", slots=[{"index": 0, "port": 0}, {"index": 1, "port": 9001}])
    await world.scripts.register("n2", await world.entry(), register)
    assert await world.free() == ["n1/0", "n1/1", "n2/1"]
    assert (await world.slot("n2/0"))["state"] == "broken"
    await world.chrome("n2", 0, "free", port=1234)
    assert await world.free() == ["n1/0", "n1/1", "n2/0", "n2/1"]


@pytest.mark.parametrize(("kind", "error"), [("queue", "queue_timeout"), ("run", "task_timeout")])
async def test_deadlines_end_a_task_with_an_error_of_their_own(world: World, kind: str, error: str) -> None:
    running = await world.task(units=2, timeout_ms=60_000)
    waiting = await world.task(queue_timeout_ms=60_000)
    task = {"queue": waiting, "run": running}[kind]
    assert await world.client.zadd(world.keys.deadlines(), {f"{kind}|{task}": 1}, xx=True, ch=True) == 1
    assert (await world.scripts.reap()).deadlines == 1
    assert await world.state(task) == "error"
    assert (await world.events(task))[-1][1]["error"] == error


async def test_a_pause_stops_the_clock_of_waiting_and_resume_starts_it_again(world: World) -> None:
    await world.task(units=2)  # takes both slots
    task = await world.task(queue_timeout_ms=60_000)
    deadline = f"queue|{task}"
    due = await world.client.zscore(world.keys.deadlines(), deadline)
    await world.client.zadd(world.keys.deadlines(), {deadline: due - 50_000})  # 50 s have gone by
    await world.scripts.pause("acme", task)
    assert await world.client.zscore(world.keys.deadlines(), deadline) is None
    await world.scripts.resume("acme", task)
    left = await world.client.zscore(world.keys.deadlines(), deadline) - due
    assert -50_000 <= left < -40_000
    assert await world.client.hget(world.keys.task(task), "queue_left") is None


async def test_time_spent_paused_does_not_count_against_the_timeout(world: World) -> None:
    task = await world.task(timeout_ms=60_000)
    run = await world.run("n1")
    assert await world.client.zscore(world.keys.deadlines(), f"run|{task}") is not None
    await world.scripts.pause("acme", task)
    await world.end("n1", run, "paused")
    assert await world.client.zscore(world.keys.deadlines(), f"run|{task}") is None


async def test_a_slot_that_never_lets_go_is_taken_out_of_service(world: World) -> None:
    task = await world.task()
    await world.scripts.stop("acme", task)
    await world.due(world.keys.deadlines())
    await world.scripts.reap()
    assert (await world.slot("n1/0"))["state"] == "broken"
    assert await world.free() == ["n1/1"]


async def test_a_node_that_joined_and_never_registered_is_forgotten(world: World) -> None:
    await world.scripts.join("n2", "hash", "0-1")
    await world.client.zadd(world.keys.known(), {"n2": 1})
    await world.scripts.reap()
    assert await world.client.keys("*n2*") == []


async def test_what_a_node_wrote_before_the_store_was_lost_leaves_nothing_that_stays(world: World) -> None:
    task = await world.task()
    run = await world.run("n1")
    await world.client.flushall()
    assert await world.batch("n1", run, leads=["a"]) == ("stale", 0)
    assert await world.client.exists(world.keys.task(task)) == 0
    assert await world.client.zrange(world.keys.known(), 0, -1) == [b"n1"], "who is known is forgotten in time"
