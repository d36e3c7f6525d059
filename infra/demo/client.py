"""The public API as any client would use it: start a task, follow it, fetch its leads."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

RECONNECT_S = 0.2  # a replica that restarts is back within a second; the stream goes on where it was left
EXPORT_POLL_S = 0.2
UNAVAILABLE_S = 30.0
CHUNK = 64 * 1024

ENDED = frozenset({"task_completed", "task_error", "task_stopped"})


class ApiError(Exception):
    """The API said no; the message is its problem document's detail."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        super().__init__(f"HTTP {status}: {problem.get('detail') or problem.get('title') or problem}")


class ApiClient:
    """``async with ApiClient(url, key) as api``. Raises `ApiError` for a refusal, aiohttp's errors for the rest."""

    def __init__(self, base: str, api_key: str) -> None:
        self._session = aiohttp.ClientSession(base, headers={"Authorization": f"Bearer {api_key}"})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def start(self, request: dict[str, Any]) -> dict[str, Any]:
        """``POST /api/scraper/start``."""
        return await self._json("POST", "/api/scraper/start", json=request)

    async def status(self, task: str) -> dict[str, Any]:
        """The task as it is now."""
        return await self._json("GET", f"/api/scraper/status/{task}")

    async def slots(self) -> list[dict[str, Any]]:
        """Every slot of the fleet and what it is doing."""
        slots: list[dict[str, Any]] = (await self._json("GET", "/api/fleet/slots?limit=500"))["slots"]
        return slots

    async def stream_token(self, task: str) -> str:
        """A short-lived token that shows this task's events and pictures, for a link that a person opens."""
        body = {"task_id": task, "kinds": ["events", "live"]}
        return str((await self._json("POST", "/api/auth/stream-token", json=body))["token"])

    async def events(self, task: str) -> AsyncIterator[dict[str, Any]]:
        """Every event of the task once and in order, over reconnects, until the one that ends it."""
        last: str | None = None
        while True:
            parameters = {"last_event_id": last} if last else {}
            try:
                path = f"/api/scraper/ws/events/{task}"
                async with self._session.ws_connect(path, params=parameters, heartbeat=20) as socket:
                    async for message in socket:
                        event: dict[str, Any] = json.loads(message.data)
                        last = event.get("id", last)
                        yield event
                        if event["type"] in ENDED:
                            return
            except aiohttp.WSServerHandshakeError as error:
                if error.status < 500:
                    raise
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(RECONNECT_S)

    async def export_csv(self, task: str, target: Path) -> int:
        """Ask for the task's leads as CSV and write the file behind the presigned URL to ``target``; its rows."""
        made = await self._json("GET", "/api/export/csv", params={"task_id": task})
        while made["status"] in {"pending", "running"}:
            await asyncio.sleep(EXPORT_POLL_S)
            made = await self._json("GET", f"/api/export/{made['export_id']}")
        if made["url"] is None:
            raise ApiError(502, {"detail": made.get("error") or f"the export is {made['status']}"})
        # a session of its own: the key is for the API, the URL carries its own permission
        async with aiohttp.ClientSession() as plain, plain.get(made["url"]) as answer:
            answer.raise_for_status()
            with target.open("wb") as file:
                async for chunk in answer.content.iter_chunked(CHUNK):
                    file.write(chunk)
        return int(made["rows"])

    async def _json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        """The JSON of an answer; a 503 is asked again when it says, for as long as a part may take to restart."""
        give_up = time.monotonic() + UNAVAILABLE_S
        while True:
            headers = {"Accept": "application/json"}
            async with self._session.request(method, path, headers=headers, **arguments) as answer:
                body = await answer.json(content_type=None)
                if answer.ok:
                    assert isinstance(body, dict)
                    return body
                if answer.status != 503 or time.monotonic() > give_up:
                    raise ApiError(answer.status, body if isinstance(body, dict) else {})
                pause_s = float(answer.headers.get("Retry-After", 1))
            await asyncio.sleep(pause_s)
