"""Connections to Valkey with timeouts that were measured, not the library's defaults.

redis-py's defaults (5 s timeout, 10 retries) made one lost reply append two entries, and took 58 s to
report a partition. Commands and blocking reads therefore never share a client.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeAlias

import redis
import redis.asyncio
import redis.asyncio.retry
import redis.retry
from redis.backoff import NoBackoff

from fleet.primary import Primary, ThreadPrimary

Store: TypeAlias = Any
"""A ``redis.asyncio.Redis`` of ours. redis-py types every reply as a union over its decoding modes, and ours never
decodes: annotated with its class, each of the replies would need a cast that checks nothing."""

COMMAND_TIMEOUT = timedelta(seconds=2)
CONNECT_TIMEOUT = timedelta(seconds=1)
HEALTH_CHECK = timedelta(seconds=15)
BLOCKING_SLACK = timedelta(seconds=5)
"""Past its block time, how long a blocking read may take before the connection counts as dead."""


def command_client(url: str, *, name: str, max_connections: int = 64) -> redis.asyncio.Redis:
    """A client for commands that answer at once: 2 s timeout, no retries."""
    return _renewing(
        redis.asyncio.Redis.from_url(
            url,
            retry=redis.asyncio.retry.Retry(NoBackoff(), 0),
            max_connections=max_connections,
            **_options(COMMAND_TIMEOUT, name),
        )
    )


def blocking_client(url: str, *, name: str, block: timedelta) -> redis.asyncio.Redis:
    """A client for reads that block up to ``block``; its owner reconnects in a loop of its own."""
    return _renewing(
        redis.asyncio.Redis.from_url(
            url,
            retry=redis.asyncio.retry.Retry(NoBackoff(), 0),
            single_connection_client=False,
            max_connections=4,
            **_options(block + BLOCKING_SLACK, name),
        )
    )


def thread_client(url: str, *, name: str) -> redis.Redis:
    """A synchronous client for a thread of its own (the heartbeat)."""
    client = redis.Redis.from_url(
        url, retry=redis.retry.Retry(NoBackoff(), 0), max_connections=2, **_options(COMMAND_TIMEOUT, name)
    )
    pool = client.connection_pool
    pool.connection_class = _EncryptedThread if issubclass(pool.connection_class, redis.SSLConnection) else _PlainThread
    return client


class _Renewed:
    """A connection that the other side has reset is made anew before anything is sent over it.

    redis-py does not look, and writing to such a connection is a RuntimeError of uvloop's, which nobody takes for a
    store that does not answer. Nothing was sent, so nothing can happen twice.
    """

    async def send_packed_command(self: Any, command: Any, check_health: bool = True) -> None:
        if self._writer is not None and self._writer.is_closing():
            await self.disconnect(nowait=True)
        await super().send_packed_command(command, check_health)  # type: ignore[misc]


class _Plain(_Renewed, Primary, redis.asyncio.Connection):
    """``redis://``."""


class _Encrypted(_Renewed, Primary, redis.asyncio.SSLConnection):
    """``rediss://``."""


class _PlainThread(ThreadPrimary, redis.Connection):
    """``redis://`` for a thread."""


class _EncryptedThread(ThreadPrimary, redis.SSLConnection):
    """``rediss://`` for a thread."""


def _renewing(client: redis.asyncio.Redis) -> redis.asyncio.Redis:
    """The client, before it has connected, with connections of ours; ``from_url`` takes none for ``rediss://``."""
    pool = client.connection_pool
    pool.connection_class = _Encrypted if issubclass(pool.connection_class, redis.asyncio.SSLConnection) else _Plain
    return client


def _options(timeout: timedelta, name: str) -> dict[str, Any]:
    return {
        "socket_timeout": timeout.total_seconds(),
        "socket_connect_timeout": CONNECT_TIMEOUT.total_seconds(),
        "health_check_interval": HEALTH_CHECK.total_seconds(),
        "client_name": name,
        "driver_info": None,  # the library looks its own version up for every connection, which takes 1.6 ms
        "decode_responses": False,
        "protocol": 2,
    }
