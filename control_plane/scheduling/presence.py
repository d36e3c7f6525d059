"""Which replicas live, and which of them reads which node.

Sharing only saves work: ``ingest`` is right whoever reads, however many read at once.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta

import structlog

from fleet.connect import Store
from fleet.errors import SchemaMismatch
from fleet.keys import Keys

SCHEMA_VERSION = "1"

REPLICA_TTL = timedelta(seconds=5)
"""A replica that has not said so for this long is taken to be gone; it says so every second."""

log = structlog.get_logger(__name__)


def owner(node: str, replicas: Iterable[str]) -> str:
    """The replica that reads a node (rendezvous hashing): when one comes or goes, only its nodes move."""
    return max(replicas, key=lambda replica: hashlib.blake2b(f"{replica}|{node}".encode(), digest_size=8).digest())


class Presence:
    """Announces this replica and knows the others. ``prepare`` runs again whenever the store has lost its data."""

    def __init__(self, client: Store, keys: Keys, replica: str, prepare: Callable[[], Awaitable[None]]) -> None:
        self._client, self._keys, self.replica = client, keys, replica
        self._prepare = prepare
        self._epoch = b""
        self.replicas: frozenset[str] = frozenset({replica})

    async def tick(self) -> None:
        await self._check_epoch()
        seconds, micros = await self._client.time()
        now = seconds * 1000 + micros // 1000
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.zadd(self._keys.replicas(), {self.replica: now})
            pipe.zremrangebyscore(self._keys.replicas(), "-inf", now - REPLICA_TTL / timedelta(milliseconds=1))
            pipe.zrange(self._keys.replicas(), 0, -1)
            *_, names = await pipe.execute()
        self.replicas = frozenset(name.decode() for name in names)

    async def leave(self) -> None:
        """The others need not wait for the TTL."""
        await self._client.zrem(self._keys.replicas(), self.replica)

    def mine(self, node: str) -> bool:
        return owner(node, self.replicas | {self.replica}) == self.replica

    async def _check_epoch(self) -> None:
        await self._client.set(self._keys.epoch(), secrets.token_hex(8), nx=True)
        epoch = await self._client.get(self._keys.epoch())
        if epoch == self._epoch:
            return
        await self._client.set(self._keys.schema(), SCHEMA_VERSION, nx=True)
        schema = (await self._client.get(self._keys.schema())).decode()
        if schema != SCHEMA_VERSION:
            raise SchemaMismatch(schema, SCHEMA_VERSION)
        if self._epoch:
            log.error("the store came back with other data", was=self._epoch.decode(), now=epoch.decode())
        await self._prepare()
        self._epoch = epoch
