"""What all units of a node share, opened and closed together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp

from browser_node.scraping.extractor import ProcessExtractor
from browser_node.scraping.mail_check import DeliverableOnly
from browser_node.scraping.politeness import HostPoliteness
from browser_node.scraping.robots import RobotsCache
from browser_node.scraping.types import Services

MAX_CONNECTIONS = 20
"""For robots.txt and sitemaps only; pages are fetched by Chrome."""


@asynccontextmanager
async def open_services(is_ours: Callable[[str], bool], *, check_mx: bool = False) -> AsyncIterator[Services]:
    """Services that lack a unit's way out. ``is_ours(host)`` names hosts that need no delay between pages. With
    ``check_mx`` leads lack the e-mail addresses that nobody takes mail for."""
    politeness = HostPoliteness(is_ours=lambda netloc: is_ours(urlsplit(f"//{netloc}").hostname or ""))
    connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS)
    async with ProcessExtractor() as extractor, aiohttp.ClientSession(connector=connector) as http:
        reader = DeliverableOnly(extractor) if check_mx else extractor
        yield Services(reader, politeness, RobotsCache(), http)
