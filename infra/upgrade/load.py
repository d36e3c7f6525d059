"""Clients of a fleet that is being upgraded: they submit tasks, follow them, and count what they miss."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from fleet.cancellation import end_all
from infra.sample_town import DIRECTORY_URL
from infra.upgrade.balancer import Balancer

LOOK_S = 0.3
TERMINAL = {"completed", "error", "stopped"}
TERMINAL_EVENTS = {"task_completed", "task_error", "task_stopped"}
ENDS_WITHIN_S = 180.0


@dataclass
class Load:
    """``clients`` at once, each from a task to the next until ``stop`` is set; one more watches a paused task."""

    balancer: Balancer
    clients: int
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    states: dict[str, str] = field(default_factory=dict)
    """Of each acknowledged task: how it ended, or how it was last seen."""
    attempts: Counter[int] = field(default_factory=Counter)
    """Tasks by the attempts that their unit took: a node that drains costs none."""
    slowest_s: float = 0.0
    """The longest from a task's submission to its end."""
    streams: int = 0
    resumed: int = 0
    missed: int = 0
    """Events that a stream was not told of, over all its connections."""

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_a_paused_task(), name="viewer")
            for client in range(self.clients):
                group.create_task(self._client(client), name=f"client {client}")

    async def _client(self, client: int) -> None:
        number = 0
        while not self.stop.is_set():
            query = f"http://bench.town.test/page/{100 * client + number % 100}"
            began = time.monotonic()
            task = await self._start(query, "website", f"upgrade-{client}-{number}")
            number += 1
            if task is None:
                continue
            if number % 2:
                await self._follow(task)
            await self._until_its_end(task, began)
            await self.balancer.request("GET", "/api/tasks?limit=5")

    async def _watch_a_paused_task(self) -> None:
        """From before the first step until after the last: its stream outlasts the replicas, so it must be resumed."""
        task = await self._start(DIRECTORY_URL, "directory", "upgrade-paused")
        if task is None:
            return
        await self.balancer.request("POST", f"/api/scraper/pause/{task}")
        self.streams += 1
        watching = asyncio.create_task(self._events(task), name="watch the paused task")
        try:
            await self.stop.wait()
            await self.balancer.request("POST", f"/api/scraper/resume/{task}")
            await self._until_its_end(task, time.monotonic())
            await self._compare(task, watching)
        finally:
            await end_all([watching])

    async def _start(self, query: str, platform: str, key: str) -> str | None:
        """The id of a new task; None when the request failed."""
        body = {"queries": [query], "platforms": [platform]}
        started = await self.balancer.request("POST", "/api/scraper/start", body, **{"Idempotency-Key": key})
        if started is None:
            return None
        task: str = started["task_id"]
        self.states[task] = started["status"]
        return task

    async def _until_its_end(self, task: str, began: float) -> None:
        """It is lost when it has not ended by `ENDS_WITHIN_S`; its last state is then what it is."""
        while time.monotonic() < began + ENDS_WITHIN_S:
            state = await self.balancer.request("GET", f"/api/scraper/status/{task}")
            if state is not None:
                self.states[task] = state["status"]
                if state["status"] in TERMINAL:
                    self.attempts[state["attempt"]] += 1
                    self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                    return
            await asyncio.sleep(LOOK_S)

    async def _follow(self, task: str) -> None:
        """All events of a task, over as many connections as it takes; then again, to see what was missed."""
        self.streams += 1
        await self._compare(task, self._events(task))

    async def _compare(self, task: str, watching: Awaitable[list[str]]) -> None:
        """Count what a stream missed that is told to one that is opened once the task has ended."""
        try:
            async with asyncio.timeout(ENDS_WITHIN_S):
                told = await watching
                again = await self._events(task)
        except TimeoutError:
            self.balancer.figures.failed.append(f"a stream of {task} told of no end in {ENDS_WITHIN_S:g} s")
        else:
            self.missed += len(set(again) - set(told))

    async def _events(self, task: str) -> list[str]:
        """The ids of the events, in the order they came. A stream that a replica ended goes on at another."""
        told: list[str] = []
        connections = 0
        while True:
            path = f"/api/scraper/ws/events/{task}?last_event_id={told[-1] if told else '0-0'}"
            self.balancer.figures.requests += 1
            connections += 1
            self.resumed += connections > 1
            try:
                url = await self.balancer.pick() + path
                async with self.balancer.session.ws_connect(url) as socket:
                    if await self._read(socket, told):
                        return told
            except (aiohttp.ClientError, TimeoutError) as error:
                self.balancer.figures.failed.append(f"WS {path}: {error!r}")

    async def _read(self, socket: aiohttp.ClientWebSocketResponse, told: list[str]) -> bool:
        """Whether the task's end was told. The replica must have said goodbye when it was not."""
        async for message in socket:
            event: dict[str, Any] = message.json()
            if event["type"] == "connected" or "id" not in event:
                continue
            told.append(event["id"])
            if event["type"] in TERMINAL_EVENTS:
                return True
        if socket.close_code != aiohttp.WSCloseCode.SERVICE_RESTART:
            self.balancer.figures.failed.append(f"a stream was closed with {socket.close_code}")
        return False
