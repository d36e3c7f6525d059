"""A node's Valkey user can read its commands, write its out stream and its frames, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError

from browser_node.membership import as_user
from fleet.keys import Keys
from tests.fakes.fake_control import FakeControl
from tests.servers import ValkeyServer

KEYS = Keys("local")
PASSWORD = "a test's own"


@pytest.fixture
async def node_client(valkey_server: ValkeyServer, control: FakeControl) -> AsyncIterator[Redis]:
    digest = hashlib.sha256(PASSWORD.encode()).hexdigest()
    await control.client.execute_command("ACL", "SETUSER", "node-n1", "reset", "on", f"#{digest}", *KEYS.node_acl("n1"))
    client = Redis.from_url(as_user(valkey_server.url, "node-n1", PASSWORD), retry=Retry(NoBackoff(), 0))
    yield client
    await client.aclose()


OTHER_KEYS = [
    KEYS.schema(), KEYS.epoch(), KEYS.fence(), KEYS.nodes(), KEYS.node("n1"), KEYS.slot("n1/0"), KEYS.free("any"),
    KEYS.tenant("default"), KEYS.task("tsk_1"), KEYS.unit("tsk_1.0"), KEYS.checkpoint("tsk_1.0"), KEYS.events("tsk_1"),
    KEYS.results(), KEYS.join(), KEYS.join_cursor(), KEYS.dead(), KEYS.retries(), KEYS.api_key("x"), KEYS.session("x"),
    KEYS.watch("tsk_1"), KEYS.commands("n2"), KEYS.out("n2"), KEYS.frames("n2", "0"), KEYS.node_prefix("n1"),
    KEYS.out("n1") + "x", KEYS.out("n10"), Keys("other").out("n1"), "out", "*",
]  # fmt: skip


async def test_what_a_node_needs_is_allowed(node_client: Redis, control: FakeControl) -> None:
    assert await node_client.ping()
    assert await node_client.xadd(KEYS.out("n1"), {"k": "heartbeat"})
    assert await node_client.xadd(KEYS.frames("n1", "3"), {"k": "frame"}, maxlen=1, approximate=False)
    assert await node_client.expire(KEYS.frames("n1", "3"), 60)
    await control.client.xadd(KEYS.commands("n1"), {"k": "drain"})
    assert await node_client.xread({KEYS.commands("n1"): "0-0"})


@pytest.mark.parametrize("key", OTHER_KEYS)
async def test_every_other_key_is_refused(node_client: Redis, key: str) -> None:
    with pytest.raises(NoPermissionError):
        await node_client.xadd(key, {"k": "v"})
    with pytest.raises(NoPermissionError):
        await node_client.xread({key: "0-0"})
    with pytest.raises(NoPermissionError):
        await node_client.expire(key, 1)


async def test_its_own_keys_are_for_one_direction_only(node_client: Redis) -> None:
    with pytest.raises(NoPermissionError):
        await node_client.xadd(KEYS.commands("n1"), {"k": "run"})
    with pytest.raises(NoPermissionError):
        await node_client.xread({KEYS.out("n1"): "0-0"})
    with pytest.raises(NoPermissionError):
        await node_client.xread({KEYS.frames("n1", "0"): "0-0"})


OWN = KEYS.out("n1")

OTHER_COMMANDS = [
    "GET {k}", "SET {k} v", "DEL {k}", "UNLINK {k}", "TYPE {k}", "EXISTS {k}", "DUMP {k}", "RESTORE {k} 0 x",
    "COPY {k} {k}2", "RENAME {k} {k}2", "MOVE {k} 1", "PERSIST {k}", "TTL {k}", "OBJECT ENCODING {k}", "TOUCH {k}",
    "XRANGE {k} - +", "XREVRANGE {k} + -", "XLEN {k}", "XTRIM {k} MAXLEN 0", "XDEL {k} 0-1", "XSETID {k} 9-9",
    "XINFO STREAM {k}", "XGROUP CREATE {k} g 0", "XREADGROUP GROUP g c STREAMS {k} >", "XACK {k} g 0-1",
    "HSET {k} a b", "HGETALL {k}", "SADD {k} a", "SMEMBERS {k}", "ZADD {k} 1 a", "ZRANGE {k} 0 -1", "LPUSH {k} a",
    "BLPOP {k} 1", "SORT {k}", "GETRANGE {k} 0 1", "APPEND {k} a", "INCR {k}", "PFADD {k} a", "GEOADD {k} 1 1 a",
    "KEYS *", "SCAN 0", "RANDOMKEY", "DBSIZE", "FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "SELECT 1", "MONITOR",
    "EVAL return(1) 0", "EVALSHA x 0", "EVAL_RO return(1) 0", "SCRIPT FLUSH", "SCRIPT LOAD x", "FCALL f 0",
    "FUNCTION LIST", "FUNCTION FLUSH", "CONFIG GET *", "CONFIG SET maxmemory 1", "ACL LIST", "ACL WHOAMI",
    "ACL SETUSER node-n1 +@all", "CLIENT LIST", "CLIENT KILL TYPE normal", "CLIENT PAUSE 1000", "CLIENT NO-EVICT on",
    "CLIENT TRACKING on",  "SHUTDOWN", "SAVE", "BGSAVE", "BGREWRITEAOF", "REPLICAOF h 1", "SYNC",
    "PSYNC ? -1", "CLUSTER INFO", "INFO", "LATENCY DOCTOR", "MEMORY STATS", "SLOWLOG GET", "MODULE LIST",
    "PUBLISH c m", "SUBSCRIBE c", "PSUBSCRIBE *", "SPUBLISH c m", "PUBSUB CHANNELS", "MULTI",  "WATCH {k}",
    "WAIT 0 0", "COMMAND", "LASTSAVE", "ROLE", "FAILOVER", "LOLWUT", "MIGRATE h 1 {k} 0 1",
]  # fmt: skip


@pytest.mark.parametrize("command", OTHER_COMMANDS)
async def test_every_other_command_is_refused_even_on_its_own_key(node_client: Redis, command: str) -> None:

    with pytest.raises(NoPermissionError):
        await node_client.execute_command(*command.format(k=OWN).split())


async def test_who_knocks_may_only_knock(valkey_server: ValkeyServer, control: FakeControl) -> None:
    client = Redis.from_url(as_user(valkey_server.url, "join", "any"), retry=Retry(NoBackoff(), 0))
    try:
        assert await client.xadd(KEYS.join(), {"k": "join"})
        for key in (KEYS.out("n1"), KEYS.commands("n1"), KEYS.results(), "x"):
            with pytest.raises(NoPermissionError):
                await client.xadd(key, {"k": "v"})
        with pytest.raises(NoPermissionError):
            await client.xread({KEYS.join(): "0-0"})
        with pytest.raises(NoPermissionError):
            await client.xrange(KEYS.join())
    finally:
        await client.aclose()
