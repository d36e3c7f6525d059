"""Nodes whose Valkey users are there beforehand, on a server whose control user may not change users (ElastiCache)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from control_plane.erasure.registry import Registry
from control_plane.scheduling.ingest import Ingest
from control_plane.scheduling.limits import Limits
from control_plane.scheduling.presence import Presence
from control_plane.scheduling.scripts import NewTask, Scripts, Submitted
from fleet import ids
from fleet.connect import command_client
from fleet.keys import Keys, join_acl
from fleet.messages import Anew, Join, Run, Superseded
from infra.stack import valkey as embedded
from tests.fakes.spoken_node import SpokenNode
from tests.servers import ServerProcess
from tests.support import free_port, wait_until

KEYS = Keys("test")
PASSWORD = "declared-in-the-template"
NODES = ("n1", "n2")


@pytest.fixture
def server(tmp_path: Path) -> Any:
    """Users as `infra/aws/identities.yaml` declares them; ElastiCache knows no ACL command that changes any."""
    users = [
        "user default off",
        "user control on >control ~* &* +@all -acl",
        f"user join on >join {' '.join(join_acl(KEYS))}",
        *(f"user node-{node} on >{PASSWORD} {' '.join(KEYS.node_acl(node))}" for node in NODES),
    ]
    acl_file = tmp_path / "users.acl"
    acl_file.write_text("\n".join(users) + "\n")
    data = tmp_path / "data"
    data.mkdir()
    port = free_port()
    process = ServerProcess(embedded.command(data, port, acl_file=acl_file), port, tmp_path / "valkey.log")
    process.start()
    yield process
    process.stop()


class Replica:
    """One replica's presence and ingest, a turn at a time."""

    def __init__(self, port: int) -> None:
        url = f"redis://control:control@127.0.0.1:{port}/0"
        self.join_url = f"redis://join:join@127.0.0.1:{port}/0"
        self.client: Any = command_client(url, name="test")
        # it never waits: what is there is read, and the next turn looks again
        self.blocking: Any = command_client(url, name="test-blocking")
        self.scripts = Scripts(self.client, KEYS, Limits())
        self.presence = Presence(self.client, KEYS, self.scripts, "a", self._prepare, NODES)
        registry = Registry(self.client, KEYS)
        self.ingest = Ingest(
            self.client, _NotBlocking(self.blocking), KEYS, self.scripts, self.presence, registry, enrich=False
        )

    async def _prepare(self) -> None: ...

    async def turn(self) -> None:
        await self.presence.tick()
        await self.ingest.tick()

    async def until(self, told: Any) -> Any:
        """Take turns until ``told``, a coroutine, is done."""
        task = asyncio.ensure_future(told)
        while not task.done():
            await self.turn()
        return task.result()

    async def state(self, node: str) -> str:
        return (await self.client.hget(KEYS.node(node), "state") or b"").decode()


class _NotBlocking:
    def __init__(self, client: Any) -> None:
        self._client = client

    async def xread(self, streams: Any, *, count: int, block: int) -> Any:
        return await self._client.xread(streams, count=count)


@pytest.fixture
async def replica(server: ServerProcess) -> AsyncIterator[Replica]:
    made = Replica(server.port)
    await made.turn()
    yield made
    await made.client.aclose()
    await made.blocking.aclose()


def node(replica: Replica, tmp_path: Path, name: str = "n1", boot: str = "boot-1") -> SpokenNode:
    spoken = SpokenNode(replica.join_url, KEYS, name, tmp_path / boot, PASSWORD)
    spoken.boot = boot
    return spoken


async def submitted(replica: Replica) -> str:
    """A task of one unit."""
    task = ids.new_task_id()
    made = await replica.scripts.submit(NewTask("acme", task, [("website", "http://a.test/")], "{}", "{}"))
    assert isinstance(made, Submitted)
    return task


