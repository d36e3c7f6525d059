"""A store that the first version left behind is brought up to date once, whoever begins and whoever dies meanwhile."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from control_plane.scheduling.limits import Limits
from control_plane.scheduling.migration import bring_up_to_date
from control_plane.scheduling.presence import REPLICA_TTL, Presence
from fleet.errors import SchemaMismatch, StillServed
from fleet.keys import SCHEMA_VERSION
from tests.integration.control_plane.scheduling.picture import Picture
from tests.integration.control_plane.scheduling.world import World

OLD = json.loads(Path(__file__).with_name("store_of_schema_1.json").read_text())
"""What scripts of schema 1 made of three nodes and five tasks: those of ``names``, by what became of them."""


@pytest.fixture
async def world(valkey: Redis) -> World:
    """The old store, with nodes that were heard of just now."""
    seconds, _ = await valkey.time()
    for key, kind, ttl, value in OLD["keys"]:
        if kind == "string":
            await valkey.set(key, value)
        elif kind == "hash":
            await valkey.hset(key, mapping=value)
        elif kind == "list":
            await valkey.rpush(key, *value)
        elif kind == "set":
            await valkey.sadd(key, *value)
        elif kind == "zset":
            await valkey.zadd(key, value)
        else:
            for entry, fields in value:
                await valkey.xadd(key, fields, id=entry)
        if ttl >= 0:
            await valkey.pexpire(key, ttl)
    world = World(valkey)
    for node in ("n1", "n2"):
        await valkey.zadd(world.keys.nodes(), {node: seconds * 1000})
    await valkey.zadd(world.keys.known(), {"n1": seconds * 1000, "n2": seconds * 1000, "n3": seconds * 1000})
    return world


async def look(world: World) -> Picture:
    return await Picture.take(world.client, world.keys, without={"replicas"})


async def content(world: World) -> Picture:
    """Everything but how long it is kept, which runs out meanwhile."""
    return dataclasses.replace(await look(world), ttls={})


async def migrate(world: World) -> None:
    await bring_up_to_date(world.client, world.keys, Limits(), REPLICA_TTL)


def presence(world: World, replica: str) -> Presence:
    async def prepare() -> None:
        return None

    return Presence(world.client, world.keys, world.scripts, replica, prepare)


async def test_no_script_touches_a_store_of_another_layout(world: World) -> None:
    before = await content(world)
    with pytest.raises(SchemaMismatch, match="version 1, this program speaks"):
        await world.scripts.reap()
    with pytest.raises(SchemaMismatch):
        await world.task()
    assert await content(world) == before


async def test_a_replica_that_starts_brings_the_store_up_to_date_and_keeps_what_is_in_it(world: World) -> None:
    before = await look(world)
    assert list(before.violations()), "the old layout does not do for these scripts"
    await presence(world, "a").tick()
    after = await look(world)
    assert await world.client.get(world.keys.schema()) == SCHEMA_VERSION.encode()
    assert list(after.violations()) == []
    units = {"tasks", "units", "slots", "nodes", "queues", "rings", "retries", "dead", "leases", "commands", "free"}
    for kind in units:
        assert after.comparable()[kind] == before.comparable()[kind], kind
    assert after.comparable()["tenants"] == {"acme": (3, 5, 4), "zeta": (2, 2, 2), "late": (0, 2, 2)}
    assert after.comparable()["busy"] == {
        "any": ["n1/0", "n1/1", "n1/2", "n2/0", "n2/1"],
        "gpu": ["n1/0", "n1/1", "n1/2"],
    }
    assert after.lists["queued-tenants:any"] == ["late"]
    running = [name for name, unit in after.under("unit:") if unit["state"] == "running"]
    assert {f"idle|{unit}" for unit in running} <= set(after.zsets["deadlines"])


async def test_the_old_tasks_go_on(world: World) -> None:
    """Each is ended, in its own way, by the scripts of today: nothing is left of any."""
    await presence(world, "a").tick()
    first, second = OLD["names"]["running"]
    await world.scripts.stop("acme", first)
    assert await world.units(first) == ["stopped"] * 5
    for run in await world.runs("n2"):
        assert await world.batch("n2", run, seq=9) == ("ok", 0)
        assert await world.end("n2", run) == "ok"
    assert (await world.events(second, "progress"))[-1][1]["progress"] == {"website": 1}
    for task in (second, OLD["names"]["paused"], OLD["names"]["queued"]):
        tenant = (await world.client.hget(world.keys.task(task), "tenant")).decode()
        await world.scripts.stop(tenant, task)
        assert await world.state(task) == "stopped"
    left = await look(world)
    assert list(left.violations()) == []
    assert {name: pending for name, (_, _, pending) in left.comparable()["tenants"].items()} == dict.fromkeys(
        ("acme", "zeta", "late"), 0
    )


async def test_replicas_that_start_at_once_make_the_same_of_it(world: World) -> None:
    await asyncio.gather(*(presence(world, name).tick() for name in "abc"))
    assert list((await look(world)).violations()) == []
    await world.task(2)
    await migrate(world)
    assert list((await look(world)).violations()) == []


async def test_one_that_died_in_the_middle_is_followed_by_another(world: World) -> None:
    """All calls of a whole run, cut off after each of them; the next one does the whole."""
    whole = world.client.eval
    for calls in range(6):
        left = calls

        async def some(*args: Any) -> Any:
            nonlocal left
            if left == 0:
                raise ConnectionError
            left -= 1
            return await whole(*args)

        world.client.eval = some  # type: ignore[method-assign]
        try:
            await migrate(world)
        except ConnectionError:
            assert await world.client.get(world.keys.schema()) == b"1"
        finally:
            world.client.eval = whole  # type: ignore[method-assign]
    assert await world.client.get(world.keys.schema()) == SCHEMA_VERSION.encode()
    assert list((await look(world)).violations()) == []


async def test_what_an_earlier_attempt_left_is_made_anew(world: World) -> None:
    first = OLD["names"]["running"][0]
    await world.client.sadd(world.keys.active(first), 4)
    await presence(world, "a").tick()
    assert await world.client.smembers(world.keys.active(first)) == {b"0", b"1", b"2"}


async def test_beside_a_replica_of_the_old_version_nothing_is_changed(world: World) -> None:
    seconds, _ = await world.client.time()
    await world.client.zadd(world.keys.replicas(), {"old-1": seconds * 1000})
    before = await content(world)
    with pytest.raises(StillServed, match="old-1"):
        await presence(world, "a").tick()
    assert await content(world) == before
    await world.client.zadd(world.keys.replicas(), {"old-1": (seconds - 60) * 1000})
    await presence(world, "a").tick()
    assert list((await look(world)).violations()) == []


async def test_an_old_replica_that_comes_meanwhile_is_noticed(world: World) -> None:
    whole = world.client.eval

    async def joined(*args: Any) -> Any:
        seconds, _ = await world.client.time()
        await world.client.zadd(world.keys.replicas(), {"old-1": seconds * 1000})
        return await whole(*args)

    world.client.eval = joined  # type: ignore[method-assign]
    with pytest.raises(StillServed, match="old-1"):
        await bring_up_to_date(world.client, world.keys, Limits(), timedelta(seconds=1))
    assert await world.client.get(world.keys.schema()) == b"1"
