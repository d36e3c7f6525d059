"""Clients of a whole stack, and a site whose visitors wait at its gate until a test lets them in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from infra.stack.options import Options
from infra.stack.stack import Stack
from tests.sites import answering
from tests.support import wait_until

TASK_PATIENCE_S = 300.0
"""The directory of the sample town takes 15 s on two cores, and minutes where a dozen others share them."""

TERMINAL = {"completed", "error", "stopped"}


@dataclass
class Client:
    """A client of the public API; ``replica`` picks whom it asks."""

    stack: Stack
    session: aiohttp.ClientSession

    def url(self, path: str, replica: int = 0) -> str:
        return self.stack.urls[replica] + path

    async def get(self, path: str, replica: int = 0) -> Any:
        async with self.session.get(self.url(path, replica)) as answer:
            assert answer.status == 200, (path, answer.status, await answer.text())
            return await answer.json()

    async def post(self, path: str, body: Any = None, replica: int = 0) -> Any:
        async with self.session.post(self.url(path, replica), json=body) as answer:
            assert answer.status == 200, (path, answer.status, await answer.text())
            return await answer.json()

    async def start(self, *queries: str, platform: str = "website", **options: Any) -> str:
        body = {"queries": list(queries), "platforms": [platform], **options}
        return (await self.post("/api/scraper/start", body))["task_id"]

    async def status(self, task: str, replica: int = 0) -> dict[str, Any]:
        return await self.get(f"/api/scraper/status/{task}", replica)

    async def ended(self, *tasks: str, timeout: float = TASK_PATIENCE_S, replica: int = 0) -> list[dict[str, Any]]:
        """The final states of tasks. A replica that is being killed meanwhile is waited for."""
        found: dict[str, dict[str, Any]] = {}

        async def all_ended() -> bool:
            for task in set(tasks) - set(found):
                try:
                    state = await self.status(task, replica)
                except aiohttp.ClientError:
                    return False
                if state["status"] in TERMINAL:
                    found[task] = state
            return len(found) == len(set(tasks))

        await wait_until(all_ended, timeout=timeout, description=f"{len(tasks)} tasks to end")
        return [found[task] for task in tasks]

    async def wheel_is_free(self, task: str) -> bool:
        """Whether a person could take the wheel of a task's browser now."""
        return bool((await self.get(f"/api/scraper/control/{task}"))["state"] == "free")

    async def events(self, task: str, replica: int = 0, last_event_id: str | None = None) -> list[dict[str, Any]]:
        """All events of an ended task, from the first or after ``last_event_id``."""
        query = f"?last_event_id={last_event_id}" if last_event_id else "?last_event_id=0-0"
        told = []
        async with self.session.ws_connect(self.url(f"/api/scraper/ws/events/{task}{query}", replica)) as socket:
            while not told or told[-1]["type"] not in {"task_completed", "task_error", "task_stopped"}:
                told.append(await asyncio.wait_for(socket.receive_json(), 10))
        return told[1:]


class Gate:
    """A site at every ``*.gate.test`` whose pages answer only as many visitors as were let in.

    ``page`` is the HTML of a host's page.
    """

    def __init__(self, page: Callable[[str], str]) -> None:
        self.port = 0
        self._page = page
        self.open: dict[str, str] = {}
        """What stands on the pages of hosts that have no gate."""
        self._let_in = asyncio.Semaphore(0)

    def let_in(self, visitors: int) -> None:
        for _ in range(visitors):
            self._let_in.release()

    async def answer(self, request: web.Request) -> web.Response:
        if request.path != "/":
            return web.Response(status=404)
        if request.host in self.open:
            return web.Response(text=self.open[request.host], content_type="text/html")
        await self._let_in.acquire()
        return web.Response(text=self._page(request.host), content_type="text/html")


@contextlib.asynccontextmanager
async def gated_site(page: Callable[[str], str] = "<title>{}</title>".format) -> AsyncIterator[Gate]:
    """A gate that serves."""
    gate = Gate(page)
    async with answering(gate.answer) as gate.port:
        yield gate


@contextlib.asynccontextmanager
async def client_of(options: Options) -> AsyncIterator[Client]:
    async with Stack(options) as stack:
        headers = {"Authorization": f"Bearer {stack.api_key}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            yield Client(stack, session)
