"""Lets nodes in: from the join stream to a Valkey user that may touch one prefix.

Where the server lets nobody make users (ElastiCache), they are there beforehand, and so is the list of their nodes. A
knock then gives no right, and needs no proof: whoever cannot log in as a node has nothing read in its name. It only
says that the node's stream is to be read.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import timedelta

import structlog
from redis.exceptions import ResponseError, WatchError

from control_plane.scheduling.scripts import Scripts
from fleet import ids
from fleet.connect import Store
from fleet.credentials import CONTROL_PLANE
from fleet.errors import BadMessage, BadName
from fleet.keys import Keys
from fleet.messages import Fields, Join

USER_MEMORY = timedelta(minutes=10)
"""How long the user of a node that is not heard stays: what a node writes that was frozen or cut off is refused by its
fence, and counted, for as long."""

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")

log = structlog.get_logger(__name__)


class Admittance:
    """Handles the entries of the join stream. Idempotent: all replicas may handle the same entry."""

    def __init__(self, client: Store, keys: Keys, scripts: Scripts, declared: Collection[str] = ()) -> None:
        """``declared`` are the nodes whose users are there beforehand; without any, users are made."""
        self._client, self._keys, self._scripts, self._declared = client, keys, scripts, frozenset(declared)

    async def cursor(self) -> str:
        return (await self._client.get(self._keys.join_cursor()) or b"0-0").decode()

    async def apply(self, entry: str, fields: Fields) -> None:
        try:
            join = Join.from_fields(fields)
            node = ids.name("node", join.node)
            if node == CONTROL_PLANE:  # it would be told the key that our own connections have at the egress proxy
                raise BadMessage("join", "node", node)
            if _SHA256.match(join.password_sha256) is None:
                raise BadMessage("join", "password_sha256", join.password_sha256)
        except (BadMessage, BadName) as exc:
            log.warning("a node's request to join does not parse", entry=entry, error=str(exc))
            await self._client.set(self._keys.join_cursor(), entry)
            return
        if self._declared:
            await self._read(node, join.boot, entry)
        elif await self._scripts.join(node, join.password_sha256, entry):
            rules = self._keys.node_acl(node)
            await self._client.execute_command(
                "ACL", "SETUSER", _user(node), "reset", "on", f"#{join.password_sha256}", *rules
            )
            await self._keep_users()
            log.info("a node was let in", node=node, boot=join.boot)
        else:
            log.error("a node was refused: its name is held by a live one", node=node, boot=join.boot)
        await self._client.xtrim(self._keys.join(), minid=entry, approximate=False)

    async def show_out(self) -> None:
        """Have all nodes of the fleet come in anew.

        The server forgets their users, and with them their sessions; users that stay are told at their next sign of
        life that the store does not know them.
        """
        if self._declared:
            for node in sorted(self._declared):
                await self._scripts.disown(node)
            return
        try:
            nodes = await self._with_users()
            if nodes:
                await self._client.execute_command("ACL", "DELUSER", *map(_user, nodes))
                await self._keep_users()
                log.warning("nodes have to come in anew", nodes=len(nodes))
        except ResponseError as exc:
            log.warning("this server lets nobody change its users", error=str(exc))

    async def see_off(self) -> None:
        """Have the server forget the users of nodes that left, or were lost, `USER_MEMORY` ago.

        A container is a node by a name of its own: without this, users would be there of all that ever were.
        """
        if self._declared:
            return
        live = {node.decode() for node in await self._client.zrange(self._keys.nodes(), 0, -1)}
        try:
            gone = [node for node in await self._with_users() if node not in live and await self._forget(node)]
        except ResponseError as exc:
            log.warning("this server lets nobody change its users", error=str(exc))
            return
        if gone:
            await self._keep_users()
            log.info("users of nodes that are gone were removed", nodes=gone)

    async def _forget(self, node: str) -> bool:
        """Remove the user of a node that is gone; False when it is not, or comes in at this moment."""
        async with self._client.pipeline(transaction=True) as pipe:
            # who knocks is written down there, and given a user after that
            await pipe.watch(self._keys.node(node))
            live, heard_ms = await pipe.zscore(self._keys.nodes(), node), await pipe.zscore(self._keys.known(), node)
            now_s, _ = await pipe.time()
            if live is not None or (heard_ms is not None and now_s - heard_ms / 1000 < USER_MEMORY.total_seconds()):
                return False
            pipe.multi()
            pipe.execute_command("ACL", "DELUSER", _user(node))
            try:
                await pipe.execute()
            except WatchError:
                return False
            return True

    async def _with_users(self) -> list[str]:
        """The nodes of this fleet that have a user. Raises ResponseError where the server tells nobody its users."""
        prefix = self._keys.node_prefix("")[:-1]
        lines = [line.decode() for line in await self._client.execute_command("ACL", "LIST")]
        return [
            line.split()[1][len(_user("")) :]
            for line in lines
            if line.startswith(f"user {_user('')}") and prefix in line
        ]

    async def _read(self, node: str, boot: str, entry: str) -> None:
        """A node with a user of its own is there."""
        if node in self._declared:
            await self._scripts.join(node, "", entry)
            log.info("a node is there", node=node, boot=boot)
        else:
            await self._client.set(self._keys.join_cursor(), entry)
            log.error("a node was refused: LEADFLEET_DECLARED_NODES does not name it", node=node, boot=boot)

    async def _keep_users(self) -> None:
        """Where the server has a file for its users, a restart of it need not cost the nodes their sessions."""
        try:
            await self._client.execute_command("ACL", "SAVE")
        except ResponseError as exc:
            log.debug("users are not kept over a restart of the server", error=str(exc))


def _user(node: str) -> str:
    return f"node-{node}"
