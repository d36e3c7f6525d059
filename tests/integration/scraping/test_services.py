"""robots.txt and politeness as the node's units share them, over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from browser_node.scraping.fetch import USER_AGENT_TOKEN
from browser_node.scraping.mail_check import DeliverableOnly
from browser_node.scraping.robots import KEEP, KEEP_FAILURE, RobotsCache
from browser_node.scraping.services import open_services
from tests.integration.scraping.support import Site, loopback_http


class HandClock:
    """Goes on when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site().serve() as served:
        yield served


@pytest.fixture
async def http(site: Site) -> AsyncIterator[aiohttp.ClientSession]:
    async with loopback_http(site.port) as session:
        yield session


def robots(site: Site, host: str, body: str, status: int = 200) -> str:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert USER_AGENT_TOKEN in request.headers["User-Agent"]
        return web.Response(status=status, text=body)

    site.pages[f"{host}/robots.txt"] = answer
    return f"http://{host}/page"


async def test_rules_are_read_once_and_again_after_an_hour(site: Site, http: aiohttp.ClientSession) -> None:
    clock = HandClock()
    cache = RobotsCache(clock)
    url = robots(site, "a.test", "User-agent: *\nCrawl-delay: 2\nDisallow: /x\nSitemap: http://a.test/s.xml\n")
    for _ in range(2):
        rules = await cache.rules(http, url)
    assert rules.refusal(url) is None
    refusal = rules.refusal("http://a.test/x/1")
    assert refusal is not None
    assert refusal.code == "robots_disallowed"
    assert rules.crawl_delay is not None
    assert (rules.crawl_delay.total_seconds(), rules.sitemaps) == (2, ("http://a.test/s.xml",))
    assert site.count("a.test/robots.txt") == 1
    clock.now = KEEP.total_seconds() + 1
    await cache.rules(http, url)
    assert site.count("a.test/robots.txt") == 2


@pytest.mark.parametrize(("status", "code"), [(404, None), (403, None), (500, "robots_unreachable")])
async def test_missing_rules_allow_and_broken_ones_forbid(
    site: Site, http: aiohttp.ClientSession, status: int, code: str | None
) -> None:
    url = robots(site, "b.test", "User-agent: *\nDisallow: /\n", status)
    refusal = (await RobotsCache().rules(http, url)).refusal(url)
    assert (refusal and refusal.code) == code


async def test_a_failure_is_forgotten_soon(site: Site, http: aiohttp.ClientSession) -> None:
    clock = HandClock()
    cache = RobotsCache(clock)
    url = robots(site, "c.test", "", 500)
    assert (await cache.rules(http, url)).refusal(url) is not None
    robots(site, "c.test", "")
    clock.now = KEEP_FAILURE.total_seconds() + 1
    assert (await cache.rules(http, url)).refusal(url) is None


async def test_redirects_are_followed_and_a_loop_of_them_allows(site: Site, http: aiohttp.ClientSession) -> None:
    async def moved(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/other" if request.host == "d.test" else "/robots.txt")

    site.pages["d.test/robots.txt"] = site.pages["e.test/robots.txt"] = moved
    robots(site, "target.test", "User-agent: *\nDisallow: /page")
    site.pages["d.test/other"] = site.pages["target.test/robots.txt"]
    cache = RobotsCache()
    assert (await cache.rules(http, "http://d.test/page")).refusal("http://d.test/page") is not None
    assert (await cache.rules(http, "http://e.test/page")).refusal("http://e.test/page") is None


async def test_the_nodes_services_open_and_close() -> None:
    asked: list[str] = []

    def is_ours(host: str) -> bool:
        asked.append(host)
        return True

    async with open_services(is_ours) as services:
        for netloc in ("x.test", "x.test:8080", "[::1]", "[::1]:81"):
            async with services.politeness.turn(netloc):
                pass
        assert await services.extractor.extract("", "http://x.test/") == []
    assert asked == ["x.test", "x.test", "::1", "::1"]
    assert services.http.closed


@pytest.mark.parametrize("check_mx", [False, True])
async def test_mail_domains_are_asked_for_only_on_request(*, check_mx: bool) -> None:
    async with open_services(lambda _: False, check_mx=check_mx) as services:
        assert isinstance(services.extractor, DeliverableOnly) == check_mx
