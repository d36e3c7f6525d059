"""Many clients of one task's events, in a process of their own: what each got, and how late.

``python -m infra.bench.listeners`` reads a `Crowd` as JSON and writes a `Heard` as JSON; `listen` runs several at once.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

import aiohttp
import uvloop

from fleet.cancellation import end_all
from infra.bench.child import run_module
from infra.bench.load import percentile

ARRIVING = 64
"""Sockets that are opened at a time: what is measured is not how a replica takes them all at once."""

PROCESSES = 2
"""More than the one that is measured has: clients must not be what is slow."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """``clients`` sockets at ``url``, whose messages are events or arrays of events; an event's ``id`` begins with the
    Unix milliseconds at which it was said."""

    url: str
    clients: int
    seconds: float
    api_key: str = ""


@dataclass(slots=True)
class Heard:
    """``lost`` and ``twice`` count events that a client missed or got again, between its first one and its last one."""

    events: int
    lost: int
    twice: int
    p50_ms: float
    p99_ms: float
    per_s: float
    """Events of one client a second."""


@dataclass(frozen=True, slots=True)
class _Start:
    """How clients come in, and when all have."""

    door: asyncio.Semaphore
    ready: asyncio.Barrier


class _Client:
    def __init__(self) -> None:
        self.ids: list[str] = []

    async def listen(self, crowd: Crowd, session: aiohttp.ClientSession, start: _Start, late: list[float]) -> None:
        headers = {"Authorization": f"Bearer {crowd.api_key}"} if crowd.api_key else {}
        async with AsyncExitStack() as opened:
            async with start.door:
                socket = await opened.enter_async_context(session.ws_connect(crowd.url, headers=headers))
                await socket.receive()  # says that we are connected
                await _caught_up(socket)
            await start.ready.wait()
            from_ms = time.time() * 1000
            async for message in socket:
                now_ms = time.time() * 1000
                for event in _events(message):
                    if _said_ms(event) >= from_ms:
                        late.append(now_ms - _said_ms(event))
                        self.ids.append(event["id"])


async def _all(crowd: Crowd) -> dict[str, Any]:
    late: list[float] = []
    clients = [_Client() for _ in range(crowd.clients)]
    start = _Start(asyncio.Semaphore(ARRIVING), asyncio.Barrier(crowd.clients + 1))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        tasks = [asyncio.create_task(client.listen(crowd, session, start, late)) for client in clients]
        try:
            await asyncio.wait_for(start.ready.wait(), 60)
            await asyncio.wait(tasks, timeout=crowd.seconds, return_when=asyncio.FIRST_COMPLETED)
            ended = [task.exception() for task in tasks if task.done()]
        finally:
            await end_all(tasks)
    if ended:
        raise RuntimeError(f"{len(ended)} clients were cut, the first with {ended[0]!r}")
    order = {each: place for place, each in enumerate(sorted({i for c in clients for i in c.ids}, key=_position))}
    lost = twice = 0
    for client in clients:
        places = [order[each] for each in client.ids]
        own = set(places)
        twice += len(places) - len(own)
        lost += (max(own) - min(own) + 1 - len(own)) if own else len(order)
    return {"late": late, "lost": lost, "twice": twice, "events": len(order)}


async def _caught_up(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Read what happened before we came: all of it is sent to who does not say what they know."""
    now_ms = time.time() * 1000
    async for message in socket:
        if _said_ms(_events(message)[-1]) >= now_ms:
            return


def _events(message: aiohttp.WSMessage) -> list[dict[str, Any]]:
    told = json.loads(message.data)
    return told if isinstance(told, list) else [told]


def _said_ms(event: dict[str, Any]) -> int:
    return int(event["id"].partition("-")[0])


def _position(event: str) -> tuple[int, int]:
    ms, _, sequence = event.partition("-")
    return int(ms), int(sequence or 0)


async def listen(crowd: Crowd) -> Heard:
    """Have a crowd listen, shared out among PROCESSES."""
    share = replace(crowd, clients=crowd.clients // PROCESSES)
    told = await asyncio.gather(*(run_module("infra.bench.listeners", asdict(share)) for _ in range(PROCESSES)))
    late = [ms for each in told for ms in each["late"]]
    return Heard(
        events=len(late),
        lost=sum(each["lost"] for each in told),
        twice=sum(each["twice"] for each in told),
        p50_ms=percentile(late, 0.5),
        p99_ms=percentile(late, 0.99),
        per_s=round(max(each["events"] for each in told) / crowd.seconds, 1),
    )


def _main(arguments: Sequence[str]) -> None:
    assert not arguments, "the crowd comes as JSON on standard input"
    gc.freeze()
    gc.disable()  # its pauses would be measured too, and the process is short
    print(json.dumps(uvloop.run(_all(Crowd(**json.load(sys.stdin))))))


if __name__ == "__main__":
    _main(sys.argv[1:])
