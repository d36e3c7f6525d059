"""``website``: one business's own site, of which only the pages that hold contacts are visited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urljoin

from browser_node.scraping.errors import BadQuery
from browser_node.scraping.sources.base import Link, PageView, Reads, Source, Step, Visit
from browser_node.scraping.sources.ledger import Ledger
from browser_node.scraping.sources.words import CONTACT_PAGE, kind_of
from browser_node.scraping.urls import canonical, may_be_page, origin_of, site_of

MAX_SITEMAP_VISITS = 3
"""A sitemap may name thousands of shops; contacts stand on the few pages that also look like it."""


class Website(Source):
    """Home first, then contact, imprint, locations, about and team pages, found by links and sitemap."""

    NAME = "website"
    PAGE_CAP = 8
    DEPTH_CAP = 2

    def seeds(self) -> Sequence[Visit]:
        url = canonical(self.query)
        if url is None:
            raise BadQuery(self.query, "a web address")
        return [Visit(url, kind="home", label="page")]

    def after(self, page: PageView, state: Mapping[str, str]) -> Step:
        if page.visit.reads is Reads.SITEMAP:
            return self._after_sitemap(page, state)
        remember: dict[str, str] = {}
        if page.visit.kind == "home":
            remember["site"] = site_of(page.url)  # a seed that redirects says where the site really is
        site = remember.get("site") or state.get("site") or site_of(self.query)
        if site_of(page.url) != site:
            return Step(note=f"Left {page.url} alone: it is another site")
        visits = self._contact_pages(page.links, site, page.visit.depth + 1)
        if page.visit.kind == "home" and not any(visit.label == CONTACT_PAGE for visit in visits):
            visits += self._sitemaps(page)
        ledger = Ledger(state, self.options.wanted)
        fresh, grown = ledger.record(page.leads)
        return Step(visits, fresh, grown, {**remember, **ledger.changes})

    def _after_sitemap(self, page: PageView, state: Mapping[str, str]) -> Step:
        site = state.get("site") or site_of(self.query)
        if page.visit.depth < 1 and page.links and all(link.text == "sitemap" for link in page.links):
            children = [Visit(link.url, Reads.SITEMAP, depth=1, priority=9) for link in page.links[:2]]
            return Step(children)
        found = sorted(self._contact_pages(page.links, site, depth=1), key=lambda visit: visit.priority)
        return Step(found[:MAX_SITEMAP_VISITS])

    def _contact_pages(self, links: Sequence[Link], site: str, depth: int) -> list[Visit]:
        if depth > self.depth_cap:
            return []
        visits = []
        for link in links:
            if site_of(link.url) != site or not may_be_page(link.url):
                continue
            kind = kind_of(link.url, link.text)
            if kind is not None:
                visits.append(Visit(link.url, depth=depth, priority=kind.priority + 5 * (depth - 1), label=kind.label))
        return visits

    def _sitemaps(self, page: PageView) -> list[Visit]:
        named = [url for url in map(canonical, page.sitemaps) if url is not None]
        addresses = named or [urljoin(origin_of(page.url), "/sitemap.xml")]
        return [Visit(url, Reads.SITEMAP, kind="sitemap", priority=8, label="sitemap") for url in addresses[:2]]
