"""Which replicas live, which of them reads which node, and whether the store is still the one they knew.

Sharing only saves work: ``ingest`` is right whoever reads, however many read at once.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import timedelta

import structlog

from control_plane import telemetry
from control_plane.scheduling.admittance import Admittance
from control_plane.scheduling.migration import bring_up_to_date
from control_plane.scheduling.scripts import Announced, Scripts
from fleet.connect import Store
from fleet.errors import SchemaMismatch
from fleet.keys import SCHEMA_VERSION, Keys

REPLICA_TTL = timedelta(seconds=5)
"""A replica that has not said so for this long is taken to be gone; it says so every second."""

log = structlog.get_logger(__name__)


def owner(node: str, replicas: Iterable[str]) -> str:
    """The replica that reads a node (rendezvous hashing): when one comes or goes, only its nodes move."""
    return max(replicas, key=lambda replica: hashlib.blake2b(f"{replica}|{node}".encode(), digest_size=8).digest())


async def set_schema(client: Store, keys: Keys) -> None:
    """Say that the store holds what it must: until then its silence about somebody means nothing."""
    await client.set(keys.schema(), SCHEMA_VERSION, nx=True)


class Presence:
    """Announces this replica and knows the others. ``prepare`` runs again whenever the store has lost data.

    That it was set back is seen when it forgot an announcement: a loss shorter than a tick can pass unnoticed.
    """

    def __init__(
        self,
        client: Store,
        keys: Keys,
        scripts: Scripts,
        replica: str,
        prepare: Callable[[], Awaitable[None]],
        declared_nodes: Collection[str] = (),
    ) -> None:
        self._client, self._keys, self._scripts, self.replica = client, keys, scripts, replica
        self.admittance = Admittance(client, keys, scripts, declared_nodes)
        self._prepare = prepare
        self._epoch, self._mark = "", 0
        self.replicas: frozenset[str] = frozenset({replica})

    async def tick(self) -> None:
        try:
            told = await self._announce()
        except SchemaMismatch:
            await bring_up_to_date(self._client, self._keys, self._scripts.limits, REPLICA_TTL)
            told = await self._announce()
        self.replicas, self._mark = told.replicas, told.mark
        if told.began:
            # What the nodes know of their leases, and we of the nodes, is from before: all of them come in anew.
            await self.admittance.show_out()
        if told.epoch != self._epoch:
            await self._begin(told.epoch)

    async def leave(self) -> None:
        """The others need not wait for the TTL."""
        await self._client.zrem(self._keys.replicas(), self.replica)

    def mine(self, node: str) -> bool:
        return owner(node, self.replicas | {self.replica}) == self.replica

    async def _announce(self) -> Announced:
        return await self._scripts.announce(self.replica, self._epoch, self._mark, secrets.token_hex(8), REPLICA_TTL)

    async def _begin(self, epoch: str) -> None:
        if self._epoch:
            telemetry.STORE_LOSSES.inc()
            log.error("the store came back with other data", was=self._epoch, now=epoch)
        await self._prepare()
        await set_schema(self._client, self._keys)
        self._epoch = epoch
