"""A node is told its key to the egress proxy when it registers, and where nobody else can read it."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from control_plane.erasure.registry import Registry
from control_plane.scheduling.ingest import Ingest
from control_plane.scheduling.presence import Presence
from fleet.credentials import node_key
from fleet.messages import Accepted, Register
from tests.integration.control_plane.scheduling.world import World

SECRET = "the egress proxy's secret"


@pytest.mark.parametrize(("secret", "told"), [(SECRET, node_key(SECRET, "n1")), ("", "")])
async def test_a_node_that_registers_is_told_its_own_key(valkey: Redis, secret: str, told: str) -> None:
    world = World(valkey)
    await world.scripts.join("n1", "hash", "0-1")

    async def prepare() -> None: ...

    presence, registry = Presence(valkey, world.keys, world.scripts, "a", prepare), Registry(valkey, world.keys)
    ingest = Ingest(
        valkey, valkey, world.keys, world.scripts, presence, registry, enrich=False, egress_secret=secret
    )  # fmt: skip
    register = Register(boot="b1", slots=[{"index": 0, "port": 9000}, {"index": 1, "port": 9001}])
    assert await ingest.apply("n1", await world.entry(), register.to_fields()) == "ok"
    (accepted,) = await world.commands("n1")
    assert accepted == Accepted("b1", 1, told)
    everything = [await valkey.dump(key) for key in await valkey.keys() if key != world.keys.commands("n1").encode()]
    assert told == "" or not [value for value in everything if told.encode() in value]
