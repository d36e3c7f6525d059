"""``directory``: a listing of businesses. Follows its pages and its items; one lead per business.

The items of a listing are the largest family of links that differ in one place only (``/business/*``,
``/profile.php?id=*``). The family found on the first page holds for all: a last page may have a single item.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, urlsplit

from browser_node.scraping.errors import BadQuery
from browser_node.scraping.sources.base import Link, PageView, Source, Step, Visit
from browser_node.scraping.sources.ledger import of_one_site, tells_more
from browser_node.scraping.sources.words import kind_of
from browser_node.scraping.urls import canonical, may_be_page, site_of
from leads.identity import merge
from leads.model import Lead

MIN_ITEMS = 3
MIN_ITEMS_IN_FOLDER = 2
"""A small category may list two businesses; two links are enough where they share a folder of their own."""

_NEXT = re.compile(
    r"^\W*(?:next|more results|older|weiter|nächste|vor\b|suivant|siguiente|próxim|successiv|avanti|volgende|næste"
    r"|neste|nästa|seuraava|następn|další|seguinte|след|次|下一|다음)|^(?:›|»|>|>>|→)$",
    re.IGNORECASE,
)
_WEBSITE = re.compile(
    r"^https?://|^www\.|\.[a-z]{2,6}/?$|website|web site|homepage|webseite|site web|site internet|sitio|sito|hemsida",
    re.IGNORECASE,
)
_PAGE_NUMBER = re.compile(
    r"(?:[?&](?:page|p|pg|seite|pagina|paged|start|offset)=|/(?:page|seite|pagina)[/-]?)(\d{1,5})", re.IGNORECASE
)
_SIDE_FAMILY = re.compile(
    r"categor|kategor|/tags?/|/page|/seite|/login|/user|/author|/city|/cities|/region|/rubri|/branche|/blog|/news|/stadt|/ort/"
    r"|/legal|/help|/about|/polic|/terms|/privacy|/info/|/static|/account|/hilfe|/aide",
    re.IGNORECASE,
)

SITE_DEPTH = 2
"""Pages of a business's own site that are read behind its home page: contacts stand on the contact page, or in the
imprint."""

# Items and the next page before anything else would starve one another: details first, they give the leads.
_DETAIL, _SITE, _LISTING = 10, 15, 20


class Directory(Source):
    """Listing pages, their detail pages, and with ``enrich_websites`` the businesses' own home and contact pages."""

    NAME = "directory"
    PAGE_CAP = 500
    DEPTH_CAP = 50

    def seeds(self) -> Sequence[Visit]:
        url = canonical(self.query)
        if url is None:
            raise BadQuery(self.query, "the address of a listing")
        return [Visit(url, kind="listing", priority=_LISTING, label="listing")]

    def after(self, page: PageView, state: Mapping[str, str]) -> Step:
        match page.visit.kind:
            case "detail":
                return self._after_detail(page)
            case "site":
                return self._after_site(page)
            case _:
                return self._after_listing(page, state)

    def _after_listing(self, page: PageView, state: Mapping[str, str]) -> Step:
        site = site_of(page.url)
        own = [link for link in page.links if site_of(link.url) == site and may_be_page(link.url)]
        family = state.get("family") or _item_family(own, page.url)
        if family is None:
            told = [lead for lead in page.leads if lead in self.options.wanted]
            following = self._next_listing(page, own)
            return Step(following, told, note=f"No repeated links on {page.url}: read as it is")
        items = [link for link in own if _family_of(link.url) == family]
        visits = [
            Visit(
                link.url, kind="detail", depth=page.visit.depth, priority=_DETAIL, label="detail page", data=link.text
            )
            for link in items
        ]
        note = f"Found {len({link.url for link in items})} businesses listed on {page.url}"
        return Step([*visits, *self._next_listing(page, own)], remember={"family": family}, note=note)

    def _after_detail(self, page: PageView) -> Step:
        lead = _main_business(page)
        if lead is None:
            return Step(note=f"Found no business on {page.url}")
        lead = _with_own_website(lead, page)
        step_to = []
        website = canonical(lead.website) if lead.website else None
        if self.options.enrich_websites and website is not None and site_of(website) != site_of(page.url):
            data = lead.model_dump_json(exclude_none=True, exclude={"description"})
            step_to = [Visit(website, kind="site", priority=_SITE, label="website", data=data)]
        told = [lead] if lead in self.options.wanted else []
        return Step(step_to, told)

    def _after_site(self, page: PageView) -> Step:
        """The business's own site: what it adds to the listed business, and the way to its contact page."""
        known = Lead.model_validate_json(page.visit.data)
        seen = next((lead for lead in page.leads if of_one_site(known, lead)), None)
        if seen is None and len(page.leads) == 1:
            seen = page.leads[0]
        lead = known if seen is None else merge([known, seen])
        fresh, grown = self._told(known, lead)
        return Step(self._next_on_site(page, lead), fresh, grown)

    def _next_on_site(self, page: PageView, lead: Lead) -> list[Visit]:
        """The contact page, and where that leaves something out the next page of its kind, such as the imprint."""
        depth = page.visit.depth + 1
        if depth > SITE_DEPTH or (depth > 1 and lead.phones and lead.emails):
            return []
        kinds = [(kind, link) for link in page.links if (kind := kind_of(link.url, link.text))]
        kinds = [(k, link) for k, link in kinds if site_of(link.url) == site_of(page.url) and link.url != page.url]
        data = lead.model_dump_json(exclude_none=True, exclude={"description"})
        return [
            Visit(link.url, kind="site", depth=depth, priority=_SITE, label=kind.label, data=data)
            for kind, link in sorted(kinds, key=lambda entry: entry[0].priority)[:1]
        ]

    def _told(self, known: Lead, lead: Lead) -> tuple[list[Lead], list[Lead]]:
        """``(new, grown)``: a business that its entry alone did not make a wanted one is new when its site does."""
        if lead not in self.options.wanted or not tells_more(lead, known):
            return [], []
        return ([], [lead]) if known in self.options.wanted else ([lead], [])

    def _next_listing(self, page: PageView, own: Sequence[Link]) -> list[Visit]:
        depth = page.visit.depth + 1
        url = _next_page(own, page.url) if depth <= self.depth_cap else None
        return [] if url is None else [Visit(url, kind="listing", depth=depth, priority=_LISTING, label="listing")]


