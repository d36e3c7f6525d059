"""Reads of the store that many parts need: one reply, or one of each of many records."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from redis.exceptions import RedisError

from fleet.connect import Store
from fleet.errors import StoreUnavailable

Name = TypeVar("Name")

READ_AT_ONCE = 200
"""Records in one pipeline: less than a millisecond of the store's time."""


async def ask(what: str, answer: Awaitable[Any]) -> Any:
    """The store's answer. Raises StoreUnavailable, which says that we could not ``what``."""
    try:
        return await answer
    except (RedisError, OSError) as exc:
        raise StoreUnavailable(what, exc) from exc


async def each(client: Store, what: str, names: Sequence[Name], read: Callable[[Any, Name], Any]) -> list[Any]:
    """One reply a name, in pipelines that hold neither the store nor this process for long."""
    replies: list[Any] = []
    for first in range(0, len(names), READ_AT_ONCE):
        async with client.pipeline(transaction=False) as pipe:
            for name in names[first : first + READ_AT_ONCE]:
                read(pipe, name)
            replies += await ask(what, pipe.execute())
    return replies
