"""The server of the whole town: one loopback port, a site for each host name, and a log of what was asked for.

A browser reaches it through an egress proxy that maps ``*.town.test`` to this port. A person can open
``http://127.0.0.1:<port>/`` and read the same sites by path, under ``/_site/<label>/``.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self

from aiohttp import web

from infra.sample_town.businesses import build_town
from infra.sample_town.model import SITE_SUFFIX
from infra.sample_town.replies import HTML, Flood, Hang, Page, Redirect, Reply, as_json, html, text
from infra.sample_town.sites import build_sites
from infra.sample_town.templating import render
from infra.sample_town.truth import town_truth

REQUESTS_KEPT = 100_000
"""Bound of the request log: far more than a scrape of the town, and still small under an endless benchmark."""

HANG_S = 3_600
"""How long a hanging page hangs when its client never leaves: past any timeout, not for ever."""

_BROWSING_PREFIX = "/_site/"
_SITE_LINK = re.compile(
    rf'(?P<before>(?:href|src|action)="|fetch\("|url=)(?:http://(?P<label>[a-z0-9.-]+)\.{re.escape(SITE_SUFFIX)})?/'
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: unix time ``at``, the site's ``label``, the path with its query, and the client's user agent."""

    at: float
    method: str
    label: str
    path: str
    user_agent: str


class TownServer:
    """The sample town on ``bind:port``; port 0 takes a free one. ``async with`` starts and stops it."""

    def __init__(self, port: int = 0, bind: str = "127.0.0.1") -> None:
        self.port = port
        self._bind = bind
        self.requests: deque[Asked] = deque(maxlen=REQUESTS_KEPT)
        self._sites = build_sites(build_town())
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The address of the index for people."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def labels(self) -> list[str]:
        """The host labels of all sites."""
        return list(self._sites)

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        # A handler that waits for a client which has gone must end, else a hanging page would hold the shutdown.
        self._runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._bind, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        host = (request.host or "").rsplit(":", 1)[0].lower()
        if host.endswith(f".{SITE_SUFFIX}"):
            label, path, browsing = host.removesuffix(f".{SITE_SUFFIX}"), request.path, False
        elif request.path.startswith(_BROWSING_PREFIX):
            label, _, rest = request.path.removeprefix(_BROWSING_PREFIX).partition("/")
            path, browsing = f"/{rest}", True
        else:
            return await _sent(request, self._own_page(request.path))
        query = f"?{request.query_string}" if request.query_string else ""
        agent = request.headers.get("User-Agent", "")
        self.requests.append(Asked(time.time(), request.method, label, path + query, agent))
        reply = self._site_reply(label, path, request)
        return await _sent(request, for_browsing(reply, label) if browsing else reply)

    def _site_reply(self, label: str, path: str, request: web.Request) -> Reply:
        site = self._sites.get(label)
        reply = site.reply(path, request.query) if site else None
        return reply or html("<!doctype html><title>404</title><h1>There is no such page</h1>", status=404)

    def _own_page(self, path: str) -> Reply:
        """What the bare address answers: for people and for tests, never for a scraper."""
        match path:
            case "/":
                town = build_town()
                extra = [label for label in self._sites if label not in {b.label for b in town.businesses}]
                return html(render("index.html", businesses=town.businesses, extra=extra))
            case "/_log":
                lines = [as_json(asdict(asked)).body for asked in self.requests]
                return Page(b"".join(line + b"\n" for line in lines), "application/x-ndjson")
            case "/_truth":
                return as_json(town_truth(build_town()))
            case _:
                return text("no such page; sites are under /_site/<label>/\n")


def for_browsing(reply: Reply, label: str) -> Reply:
    """The same answer with its links to town sites turned into paths under ``/_site/``."""
    if isinstance(reply, Redirect):
        moved = _SITE_LINK.sub(lambda found: _browsing_link(found, label), f"url={reply.location}")
        return Redirect(moved.removeprefix("url="), reply.status)
    if isinstance(reply, Page) and reply.content_type == HTML:
        body = _SITE_LINK.sub(lambda found: _browsing_link(found, label), reply.body.decode())
        return Page(body.encode(), reply.content_type, reply.status, reply.delay_s)
    return reply


def _browsing_link(found: re.Match[str], label: str) -> str:
    return f"{found['before']}{_BROWSING_PREFIX}{found['label'] or label}/"


async def _sent(request: web.Request, reply: Reply) -> web.StreamResponse:
    match reply:
        case Page():
            if reply.delay_s:
                await asyncio.sleep(reply.delay_s)
            return web.Response(body=reply.body, status=reply.status, headers={"Content-Type": reply.content_type})
        case Redirect():
            return web.Response(status=reply.status, headers={"Location": reply.location})
        case Hang():
            await asyncio.sleep(HANG_S)
            return web.Response(status=504)
        case Flood():
            return await _flooded(request, reply)


async def _flooded(request: web.Request, flood: Flood) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": HTML})
    await response.prepare(request)
    await response.write(flood.head)
    left = flood.size - len(flood.head) - len(flood.tail)
    while left > 0:
        chunk = flood.filler[:left]
        await response.write(chunk)
        left -= len(chunk)
    await response.write(flood.tail)
    await response.write_eof()
    return response
