"""What robots.txt allows (RFC 9309), asked once per host and kept for a while."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from protego import Protego

from browser_node.scraping.errors import OURS, VisitFailed
from browser_node.scraping.fetch import USER_AGENT_TOKEN, fetch
from browser_node.scraping.urls import origin_of
from fleet.clock import Clock, SystemClock

if TYPE_CHECKING:
    import aiohttp

MAX_BYTES = 500 * 1024  # RFC 9309 asks for at least 500 KiB
KEEP = timedelta(hours=1)
KEEP_FAILURE = timedelta(seconds=20)
"""A host that did not answer is asked again soon: a unit's next attempt must not meet a stale refusal."""

MAX_HOSTS = 10_000
MAX_SITEMAPS = 5


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one origin. ``unreachable`` is why they could not be read: then nothing is allowed."""

    protego: Protego | None = None
    unreachable: VisitFailed | None = None

    def refusal(self, url: str) -> VisitFailed | None:
        """Why ``url`` may not be visited, None when it may."""
        if self.unreachable is not None:
            return self.unreachable
        if self.protego is None or self.protego.can_fetch(url, USER_AGENT_TOKEN):
            return None
        return VisitFailed("robots_disallowed", f"robots.txt does not allow {url}")

    @property
    def crawl_delay(self) -> timedelta | None:
        """The pause the host asks for between requests."""
        seconds = self.protego.crawl_delay(USER_AGENT_TOKEN) if self.protego is not None else None
        return None if seconds is None else timedelta(seconds=min(max(float(seconds), 0.0), 3600.0))

    @property
    def sitemaps(self) -> tuple[str, ...]:
        """The sitemaps robots.txt names, the first few."""
        return () if self.protego is None else tuple(self.protego.sitemaps)[:MAX_SITEMAPS]


class RobotsCache:
    """The rules of many hosts. Concurrent questions about one host make one request."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._rules: OrderedDict[str, tuple[float, Rules]] = OrderedDict()
        self._asking: dict[str, asyncio.Lock] = {}

    async def rules(self, http: aiohttp.ClientSession, url: str, proxy_url: str = "") -> Rules:
        """The rules for the origin of ``url``; never raises for what a host does."""
        origin = origin_of(url)
        known = self._known(origin)
        if known is not None:
            return known
        lock = self._asking.setdefault(origin, asyncio.Lock())
        try:
            async with lock:
                known = self._known(origin)
                return known if known is not None else await self._ask(http, origin, proxy_url)
        finally:
            self._asking.pop(origin, None)

    def _known(self, origin: str) -> Rules | None:
        entry = self._rules.get(origin)
        if entry is None or entry[0] < self._clock.monotonic():
            return None
        self._rules.move_to_end(origin)
        return entry[1]

    async def _ask(self, http: aiohttp.ClientSession, origin: str, proxy_url: str) -> Rules:
        rules = await _read_rules(http, f"{origin}/robots.txt", proxy_url)
        if rules.unreachable is not None and rules.unreachable.code in OURS:
            return rules  # another unit may well reach the host
        keep = KEEP if rules.unreachable is None else KEEP_FAILURE
        self._rules[origin] = (self._clock.monotonic() + keep.total_seconds(), rules)
        while len(self._rules) > MAX_HOSTS:
            self._rules.popitem(last=False)
        return rules


async def _read_rules(http: aiohttp.ClientSession, url: str, proxy_url: str) -> Rules:
    try:
        answer = await fetch(http, url, proxy_url=proxy_url, limit=MAX_BYTES)
    except VisitFailed as failure:
        # a loop of redirects is "unavailable" (allowed); a host nobody can reach is "unreachable" (refused)
        return Rules() if failure.code == "redirect_loop" else Rules(unreachable=failure)
    if answer.status >= 500:
        why = f"{url} answered {answer.status}, so nothing of the site may be read for now"
        return Rules(unreachable=VisitFailed("robots_unreachable", why, retryable=True))
    if answer.status >= 400:
        return Rules()
    return Rules(protego=Protego.parse(answer.body.decode("utf-8", "replace")))
