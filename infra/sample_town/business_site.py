"""A business's own site: a handful of pages in its language, with its contact where its style puts it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from infra.sample_town.cards import Block, contact_block
from infra.sample_town.model import Business, ContactStyle, Poison, Trait, site_url
from infra.sample_town.replies import Page, Redirect, Reply, Site, StaticSite, html, text
from infra.sample_town.rough_edges import RoughEdges, rough_edges
from infra.sample_town.templating import render
from infra.sample_town.words import WORDS, Words

SLOW_PAGE_S = 0.6
"""Delay of every page of a slow site: well above the others, below any sensible timeout."""

_NAVIGATION = ("home", "products", "about", "blog", "contact")


@dataclass(frozen=True, slots=True)
class _PageContext:
    """What the page template shows; ``content``, ``footer``, ``head`` and ``scripts`` are ready markup."""

    key: str
    title: str
    content: Markup
    footer: Markup
    head: Markup
    scripts: Markup


def business_sites(business: Business, poisons: Iterable[Poison]) -> dict[str, Site]:
    """All sites of a business by host label; ``poisons`` are those of the whole town."""
    own = [poison for poison in poisons if poison.url.startswith(business.url)]
    sites: dict[str, Site] = {business.label: _site(business, business.contact_style, own)}
    for label in business.labels[1:]:
        second = replace(business, labels=(label, business.label), traits=frozenset())
        sites[label] = _site(second, ContactStyle.PLAIN_TEXT, [])
    if business.has(Trait.WWW_REDIRECT):
        sites[f"www.{business.label}"] = _Moved(business.label)
    return sites


@dataclass(frozen=True, slots=True)
class _Moved:
    """A host whose every page is a permanent redirect to the same page of another host."""

    label: str

    def reply(self, path: str, query: Mapping[str, str]) -> Reply | None:
        return Redirect(site_url(self.label, path))


@dataclass(frozen=True, slots=True)
class _SiteWithEndlessPart:
    """A site of fixed pages, one part of which goes on for ever."""

    fixed: StaticSite
    edges: RoughEdges

    def reply(self, path: str, query: Mapping[str, str]) -> Reply | None:
        return self.fixed.reply(path, query) or self.edges.reply(path)


def _site(business: Business, style: ContactStyle, poisons: list[Poison]) -> Site:
    words = WORDS[business.language]
    block = contact_block(business, style)
    edges = rough_edges(business, poisons)
    builder = _Builder(business, style, words, block, edges)
    pages: dict[str, Reply] = {**builder.pages(), **block.extra, **edges.pages}
    pages["/robots.txt"] = text(_robots(business))
    if business.has(Trait.SITEMAP):
        pages["/sitemap.xml"] = _sitemap(business, words)
    if business.has(Trait.SLOW):
        pages = {path: replace(reply, delay_s=SLOW_PAGE_S) if isinstance(reply, Page) else reply
                 for path, reply in pages.items()}  # fmt: skip
    fixed = StaticSite(pages)
    return _SiteWithEndlessPart(fixed, edges) if business.has(Trait.CALENDAR) else fixed


@dataclass(frozen=True, slots=True)
class _Builder:
    business: Business
    style: ContactStyle
    words: Words
    block: Block
    edges: RoughEdges

    def pages(self) -> dict[str, Reply]:
        """Every ordinary page by path."""
        keys = ["home", "about", "contact", "legal", "products", "blog", "privacy"]
        if self.business.has(Trait.BRANCHES):
            keys.append("branches")
        pages: dict[str, Reply] = {self.words.paths[key]: self._page(key) for key in keys}
        for number, title in enumerate(self.words.posts, start=1):
            content = self._part("post", prose=self._rotated(number))
            pages[f"{self.words.paths['blog']}/{number}"] = self._render("post", title, content)
        return pages

    def _page(self, key: str) -> Page:
        return self._render(key, self.words.titles[key], self._part(key))

    def _part(self, key: str, **more: Any) -> Markup:
        return render(
            "pages.html",
            key=key,
            business=self.business,
            words=self.words,
            contact=self._contact(key),
            links=self.edges.links if key == "home" else Markup(),
            **{"prose": self._rotated(0), **more},
        )

    def _contact(self, key: str) -> Markup | None:
        """The contact block where it belongs on this page; None where it does not."""
        if self.style is ContactStyle.FOOTER and not self.business.has(Trait.BRANCHES):
            return None
        holds = key == "branches" if self.business.has(Trait.BRANCHES) else key == self.business.placement
        return self.block.markup if holds else None

    def _render(self, key: str, title: str, content: Markup) -> Page:
        in_footer = self.style is ContactStyle.FOOTER and not self.business.has(Trait.BRANCHES)
        footer = (self.block.markup if in_footer else Markup()) + self.edges.footer
        scripts = self.edges.scripts
        if self.style is ContactStyle.BEHIND_COOKIE_BANNER:
            scripts += render("cookie_banner.html", words=self.words)
        name = self.business.name
        page = _PageContext(key, title, content, footer, Markup(), scripts)
        return html(
            render(
                "site.html",
                page=page,
                title=f"{name} – {self.words.taglines[0]}" if key == "home" else f"{title} – {name}",
                lang=self.business.locale,
                look=self.business.look,
                business=self.business,
                words=self.words,
                navigation=self._navigation(),
                tagline=self.words.taglines[len(name) % len(self.words.taglines)],
            )
        )

    def _navigation(self) -> list[str]:
        hidden = {"contact"} if self.business.has(Trait.SITEMAP_ONLY) else set()
        return [key for key in _NAVIGATION if key not in hidden] + (
            ["branches"] if self.business.has(Trait.BRANCHES) else []
        )

    def _rotated(self, by: int) -> tuple[str, ...]:
        prose = self.words.prose
        shift = (len(self.business.name) + by) % len(prose)
        return prose[shift:] + prose[:shift]


def _robots(business: Business) -> str:
    lines = ["User-agent: *"]
    lines += ["Disallow: /internal/"] if business.has(Trait.ROBOTS) else ["Allow: /"]
    if business.has(Trait.SITEMAP):
        lines.append(f"Sitemap: {site_url(business.label, '/sitemap.xml')}")
    return "\n".join(lines) + "\n"


def _sitemap(business: Business, words: Words) -> Page:
    keys = ("home", "products", "about", "blog", "contact", "legal", "privacy")
    entries = "".join(f"<url><loc>{site_url(business.label, words.paths[key])}</loc></url>" for key in keys)
    document = '<?xml version="1.0" encoding="UTF-8"?>\n'
    document += f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{entries}</urlset>\n'
    return text(document, "application/xml; charset=utf-8")