async def knock(replica: Replica, name: str, digest: str = "0" * 64) -> None:
    """As anybody may who has stolen the join password."""
    thief: Any = Redis.from_url(replica.join_url)
    await thief.xadd(KEYS.join(), Join(name, digest, "b").to_fields())
    await thief.aclose()
    await replica.turn()


async def test_the_control_user_may_not_change_users(replica: Replica) -> None:
    """What the other tests stand on: no step of theirs can have made a user."""
    with pytest.raises(NoPermissionError):
        await replica.client.execute_command("ACL", "SETUSER", "node-n9", "on")


async def test_a_declared_node_knocks_and_is_given_work(replica: Replica, tmp_path: Path) -> None:
    await replica.client.delete(KEYS.known())  # as a day after it was last heard
    spoken = node(replica, tmp_path)
    await replica.until(spoken.__aenter__())
    task = await submitted(replica)
    assert (await replica.until(spoken.told(Run))).unit == ids.unit_id(task, 0)
    await spoken.__aexit__()


async def test_a_node_that_nobody_declared_is_not_read(replica: Replica) -> None:
    await knock(replica, "n3")
    assert await replica.client.zscore(KEYS.known(), "n3") is None
    assert not await replica.client.exists(KEYS.node("n3"))
    assert await replica.ingest._admittance.cursor() != "0-0", "the knock is not looked at again and again"


async def test_a_knock_with_another_password_shuts_nobody_out(replica: Replica, tmp_path: Path) -> None:
    """With the join password alone: the holder of the id stays, and comes in again as quickly as ever."""
    spoken = node(replica, tmp_path)
    await replica.until(spoken.__aenter__())
    await knock(replica, "n1", "f" * 64)
    assert await replica.state("n1") == "up"

    again = node(replica, tmp_path, boot="boot-2")
    await replica.until(again.__aenter__())
    assert (await replica.until(spoken.told(Superseded))).by == "boot-2"
    assert await replica.client.hget(KEYS.counters(), "joins_refused") is None
    await again.__aexit__()
    await spoken.client.aclose()


async def test_of_two_with_one_id_the_later_one_stays(replica: Replica, tmp_path: Path) -> None:
    """A service whose old task is still there when the new one starts, as when a zone does not answer ECS."""
    first, second = node(replica, tmp_path), node(replica, tmp_path, boot="boot-2")
    await replica.until(first.__aenter__())
    await replica.until(second.__aenter__())
    await replica.until(first.told(Superseded))
    await first.beat()
    await replica.turn()
    assert await replica.client.hget(KEYS.node("n1"), "boot") == b"boot-2"
    await second.__aexit__()
    await first.client.aclose()


@pytest.mark.parametrize("set_back", ["emptied", "older"])
async def test_a_node_of_a_store_that_was_set_back_comes_in_anew(
    replica: Replica, tmp_path: Path, set_back: str
) -> None:
    spoken = node(replica, tmp_path)
    await replica.until(spoken.__aenter__())
    task = await submitted(replica)
    run = await replica.until(spoken.told(Run))
    if set_back == "emptied":
        await replica.client.flushall()
    else:
        await replica.client.zadd(KEYS.replicas(), {"a": 1})

    async def told_anew() -> bool:
        await spoken.beat(run)
        await replica.turn()
        entries = await replica.client.xrange(KEYS.commands("n1"))
        return any(fields[b"k"] == Anew.KIND.encode() for _, fields in entries)

    await wait_until(told_anew, 20, "the node to be told")
    assert await replica.state("n1") != "up"
    if set_back == "older":
        unit = await replica.client.hgetall(KEYS.unit(ids.unit_id(task, 0)))
        assert (unit[b"state"], unit.get(b"deliveries", b"0")) == (b"queued", b"0"), "and that cost nothing"

    spoken._read = "0-0"
    again = node(replica, tmp_path, boot="boot-2")
    await replica.until(again.__aenter__())
    assert await replica.state("n1") == "up"
    await again.__aexit__()
    await spoken.client.aclose()
