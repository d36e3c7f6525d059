"""What all units of a node share, opened and closed together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp

from browser_node.scraping.extractor import ProcessExtractor
from browser_node.scraping.politeness import HostPoliteness
from browser_node.scraping.robots import RobotsCache
from browser_node.scraping.types import Services

MAX_CONNECTIONS = 20
"""For robots.txt and sitemaps only; pages are fetched by Chrome."""


@asynccontextmanager
async def open_services(
    proxy_url: str, *, is_ours: Callable[[str], bool], refusal: Callable[[str], str]
) -> AsyncIterator[Services]:
    """Services behind the egress proxy at ``proxy_url``.

    ``is_ours`` names hosts (``host`` or ``host:port``) that need no delay between pages; ``refusal`` says why the proxy
    last refused a host.
    """
    connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS)
    async with ProcessExtractor() as extractor, aiohttp.ClientSession(connector=connector) as http:
        yield Services(extractor, HostPoliteness(is_ours=is_ours), RobotsCache(), http, proxy_url, refusal)
