"""Ending asyncio tasks for sure, and finishing what must be finished although one is being ended.

redis-py turns a cancellation that meets a connection just being closed into an error of its own, and a role that
carries on after errors then runs for ever: said once is not enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")

SAY_AGAIN_AFTER = timedelta(milliseconds=500)
"""Ends in order (a lease given back, an upload aborted) take milliseconds and are not cut short by being told again:
they are run by `to_the_end`."""


async def end_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel ``tasks`` until every one of them is done. What they raised is not raised here."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=SAY_AGAIN_AFTER.total_seconds())


async def to_the_end(work: Awaitable[T]) -> T:
    """The result of ``work``, done to its end even when the caller is cancelled meanwhile.

    The cancellation follows then; an error of ``work`` is its cause.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        raise cancelled from (None if task.cancelled() else task.exception())
    return task.result()
