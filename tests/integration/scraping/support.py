"""A site made of functions, a node's side of a unit that only records, and Chrome's way to ``*.test``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from playwright.async_api import Browser, Page

from browser_node.scraping.runner import run_unit
from browser_node.scraping.types import Services, UnitControl, UnitResult
from fleet.messages import Run
from leads.model import Lead, Phone
from tests.sites import answering

UNIT = f"tsk_{'0' * 26}.0"
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """One loopback port that answers for every ``*.test`` host; ``pages`` maps ``host/path`` to HTML or a handler."""

    def __init__(self) -> None:
        self.pages: dict[str, str | Answer] = {}
        self.asked: list[str] = []
        self.port = 0

    def count(self, page: str) -> int:
        """How often ``host/path`` was asked for."""
        return self.asked.count(page)

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[Site]:
        async with answering(self._answer) as self.port:
            yield self

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        page = f"{request.host}{request.path_qs}"
        self.asked.append(page)
        found = self.pages.get(page)
        if found is None:
            return web.Response(status=404, text="<h1>404</h1>", content_type="text/html")
        if isinstance(found, str):
            return web.Response(text=f"<!doctype html><meta charset=utf-8>{found}", content_type="text/html")
        return await found(request)


class LoopbackResolver(AbstractResolver):
    """Every name leads to one loopback port."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def resolve(self, host: str, port: int = 0, family: Any = 2) -> list[ResolveResult]:
        del port, family
        return [ResolveResult(hostname=host, host="127.0.0.1", port=self._port, family=2, proto=0, flags=0)]

    async def close(self) -> None:
        return


def loopback_http(port: int) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=LoopbackResolver(port)))


class RecordingOut:
    """What a unit puts out; keeps the checkpoint as the store would."""

    def __init__(self, checkpoint: Mapping[str, str] | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self.results: list[Lead] = []
        self.checkpoint: dict[str, str] = dict(checkpoint or {})
        self.pages = 0
        self.left_out = 0
        self.on_page: Callable[[], None] = lambda: None

    def put(
        self,
        *,
        events: Sequence[dict[str, Any]] = (),
        results: Sequence[Lead] = (),
        set: Mapping[str, str] = {},  # noqa: A002 - the protocol's name
        unset: Sequence[str] = (),
        pages: int = 0,
        left_out: int = 0,
        current: str = "",
    ) -> None:
        del current
        self.events += events
        self.results += results
        self.checkpoint.update(set)
        for key in unset:
            self.checkpoint.pop(key, None)
        self.pages += pages
        self.left_out += left_out
        if pages:
            self.on_page()

    def log(self, level: str, message: str, **data: Any) -> None:
        self.events.append({"kind": "log", "data": {"level": level, "message": message, **data}})

    async def drained(self) -> None:
        await asyncio.sleep(0)

    def messages(self) -> list[str]:
        return [event["data"]["message"] for event in self.events if event["kind"] == "log"]

    def coordinates(self) -> list[dict[str, Any]]:
        return [event["data"] for event in self.events if event["kind"] == "coordinates"]

    def phones(self) -> list[Phone]:
        return [phone for lead in self.results for phone in lead.phones]

    def numbers(self) -> set[str | None]:
        return {phone.normalized_e164 for phone in self.phones()}


class RecordingStage:
    """Which tabs were shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[Page, str]] = []

    def show(self, page: Page, tab: str) -> None:
        self.shown.append((page, tab))

    async def picture(self, page: Page, scroll: tuple[float, float]) -> int:
        del scroll
        return 41 + len(self.shown) if self.shown[-1][0] is page else 0

    async def next_picture(self, after: int) -> tuple[int, Page]:
        """Nobody watches."""
        del after
        await asyncio.Event().wait()
        raise AssertionError


@dataclass
class Bench:
    """All a test needs to run units: a real Chrome, real services, a site."""

    browser: Browser
    services: Services
    site: Site
    stage: RecordingStage = field(default_factory=RecordingStage)

    async def run(
        self,
        query: str,
        platform: str = "website",
        *,
        out: RecordingOut | None = None,
        control: UnitControl | None = None,
        services: Services | None = None,
        **options: Any,
    ) -> tuple[UnitResult, RecordingOut]:
        out = out or RecordingOut()
        order = Run("boot", UNIT, 1, 0, platform, query, options, dict(out.checkpoint))
        context = await self.browser.new_context(viewport={"width": 1280, "height": 720})
        try:
            result = await run_unit(
                order, context, out, self.stage, services or self.services, control or UnitControl()
            )
            assert context.pages == [] or not self.browser.is_connected(), f"left open: {context.pages}, {result}"
        finally:
            if self.browser.is_connected():
                await context.close()
        return result, out
