"""One connection to whichever of a site's addresses takes it first (RFC 8305, "happy eyeballs")."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from datetime import timedelta

NEXT_AFTER = timedelta(milliseconds=250)
"""Before the next address is tried beside those that have not answered; what the RFC recommends."""

ADDRESSES_TRIED = 6
"""Three of each family, where there are two."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def dial(addresses: Sequence[str], port: int, within: timedelta) -> tuple[Streams, str]:
    """A connection, which is the caller's to close, and the address it leads to.

    Raises TimeoutError after ``within``, over all addresses, and the last OSError when none takes it.
    """
    waiting = in_turns(addresses)[:ADDRESSES_TRIED]
    tried: dict[asyncio.Task[Streams], str] = {}
    won: asyncio.Task[Streams] | None = None
    try:
        async with asyncio.timeout(within.total_seconds()):
            while True:
                if waiting:
                    address = waiting.pop(0)
                    tried[asyncio.create_task(asyncio.open_connection(address, port), name="dial")] = address
                pause = NEXT_AFTER.total_seconds() if waiting else None
                running = [attempt for attempt in tried if not attempt.done()]
                if running:
                    await asyncio.wait(running, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                ended = [attempt for attempt in tried if attempt.done()]
                won = next((attempt for attempt in ended if attempt.exception() is None), None)
                if won is not None:
                    return won.result(), tried[won]
                if len(ended) == len(tried) and not waiting:
                    raise ended[-1].exception() or OSError("not reached")
    finally:
        for attempt in tried:
            if attempt is not won:
                attempt.cancel()
                attempt.add_done_callback(_discard)


def in_turns(addresses: Sequence[str]) -> list[str]:
    """One of each family after the other, so that a family without a route costs one attempt before the other's."""
    first = [address for address in addresses if (":" in address) == (":" in addresses[0])]
    second = [address for address in addresses if address not in first]
    return [address for pair in itertools.zip_longest(first, second) for address in pair if address is not None]


def _discard(attempt: asyncio.Task[Streams]) -> None:
    """One that came too late."""
    if not attempt.cancelled() and attempt.exception() is None:
        _, writer = attempt.result()
        writer.transport.abort()
