"""The sink's state changes on Valkey: one Lua script each, one typed caller each. Those of exports are called by
``export_records``."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from pathlib import Path

from redis.asyncio import Redis

from control_plane.store.schema import Position
from fleet.keys import Keys


async def hold_lease(redis: Redis, keys: Keys, token: str, ttl: timedelta) -> bool:
    """Take or renew the sink lease; False when another sink holds it."""
    milliseconds = int(ttl.total_seconds() * 1000)
    return bool(await redis.eval(source("hold_lease"), 1, keys.sink_lease(), token, milliseconds))


async def release_lease(redis: Redis, keys: Keys, token: str) -> bool:
    """Give the sink lease up; False when it was not ours any more."""
    return await release(redis, keys.sink_lease(), token)


async def release(redis: Redis, key: str, token: str) -> bool:
    """Give a lease up; False when it was not ours any more."""
    return bool(await redis.eval(source("release_lease"), 1, key, token))


async def advance_cursor(redis: Redis, keys: Keys, stored: Position, batch: int) -> int | None:
    """Note that all up to ``stored`` is in the log and trim it; entries trimmed, None when that was known."""
    trimmed = await redis.eval(
        source("advance_cursor"), 2, keys.sink_cursor(), keys.results(), stored.ms, stored.seq, batch
    )
    return None if trimmed < 0 else int(trimmed)


@cache
def source(name: str) -> str:
    """The text of a script."""
    return (Path(__file__).parent / "lua" / f"{name}.lua").read_text()
