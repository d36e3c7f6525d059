"""Whether a part of the stack is ready: one question each, answered False as long as nobody answers."""

from __future__ import annotations

from typing import Any

import aiohttp
import redis.exceptions

from fleet.connect import command_client

TIMEOUT = aiohttp.ClientTimeout(total=2)  # asked again at once, so a part that hangs costs no more than this


async def valkey_answers(url: str) -> bool:
    """Whether the server at ``url`` answers, and has read its data back in."""
    client = command_client(url, name="stack")
    try:
        await client.ping()
    except redis.exceptions.RedisError:
        return False
    finally:
        await client.aclose()
    return True


async def s3_answers(endpoint: str) -> bool:
    """Whether object storage answers. Buckets are made, with their lifecycle rules, by the exports that need them."""
    try:
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session, session.get(endpoint) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def api_get(url: str, api_key: str) -> tuple[int, Any]:
    """``(status, JSON)`` of a GET; JSON is None for anything but 200, the status 0 when nobody answers."""
    headers = {"Authorization": f"Bearer {api_key}", "Accept": "application/json"}
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT) as session,
            session.get(url, headers=headers) as answer,
        ):
            return answer.status, await answer.json() if answer.status == 200 else None
    except (aiohttp.ClientError, TimeoutError):
        return 0, None


async def api_ready(base: str, api_key: str) -> bool:
    """Whether the replica at ``base`` takes requests."""
    status, _ = await api_get(f"{base}/health/ready", api_key)
    return status == 200


async def nodes_up(base: str, api_key: str) -> int:
    """How many nodes of the fleet are UP, as the replica at ``base`` sees it."""
    _, body = await api_get(f"{base}/api/fleet/nodes?limit=500", api_key)
    return sum(node["state"].lower() == "up" for node in body["nodes"]) if body else 0
