"""Rate limits: a sliding window per key and class of route, counted in the store for all replicas.

Two fixed windows, the older one weighted by how much of it the sliding window still covers: one round trip,
two small keys, and no burst of twice the limit at a window's edge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from control_plane.errors import TooMany
from fleet.clock import Clock
from fleet.keys import Keys

WINDOW_S = 10
"""Short enough that a client which hit the limit is soon served again."""

LIMITS = {
    "default": 4_000,  # cheap reads: dashboards of a whole team poll once a second
    "start": 1_000,  # a script that submits a task a line must not trip over it; the queue cap bounds the work
    "write": 1_000,
    "stream": 1_000,  # 200 viewers that lost their replica come back twice within a window
    "filter": 400,
    "export": 100,  # each may read the whole table
    "auth": 100,
    "probe": 2_000,  # health and metrics, per address, counted in the process: they must answer without the store
}
"""Requests a window, per class."""

MAX_COUNTED_HERE = 10_000  # addresses and keys remembered at once


@dataclass
class _Window:
    index: int
    count: int


class RateLimiter:
    """Counts and refuses. ``scale`` multiplies every limit."""

    def __init__(self, redis: Redis, keys: Keys, clock: Clock, scale: float = 1.0) -> None:
        self._redis, self._keys, self._clock = redis, keys, clock
        self._limits = {name: max(1, round(limit * scale)) for name, limit in LIMITS.items()}
        self._here: dict[tuple[str, str], _Window] = {}

    async def count(self, subject: str, rate: str) -> None:
        """Count one request of ``subject`` (a key's digest) in class ``rate``. Raises TooMany.

        A store that is full refuses to count and can still be read: then each process counts for itself.
        """
        now = self._clock.wall()
        window, into = divmod(now, WINDOW_S)
        current = self._keys.rate(subject, f"{rate}-{int(window)}")
        previous = self._keys.rate(subject, f"{rate}-{int(window) - 1}")
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.incr(current)
        pipeline.expire(current, 2 * WINDOW_S)
        pipeline.get(previous)
        try:
            counted, _, before = await pipeline.execute()
        except OutOfMemoryError:
            self._count_here(subject, rate)
            return
        used = counted + int(before or 0) * (1 - into / WINDOW_S)
        if used > self._limits[rate]:
            raise self._refused(rate, WINDOW_S - into)

    def count_here(self, address: str) -> None:
        """Count one request of an address in class ``probe``, in this process alone. Raises TooMany."""
        self._count_here(address, "probe")

    def _count_here(self, subject: str, rate: str) -> None:
        window, into = divmod(self._clock.wall(), WINDOW_S)
        seen = self._here.get((subject, rate))
        if seen is None or seen.index != window:
            if len(self._here) >= MAX_COUNTED_HERE:
                self._here.clear()
            seen = self._here[subject, rate] = _Window(int(window), 0)
        seen.count += 1
        if seen.count > self._limits[rate]:
            raise self._refused(rate, WINDOW_S - into)

    def _refused(self, rate: str, seconds: float) -> TooMany:
        return TooMany(
            f"more than {self._limits[rate]} requests of class {rate!r} in {WINDOW_S} s; slow down and try again",
            retry_after=math.ceil(seconds),
        )
