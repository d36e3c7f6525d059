"""Reads what the control plane says to this node, in order, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import redis
import structlog

from fleet.connect import Store
from fleet.errors import BadMessage
from fleet.messages import COMMANDS, Message, parse

BLOCK = timedelta(seconds=5)
"""How long one read waits; the client it is given must allow for that (``fleet.connect.blocking_client``)."""

READ_AT_ONCE = 32

RETRY = timedelta(milliseconds=300)

log = structlog.get_logger(__name__)


async def read_commands(client: Store, stream: str, boot: str) -> AsyncIterator[tuple[str, Message]]:
    """``(stream id, command)`` of all commands for this boot, from the oldest kept one on, for ever.

    What is meant for an earlier boot, and what this version cannot parse, is passed over. The connection is
    made again as often as needed. Raises ``redis.AuthenticationError`` or ``NoPermissionError`` when the store
    does not know the node.
    """
    position = "0-0"
    while True:
        try:
            answer = await client.xread({stream: position}, block=int(BLOCK.total_seconds() * 1000), count=READ_AT_ONCE)
        except (redis.AuthenticationError, redis.exceptions.NoPermissionError):
            raise
        except (redis.RedisError, OSError) as exc:
            log.warning("commands_unreachable", error=str(exc)[:200])
            await asyncio.sleep(RETRY.total_seconds())
            continue
        for _, entries in answer or ():
            for raw_id, fields in entries:
                position = raw_id.decode()
                try:
                    command = parse(fields, COMMANDS)
                except BadMessage as exc:
                    log.error("command_unreadable", id=position, error=str(exc))
                    continue
                if getattr(command, "boot", "") == boot:
                    yield position, command
