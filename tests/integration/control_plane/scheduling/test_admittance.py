"""A node's way in, and what its Valkey user may touch: its own prefix, and no other key or command."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from control_plane.scheduling.admittance import USER_MEMORY, Admittance
from control_plane.scheduling.limits import Limits
from control_plane.scheduling.scripts import Scripts
from fleet.keys import Keys, join_acl
from fleet.messages import Join

KEYS = Keys("test")
PASSWORD = "correct horse"  # the node's own; the store sees its hash only


@pytest.fixture
async def node_user(valkey: Redis) -> AsyncIterator[Redis]:
    """Connected as the user that knocking as ``n1`` has made."""
    await _knock(valkey, "n1", PASSWORD)
    client = _as(valkey, "node-n1", PASSWORD)
    yield client
    await client.aclose()
    await valkey.acl_deluser("node-n1")


async def _knock(valkey: Redis, node: str, password: str) -> None:
    admittance = Admittance(valkey, KEYS, Scripts(valkey, KEYS, Limits()))
    digest = hashlib.sha256(password.encode()).hexdigest()
    entry = await valkey.xadd(KEYS.join(), Join(node=node, password_sha256=digest, boot="b").to_fields())
    await admittance.apply(entry.decode(), (await valkey.xrange(KEYS.join(), entry, entry))[0][1])


def _as(valkey: Redis, user: str, password: str) -> Redis:
    where = valkey.connection_pool.connection_kwargs
    return Redis(
        host=where.get("host", "127.0.0.1"),
        port=where.get("port", 6379),
        username=user,
        password=password,
        retry=Retry(NoBackoff(), 0),
    )


async def test_a_node_does_its_work_within_its_prefix(node_user: Redis) -> None:
    await node_user.xadd(KEYS.out("n1"), {"k": "heartbeat"})
    await node_user.xadd(KEYS.frames("n1", "0"), {"k": "frame"}, maxlen=1, approximate=False)
    await node_user.expire(KEYS.frames("n1", "0"), 60)
    assert await node_user.xread({KEYS.commands("n1"): "0-0"}) in ([], {})


FOREIGN = [
    KEYS.out("n2"), KEYS.commands("n2"), KEYS.frames("n2", "0"), KEYS.join(), KEYS.nodes(), KEYS.node("n1"),
    KEYS.slot("n1/0"), KEYS.task("t"), KEYS.events("t"), KEYS.unit("t.0"), KEYS.fence(), KEYS.api_key("k"),
    KEYS.results(), KEYS.tenant("acme"), KEYS.counters(), "other", KEYS.out("n1") + "x",
]  # fmt: skip


@pytest.mark.parametrize("key", FOREIGN)
async def test_a_node_reaches_no_other_key(node_user: Redis, key: str) -> None:
    for call in (node_user.xadd(key, {"a": "b"}), node_user.xread({key: "0"}), node_user.expire(key, 1)):
        with pytest.raises(NoPermissionError):
            await call


async def test_a_node_reads_no_output_and_writes_no_commands(node_user: Redis) -> None:
    with pytest.raises(NoPermissionError):
        await node_user.xadd(KEYS.commands("n1"), {"k": "run"})
    with pytest.raises(NoPermissionError):
        await node_user.xread({KEYS.out("n1"): "0"})


async def test_a_node_has_the_commands_it_needs_and_no_other(valkey: Redis, node_user: Redis) -> None:
    allowed = {"xread", "xadd", "expire", "ping", "hello", "auth", "time", "quit", "reset"}
    names = [name.decode() for name in await valkey.execute_command("COMMAND LIST")]
    assert len(names) > 200
    for name in names:
        if name in allowed:
            continue
        # DRYRUN wants as many words as the command does, and for a command with subcommands a real one.
        for words in ([KEYS.out("n1")] * n for n in range(12)):
            try:
                reply = await valkey.execute_command("ACL", "DRYRUN", "node-n1", name, *words)
            except ResponseError:
                continue
            assert b"no permissions" in reply, name
            break


async def test_the_join_user_may_only_knock(valkey: Redis) -> None:
    await valkey.execute_command("ACL", "SETUSER", "join", "reset", "on", ">open", *join_acl(KEYS))
    knocker = _as(valkey, "join", "open")
    try:
        await knocker.xadd(KEYS.join(), {"k": "join"})
        for call in (knocker.xread({KEYS.join(): "0"}), knocker.xadd(KEYS.out("n1"), {"a": "b"}), knocker.get("x"),
                     knocker.execute_command("ACL", "WHOAMI"), knocker.eval("return 1", 0)):  # fmt: skip
            with pytest.raises(NoPermissionError):
                await call
    finally:
        await knocker.aclose()
        await valkey.acl_deluser("join")


async def test_a_name_in_use_is_not_taken_by_another_password(valkey: Redis, node_user: Redis) -> None:
    await valkey.zadd(KEYS.nodes(), {"n1": 1})
    await _knock(valkey, "n1", "another password")
    impostor = _as(valkey, "node-n1", "another password")
    try:
        with pytest.raises(AuthenticationError):
            await impostor.time()
        assert await node_user.ping()
    finally:
        await impostor.aclose()


async def test_the_user_of_a_node_that_is_gone_is_removed(valkey: Redis, node_user: Redis) -> None:
    """Its record is kept for a day, for people; its connections and its password end with the user."""
    admittance = Admittance(valkey, KEYS, Scripts(valkey, KEYS, Limits()))
    await valkey.zadd(KEYS.known(), {"n1": await _ms_ago(valkey, USER_MEMORY + timedelta(seconds=5))})
    await node_user.time()
    await admittance.see_off()
    with pytest.raises(RedisError):  # its connection is closed
        await node_user.time()
    with pytest.raises(AuthenticationError):
        await node_user.time()
    assert await _users(valkey) == set()
    await _knock(valkey, "n1", PASSWORD)
    assert await node_user.time(), "it may come back by its name and password"


async def test_the_user_of_a_node_that_the_store_knows_nothing_of_is_removed(valkey: Redis, node_user: Redis) -> None:
    await valkey.delete(KEYS.known(), KEYS.node("n1"))
    await Admittance(valkey, KEYS, Scripts(valkey, KEYS, Limits())).see_off()
    assert await _users(valkey) == set()


async def test_users_of_nodes_that_are_not_gone_stay(valkey: Redis, node_user: Redis) -> None:
    """One that is live although nobody has read it for long, one that was just lost, one of another fleet."""
    other = Keys("other")
    await _knock(valkey, "n2", PASSWORD)
    await valkey.execute_command("ACL", "SETUSER", "node-n3", "reset", "on", "#" + "0" * 64, *other.node_acl("n3"))
    long_ago = await _ms_ago(valkey, USER_MEMORY * 3)
    await valkey.zadd(KEYS.nodes(), {"n1": long_ago})
    await valkey.zadd(KEYS.known(), {"n1": long_ago, "n2": await _ms_ago(valkey, USER_MEMORY - timedelta(seconds=60))})
    await Admittance(valkey, KEYS, Scripts(valkey, KEYS, Limits())).see_off()
    assert await _users(valkey) == {"node-n1", "node-n2", "node-n3"}
    await valkey.acl_deluser("node-n2", "node-n3")


async def test_who_knocks_while_it_is_seen_off_keeps_its_user(
    valkey: Redis, node_user: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The knock comes between the look at the node and the removal of its user."""
    await valkey.zadd(KEYS.known(), {"n1": 1})
    execute = Pipeline.execute

    async def late(pipe: Pipeline) -> Any:
        monkeypatch.setattr(Pipeline, "execute", execute)
        await _knock(valkey, "n1", PASSWORD)
        return await pipe.execute()

    monkeypatch.setattr(Pipeline, "execute", late)
    await Admittance(valkey, KEYS, Scripts(valkey, KEYS, Limits())).see_off()
    assert Pipeline.execute is execute, "the knock came"
    assert await node_user.time()


async def _ms_ago(valkey: Redis, ago: timedelta) -> float:
    seconds, _ = await valkey.time()
    return (seconds - ago.total_seconds()) * 1000


async def _users(valkey: Redis) -> set[str]:
    """Of nodes, of all fleets."""
    return {
        user for user in map(bytes.decode, await valkey.execute_command("ACL", "USERS")) if user.startswith("node-")
    }


@pytest.mark.parametrize("fields", [{}, {b"k": b"join"}, Join("N*", "0" * 64, "b").to_fields(),
                                    Join("n1", "not a hash", "b").to_fields()])  # fmt: skip
async def test_a_knock_that_does_not_parse_makes_no_user(valkey: Redis, fields: dict[bytes, bytes]) -> None:
    before = await valkey.acl_list()
    admittance = Admittance(valkey, KEYS, Scripts(valkey, KEYS, Limits()))
    await admittance.apply("5-5", fields)
    assert await valkey.acl_list() == before
    assert await admittance.cursor() == "5-5"


async def test_hostile_rules_cannot_ride_on_a_hash(valkey: Redis) -> None:
    with pytest.raises(ResponseError):
        await valkey.execute_command("ACL", "SETUSER", "x", "#" + "z" * 64)
