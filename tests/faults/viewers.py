"""The ways in which a client follows a task's events."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import aiohttp

Transport = Callable[[aiohttp.ClientSession, str, str, str], AsyncGenerator[dict[str, Any], None]]
"""``(session, replica's url, task, after)`` → messages, the first of type ``connected`` with its ``retry_ms``; ends
with the connection."""


async def over_socket(
    session: aiohttp.ClientSession, url: str, task: str, after: str
) -> AsyncGenerator[dict[str, Any], None]:
    path = f"{url}/api/scraper/ws/events/{task}?last_event_id={after}"
    async with session.ws_connect(path, max_msg_size=0) as ws:
        async for message in ws:
            yield message.json()


async def over_sse(
    session: aiohttp.ClientSession, url: str, task: str, after: str
) -> AsyncGenerator[dict[str, Any], None]:
    timeout = aiohttp.ClientTimeout(total=None)
    headers = {"Last-Event-ID": after}
    async with session.get(f"{url}/api/scraper/events/{task}", headers=headers, timeout=timeout) as answer:
        answer.raise_for_status()
        async for raw in answer.content:
            line = raw.decode().rstrip("\n")
            if line.startswith("retry: "):
                yield {"type": "connected", "retry_ms": int(line.removeprefix("retry: "))}
            elif line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))
