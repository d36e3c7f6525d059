"""The roles that run beside the API in every replica, composed in one place.

None is a leader: each role does the same on all replicas, and the scripts see to it that it happens once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta

import structlog
from redis.exceptions import RedisError

from control_plane.enrichment.enricher import Enricher
from control_plane.erasure.registry import Registry
from control_plane.scheduling.ingest import BLOCK, Ingest
from control_plane.scheduling.presence import Presence
from control_plane.scheduling.room import Room
from control_plane.scheduling.scripts import Scripts
from control_plane.webhooks.sender import Sender
from fleet.cancellation import end_all
from fleet.connect import Store, blocking_client
from fleet.errors import SchemaMismatch, StillServed, StoreUnavailable
from fleet.keys import Keys
from fleet.model import REAPER_TICK

PRESENCE_TICK = timedelta(seconds=1)
ROOM_TICK = timedelta(seconds=1)

USERS_TICK = timedelta(minutes=1)
"""Users of nodes that are gone do no harm; they only grow in number."""

RETRY = timedelta(seconds=0.5)
"""Pause after the store failed: recovery within 3 s of its return, and no busy loop meanwhile."""

log = structlog.get_logger(__name__)


class Background:
    """``async with Background(...)``: presence, ingest, reaper, webhooks, enrichment, the look at the store's room
    and at its users run until the block ends."""

    def __init__(
        self,
        client: Store,
        url: str,
        keys: Keys,
        scripts: Scripts,
        room: Room,
        replica: str,
        prepare: Callable[[], Awaitable[None]],
        webhooks: Sender,
        registry: Registry,
        enricher: Enricher | None = None,
        egress_secret: str = "",
        declared_nodes: Collection[str] = (),
    ) -> None:
        self._blocking = blocking_client(url, name=f"{replica}-ingest", block=BLOCK)
        self._presence = Presence(client, keys, scripts, replica, prepare, declared_nodes)
        self._ingest = Ingest(
            client,
            self._blocking,
            keys,
            scripts,
            self._presence,
            registry,
            enrich=enricher is not None,
            egress_secret=egress_secret,
        )
        self._scripts, self._room, self._webhooks, self._enricher = scripts, room, webhooks, enricher
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Background:
        roles = {
            "presence": _every(PRESENCE_TICK, self._presence.tick),
            "ingest": _every(timedelta(0), self._ingest.tick),
            "reaper": _every(REAPER_TICK, self._reap),
            "room": _every(ROOM_TICK, self._room.tick),
            "webhooks": _every(timedelta(0), self._webhooks.tick),
            "users": _every(USERS_TICK, self._see_off),
        }
        if self._enricher is not None:
            roles["enrichment"] = _every(timedelta(0), self._enricher.tick)
        self._tasks = [asyncio.create_task(role, name=name) for name, role in roles.items()]
        return self

    async def __aexit__(self, *_: object) -> None:
        await end_all(self._tasks)
        await self._webhooks.aclose()
        if self._enricher is not None:
            await self._enricher.aclose()
        try:
            await self._presence.leave()
        except (RedisError, OSError) as exc:
            log.info("left without saying so: the store does not answer", error=str(exc))
        await self._blocking.aclose()

    async def _see_off(self) -> None:
        if self._presence.mine("users"):  # one replica's work, as a node is; twice does no harm
            await self._presence.admittance.see_off()

    async def _reap(self) -> None:
        while True:
            reaped = await self._scripts.reap()
            if reaped.nodes:
                log.warning("nodes were lost", nodes=reaped.nodes)
            if not reaped.more:
                return


async def _every(pause: timedelta, step: Callable[[], Awaitable[None]]) -> None:
    """Runs a step for ever. A store that does not answer is waited for; anything else is logged and tried again,
    because a role that has died would stop the fleet without a word."""
    while True:
        try:
            await step()
        except (StoreUnavailable, RedisError, OSError) as exc:
            log.warning("the store does not answer", role=_role(), error=str(exc))
            await asyncio.sleep(RETRY.total_seconds())
        except (SchemaMismatch, StillServed) as exc:
            log.error("the store is of another version", role=_role(), error=str(exc))
            await asyncio.sleep(RETRY.total_seconds())
        except Exception:
            log.exception("a background role failed", role=_role())
            await asyncio.sleep(RETRY.total_seconds())
        await asyncio.sleep(pause.total_seconds())


def _role() -> str:
    task = asyncio.current_task()
    return task.get_name() if task else "?"