def _item_family(links: Sequence[Link], here: str) -> str | None:
    """The family with most members that looks like items: not categories, not page numbers."""
    members: dict[str, set[str]] = defaultdict(set)
    for link in links:
        family = _family_of(link.url)
        if link.url != here and link.text and not _SIDE_FAMILY.search(family) and not _PAGE_NUMBER.search(link.url):
            members[family].add(link.url)
    largest = max(members, key=lambda family: (len(members[family]), family.count("/")), default=None)
    if largest is None:
        return None
    enough = MIN_ITEMS if largest == "/*" else MIN_ITEMS_IN_FOLDER
    return largest if len(members[largest]) >= enough else None


def _family_of(url: str) -> str:
    """``url`` with its last segment, or the values of its query, replaced by ``*``."""
    parts = urlsplit(url)
    if parts.query:
        names = "&".join(sorted({name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}))
        return f"{parts.path}?{names}=*"
    head, _, _ = parts.path.rstrip("/").rpartition("/")
    return f"{head}/*"


def _next_page(links: Sequence[Link], here: str) -> str | None:
    """The page after ``here``: a link that says so, else the one with the next number."""
    for link in links:
        if link.url != here and _NEXT.search(link.text):
            return link.url
    number = _PAGE_NUMBER.search(here)
    following = str(int(number[1]) + 1 if number else 2)
    for link in links:
        found = _PAGE_NUMBER.search(link.url)
        if found and found[1] == following and link.text.strip() == following:
            return link.url
    return None


def _with_own_website(lead: Lead, page: PageView) -> Lead:
    """The directory's own address is not the business's: its website is a link that leads elsewhere and says so."""
    here = site_of(page.url)
    if lead.website and site_of(lead.website) != here:
        return lead
    for link in page.links:
        if site_of(link.url) != here and may_be_page(link.url) and _WEBSITE.search(link.text):
            return lead.model_copy(update={"website": link.url})
    return lead.model_copy(
        update={"website": None, "provenance": {k: v for k, v in lead.provenance.items() if k != "website"}}
    )


def _main_business(page: PageView) -> Lead | None:
    """The business a detail page is about: the one its link or its title names, else its first."""
    wanted = f"{page.visit.data} {page.title}".casefold()
    named = (lead for lead in page.leads if lead.display_name and lead.display_name.casefold() in wanted)
    return next(named, page.leads[0] if page.leads else None)
