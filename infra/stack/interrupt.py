"""Ctrl-C, SIGTERM and a closed terminal: the first ends the work in order, the next ends all patience."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended


async def until_interrupted(work: Callable[[asyncio.Event], Awaitable[int]]) -> int:
    """Run ``work(hurry)``; its exit status, or 130 when a signal cut it short.

    The first signal cancels ``work``, whose ``finally`` then stops what it started; further ones never cancel
    that, they set ``hurry``. Call it in the main thread.
    """
    loop = asyncio.get_running_loop()
    hurry = asyncio.Event()
    task = asyncio.ensure_future(work(hurry))
    signals = 0

    def interrupt() -> None:
        nonlocal signals
        signals += 1
        if signals == 1:
            task.cancel()
        else:
            hurry.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, interrupt)
    try:
        return await task
    except asyncio.CancelledError:
        if not signals:
            raise
        return INTERRUPTED
    finally:
        for number in SIGNALS:
            with contextlib.suppress(ValueError):
                loop.remove_signal_handler(number)
