"""Who reads which node, and what happens when the store comes back empty."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from control_plane.scheduling.limits import Limits
from control_plane.scheduling.presence import Presence, owner
from control_plane.scheduling.scripts import Scripts
from fleet.errors import SchemaMismatch
from fleet.keys import Keys

KEYS = Keys("test")


def presence(client: Redis, replica: str, prepared: list[str] | None = None) -> Presence:
    async def prepare() -> None:
        if prepared is not None:
            prepared.append(replica)

    return Presence(client, KEYS, Scripts(client, KEYS, Limits()), replica, prepare)


async def test_replicas_share_the_nodes_and_take_over_what_a_leaver_had(valkey: Redis) -> None:
    a, b = presence(valkey, "a"), presence(valkey, "b")
    for replica in (a, b, a):
        await replica.tick()
    nodes = [f"n{i}" for i in range(40)]
    shares = [{n for n in nodes if r.mine(n)} for r in (a, b)]
    assert shares[0] | shares[1] == set(nodes)
    assert not shares[0] & shares[1]
    assert min(map(len, shares)) > 0

    await b.leave()
    await a.tick()
    assert all(a.mine(n) for n in nodes)


def test_only_the_nodes_of_a_leaver_move() -> None:
    nodes = [f"n{i}" for i in range(200)]
    before = {n: owner(n, ["a", "b", "c"]) for n in nodes}
    after = {n: owner(n, ["a", "b"]) for n in nodes}
    assert all(after[n] == before[n] for n in nodes if before[n] != "c")


async def test_a_store_that_came_back_empty_is_prepared_again(valkey: Redis) -> None:
    prepared: list[str] = []
    replica = presence(valkey, "a", prepared)
    await replica.tick()
    await replica.tick()
    assert prepared == ["a"]
    await valkey.flushall()
    await replica.tick()
    assert prepared == ["a", "a"]


async def test_a_store_that_was_set_back_gets_another_epoch_and_is_prepared_again_by_all(valkey: Redis) -> None:
    prepared: list[str] = []
    a, b = presence(valkey, "a", prepared), presence(valkey, "b", prepared)
    for replica in (a, b):
        await replica.tick()
    before = await valkey.get(KEYS.epoch())
    copy = {key: await valkey.dump(key) for key in (KEYS.epoch(), KEYS.replicas(), KEYS.schema())}
    for replica in (a, b):
        await replica.tick()
        await replica.tick()
    assert prepared == ["a", "b"]
    await valkey.flushall()
    for key, held in copy.items():
        await valkey.restore(key, 0, held)
    for _ in range(2):
        for replica in (b, a):
            await replica.tick()
    assert await valkey.get(KEYS.epoch()) != before
    assert sorted(prepared) == ["a", "a", "b", "b"]


async def test_nodes_that_a_lost_store_let_in_have_to_come_in_anew(valkey: Redis) -> None:
    ours, others = KEYS.node_acl("n1"), Keys("other").node_acl("n2")
    replica = presence(valkey, "a")
    await replica.tick()
    await valkey.execute_command("ACL", "SETUSER", "node-n1", "on", *ours)
    await valkey.execute_command("ACL", "SETUSER", "node-n2", "on", *others)
    await replica.tick()
    assert {"node-n1", "node-n2"} <= set(map(_text, await valkey.acl_users()))
    await valkey.flushall()
    await replica.tick()
    left = set(map(_text, await valkey.acl_users()))
    await valkey.execute_command("ACL", "DELUSER", "node-n2")
    assert "node-n1" not in left
    assert "node-n2" in left, "another fleet on the server lost nothing"


async def test_a_store_of_another_schema_is_refused(valkey: Redis) -> None:
    await valkey.set(KEYS.schema(), "999")
    with pytest.raises(SchemaMismatch, match="999"):
        await presence(valkey, "a").tick()


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
