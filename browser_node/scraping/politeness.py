"""How often, and by how many tabs at once, one host is asked; shared over all slots of a node."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from fleet.clock import Clock, SystemClock

CONCURRENCY = 2
DELAY = timedelta(milliseconds=250)
"""Between the starts of two requests to one host: below what a single reader's browser causes."""

MAX_CRAWL_DELAY = timedelta(seconds=10)
"""A robots.txt may ask for more; past this a unit would hold its slot for nothing."""

MAX_HOSTS = 10_000


@dataclass(slots=True)
class _Host:
    turns: asyncio.Semaphore
    next_start: float = 0.0
    users: int = 0
    spacing: asyncio.Lock = field(default_factory=asyncio.Lock)


class HostPoliteness:
    """Hands out turns per host. ``is_ours`` names hosts that need no delay (an allow-listed local town)."""

    def __init__(
        self,
        *,
        delay: timedelta = DELAY,
        concurrency: int = CONCURRENCY,
        is_ours: Callable[[str], bool] = lambda _host: False,
        clock: Clock | None = None,
    ) -> None:
        self._delay = delay
        self._concurrency = concurrency
        self._is_ours = is_ours
        self._clock = clock or SystemClock()
        self._hosts: OrderedDict[str, _Host] = OrderedDict()

    @asynccontextmanager
    async def turn(self, host: str, crawl_delay: timedelta | None = None) -> AsyncIterator[None]:
        """Wait until ``host`` may be asked, and hold one of its places meanwhile."""
        if self._is_ours(host):
            yield
            return
        delay = max(self._delay, min(crawl_delay or timedelta(), MAX_CRAWL_DELAY))
        state = self._host(host)
        state.users += 1
        try:
            async with state.turns:
                await self._space(state, delay)
                yield
        finally:
            state.users -= 1

    async def _space(self, state: _Host, delay: timedelta) -> None:
        async with state.spacing:
            wait = state.next_start - self._clock.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            state.next_start = self._clock.monotonic() + delay.total_seconds()

    def _host(self, host: str) -> _Host:
        if host not in self._hosts:
            self._forget_idle()
            self._hosts[host] = _Host(asyncio.Semaphore(self._concurrency))
        self._hosts.move_to_end(host)
        return self._hosts[host]

    def _forget_idle(self) -> None:
        """Drop the host that was asked longest ago, once there are too many and nobody waits for it."""
        if len(self._hosts) < MAX_HOSTS:
            return
        idle = next((name for name, state in self._hosts.items() if state.users == 0), None)
        if idle is not None:
            del self._hosts[idle]
