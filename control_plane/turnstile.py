"""Lets requests begin one every few turns of the event loop, so that more of them than can be answered harm nobody.

Everything a replica does runs in one event loop: calls, the streams of its viewers, the answers of the store. Requests
that all begin as they arrive make each turn of the loop longer, until events reach viewers late and the store's answers
are read so late that they count as timeouts. With one beginning every few turns, those under way get on first; an idle
loop, whose turns are microseconds, holds up nobody; and a request that waits for something slow (its body, the leads
store) holds nothing that others need.

Clients are served in turn, so that one that floods waits behind itself; a client's streams apart from its calls, so
that a program's flood does not keep its owner's viewers out.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Hashable

from control_plane import telemetry
from control_plane.errors import TooMany, Unavailable

TURNS = 8
"""From one request's beginning to the next one's. An event takes some turns from the store to a viewer's socket, and a
turn of a loop that has too much to do is as long as what one request costs, divided by this."""

WAITING_EACH = 256
"""Requests of one client that may wait here: a second's worth on a slow core, and 200 viewers coming back at once."""

WAITING_MOST = 2_048
"""Of all clients: some MB of requests that have begun to be read."""


class Turnstile:
    """Belongs to one event loop; ``enter`` before a request is served."""

    def __init__(self) -> None:
        self._clients: OrderedDict[Hashable, deque[tuple[asyncio.Future[None], float]]] = OrderedDict()
        self._waiting = 0
        self._open = True

    @property
    def quiet(self) -> bool:
        """Whether a request would begin at once."""
        return self._open

    async def enter(self, client: Hashable) -> None:
        """Return when it is the turn of a request of ``client`` (whatever tells clients apart).

        Raises TooMany when too many of its requests wait, Unavailable when too many of all do.
        """
        if self._open:
            self._open = False
            asyncio.get_running_loop().call_soon(self._turn, TURNS)
            return
        queue = self._clients.get(client)
        if queue is not None and len(queue) >= WAITING_EACH:
            telemetry.REQUESTS_REFUSED.inc()
            raise TooMany(
                f"{len(queue)} requests of yours wait already; wait for their answers before you send more",
                retry_after=math.ceil(time.monotonic() - queue[0][1]),
            )
        if self._waiting >= WAITING_MOST:
            telemetry.REQUESTS_REFUSED.inc()
            raise Unavailable("more is asked of this replica than it can answer; try again in a moment")
        await self._wait(client)

    async def _wait(self, client: Hashable) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._clients.setdefault(client, deque()).append((place, time.monotonic()))
        self._count(+1)
        await place  # cancelled when its client has gone: `_turn` steps over it

    def _turn(self, left: int) -> None:
        """Let the next one in once no turns are left, and come again for as long as somebody waits."""
        if left > 1:
            asyncio.get_running_loop().call_soon(self._turn, left - 1)
            return
        while self._clients:
            client, queue = self._clients.popitem(last=False)
            place, _ = queue.popleft()
            self._count(-1)
            if queue:
                self._clients[client] = queue
            if not place.done():
                place.set_result(None)
                asyncio.get_running_loop().call_soon(self._turn, TURNS)
                return
        self._open = True

    def _count(self, more: int) -> None:
        self._waiting += more
        telemetry.REQUESTS_WAITING.set(self._waiting)
