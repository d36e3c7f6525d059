"""What runs beside the API in every replica; what each role does is tested where it is at home."""

from __future__ import annotations

from redis.asyncio import Redis

from control_plane.background import Background
from control_plane.erasure.registry import Registry
from control_plane.scheduling.limits import Limits
from control_plane.scheduling.presence import Presence
from control_plane.scheduling.room import Room
from control_plane.scheduling.scripts import Scripts
from control_plane.webhooks.post import Post
from control_plane.webhooks.sender import Sender
from fleet.addresses import Allowance
from fleet.clock import SystemClock
from fleet.keys import Keys
from tests.servers import ValkeyServer
from tests.support import wait_until

KEYS = Keys("test")


async def test_a_replica_removes_the_users_of_nodes_that_are_gone(valkey: Redis, valkey_server: ValkeyServer) -> None:
    scripts = Scripts(valkey, KEYS, Limits())

    async def prepare() -> None: ...

    earlier = Presence(valkey, KEYS, scripts, "r0", prepare)
    await earlier.tick()  # who finds a new store removes all users
    await earlier.leave()
    await valkey.execute_command("ACL", "SETUSER", "node-gone", "reset", "on", "#" + "0" * 64, *KEYS.node_acl("gone"))

    async def removed() -> bool:
        return b"node-gone" not in await valkey.execute_command("ACL", "USERS")

    sender = Sender(scripts, Post(Allowance.parse("")), "root", SystemClock())
    registry = Registry(valkey, KEYS)
    roles = Background(valkey, valkey_server.url, KEYS, scripts, Room(valkey), "r1", prepare, sender, registry)
    async with roles:
        await wait_until(removed, 30, "the user to be removed")
