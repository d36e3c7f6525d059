"""Webhooks in the store: the state before, one script, the state after."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from control_plane.scheduling.scripts import Claim
from tests.integration.control_plane.scheduling.world import World

LINE = "acme|hook"
LEASE = timedelta(seconds=30)


@pytest.fixture
async def world(valkey: Redis) -> World:
    world = World(valkey)
    await world.node("n1")
    return world


async def ended(world: World, line: str = LINE, tenant: str = "acme") -> str:
    """A task with a webhook that is due."""
    task = await world.task(tenant=tenant, webhook_line=line)
    await world.scripts.stop(tenant, task)
    return task


async def claim(world: World, *, most: int = 10, a_receiver: int = 10, a_tenant: int = 10,
                held: dict[str, int] | None = None) -> list[Claim]:  # fmt: skip
    claims, _ = await world.scripts.webhook_claim(
        LEASE, most=most, a_receiver=a_receiver, a_tenant=a_tenant, held=held or {}
    )
    return claims


async def settle(world: World, claim: Claim, outcome: str, status: int | None = 200, error: str = "") -> bool:
    delay = timedelta(seconds=5) if outcome == "retry" else timedelta(0)
    return await world.scripts.webhook_settle(claim, outcome, status=status, error=error, delay=delay)


async def due_in(world: World, line: str = LINE) -> dict[str, float]:
    """Seconds until each webhook of a line is due."""
    seconds, micros = await world.client.time()
    found = await world.client.zrange(world.keys.webhook_line(*line.split("|")), 0, -1, withscores=True)
    return {task.decode(): round(at / 1000 - seconds - micros / 1e6) for task, at in found}


async def lines(world: World) -> dict[str, float]:
    """Seconds until something of each line is due."""
    seconds, micros = await world.client.time()
    found = await world.client.zrange(world.keys.webhooks(), 0, -1, withscores=True)
    return {line.decode(): round(at / 1000 - seconds - micros / 1e6) for line, at in found}


async def record(world: World, task: str) -> dict[str, str]:
    flat = await world.client.hgetall(world.keys.task(task))
    names = {
        b"webhook": "state",
        b"webhook_attempts": "attempts",
        b"webhook_status": "status",
        b"webhook_error": "error",
    }
    return {names[name]: value.decode() for name, value in flat.items() if name in names}


async def make_due(world: World, line: str = LINE) -> None:
    await world.due(world.keys.webhook_line(*line.split("|")))
    await world.client.zadd(world.keys.webhooks(), {line: 1})


# Owed.


async def by_its_owner(world: World, task: str) -> None:
    await world.scripts.stop("acme", task)


async def by_completing(world: World, task: str) -> None:
    await world.end("n1", await world.run("n1"))


async def by_failing(world: World, task: str) -> None:
    await world.end("n1", await world.run("n1"), "failed", error="no_such_host", retryable=False)


async def by_enough_results(world: World, task: str) -> None:
    await world.batch("n1", await world.run("n1"), leads=["a"])


async def by_deadline(world: World, task: str) -> None:
    await world.due(world.keys.deadlines())
    await world.scripts.reap()


async def by_losing_its_nodes(world: World, task: str) -> None:
    for boot in range(5):
        await world.node("n1", boot=f"boot{boot}")
        await world.age("n1", 60_000)
        await world.scripts.reap()


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (by_its_owner, "stopped"),
        (by_completing, "completed"),
        (by_failing, "error"),
        (by_enough_results, "completed"),
        (by_deadline, "error"),
        (by_losing_its_nodes, "error"),
    ],
)
async def test_whatever_ends_a_task_owes_its_webhook_in_the_same_step(world: World, end: Any, state: str) -> None:
    task = await world.task(webhook_line=LINE, max_results=1, timeout_ms=60_000)
    assert await record(world, task) == {"state": "pending", "attempts": "0"}
    assert await lines(world) == {}
    await end(world, task)
    assert await world.state(task) == state
    assert await due_in(world) == {task: 0}
    assert await lines(world) == {LINE: 0}


async def test_a_pause_owes_nothing_and_neither_does_a_task_without_a_webhook(world: World) -> None:
    paused = await world.task(webhook_line=LINE)
    await world.scripts.pause("acme", paused)
    await world.scripts.stop("acme", await world.task())
    assert await lines(world) == {}


# Claimed.


async def test_a_claim_moves_the_due_time_ahead_and_is_taken_over_when_that_has_come(world: World) -> None:
    task = await ended(world)
    (first,) = await claim(world)
    assert (first.task, first.number, first.tenant, first.line) == (task, 1, "acme", LINE)
    assert await due_in(world) == {task: 30}
    assert await lines(world) == {LINE: 30}
    assert await claim(world) == []

    await make_due(world)
    (second,) = await claim(world)
    assert (second.task, second.number) == (task, 2)
    assert await record(world, task) == {"state": "pending", "attempts": "0"}


@pytest.mark.parametrize(
    ("bounds", "claimed"),
    [
        ({}, {"a|x": 3, "a|y": 3, "b|x": 3}),
        ({"most": 4}, {"a|x": 3, "a|y": 1}),
        ({"a_receiver": 2}, {"a|x": 2, "a|y": 2, "b|x": 2}),
        ({"a_tenant": 4}, {"a|x": 3, "a|y": 1, "b|x": 3}),
        ({"a_receiver": 2, "held": {"a|x": 2, "a": 2}}, {"a|y": 2, "b|x": 2}),
        ({"a_receiver": 2, "held": {"a|x": 1, "a": 1}}, {"a|x": 1, "a|y": 2, "b|x": 2}),
        ({"a_tenant": 4, "held": {"a|z": 4, "a": 4}}, {"b|x": 3}),
    ],
)
async def test_no_receiver_and_no_tenant_gets_more_than_its_share(
    world: World, bounds: dict[str, Any], claimed: dict[str, int]
) -> None:
    for line in ("a|x", "a|y", "b|x"):
        for _ in range(3):
            await ended(world, line, tenant=line[0])
        await make_due(world, line)
    found = [c.line for c in await claim(world, **bounds)]
    assert {line: found.count(line) for line in sorted(set(found))} == claimed


async def test_a_line_is_due_when_the_first_of_its_webhooks_is(world: World) -> None:
    first, second = await ended(world), await ended(world)
    (taken,) = await claim(world, most=1)
    assert taken.task == first
    assert await lines(world) == {LINE: 0}
    (other,) = await claim(world)
    assert other.task == second
    await settle(world, other, "retry", 500)
    assert await due_in(world) == {second: 5, first: 30}
    assert await lines(world) == {LINE: 5}


async def test_a_webhook_whose_task_has_expired_is_dropped_and_told(world: World) -> None:
    task = await ended(world)
    await world.client.delete(world.keys.task(task))
    assert await world.scripts.webhook_claim(LEASE, most=9, a_receiver=9, a_tenant=9, held={}) == ([], [task])
    assert await lines(world) == {}
    assert await due_in(world) == {}


# Settled.


@pytest.mark.parametrize(
    ("outcome", "status", "error", "after", "due"),
    [
        ("delivered", 204, "", {"state": "delivered", "attempts": "1", "status": "204", "error": ""}, None),
        ("failed", 410, "", {"state": "failed", "attempts": "1", "status": "410", "error": ""}, None),
        ("retry", None, "no", {"state": "pending", "attempts": "1", "status": "", "error": "no"}, 5),
    ],
)
async def test_an_outcome_is_kept_with_the_task_and_expires_with_it(
    world: World, outcome: str, status: int | None, error: str, after: dict[str, str], due: int | None
) -> None:
    task = await ended(world)
    (mine,) = await claim(world)
    assert await settle(world, mine, outcome, status, error)
    assert await record(world, task) == after
    assert await due_in(world) == ({} if due is None else {task: due})
    assert await lines(world) == ({} if due is None else {LINE: due})
    assert await world.client.ttl(world.keys.task(task)) > 0
    assert await settle(world, mine, outcome, status, error) is (due is not None)


@pytest.mark.parametrize(("outcome", "counts"), [("retry", False), ("failed", False), ("delivered", True)])
async def test_of_an_overtaken_claim_only_a_delivery_counts(world: World, outcome: str, counts: bool) -> None:
    task = await ended(world)
    (overtaken,) = await claim(world)
    await make_due(world)
    (current,) = await claim(world)
    assert await settle(world, overtaken, outcome) is counts
    assert (await record(world, task))["state"] == ("delivered" if counts else "pending")
    assert await due_in(world) == ({} if counts else {task: 30})
    assert await settle(world, current, "retry", 500) is not counts


async def test_the_word_of_an_expired_task_leaves_nothing_behind(world: World) -> None:
    task = await ended(world)
    (mine,) = await claim(world)
    await world.client.delete(world.keys.task(task))
    assert not await settle(world, mine, "retry", 500)
    assert await world.client.exists(world.keys.task(task)) == 0
