"""What makes sites of the town rough: dead links, loops, traps, pages that hang or never end, pop-ups."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from infra.sample_town.model import Business, PhoneFormat, Poison, Trait, site_url
from infra.sample_town.replies import Flood, Hang, Page, Redirect, Reply, html
from infra.sample_town.templating import render
from infra.sample_town.words import WORDS
from infra.sample_town.writing import written_phone

HUGE_PAGE_BYTES = 20_000_000
"""Size of the huge page: more than any contact page needs, and what a scraper must not hold in memory."""

CALENDAR_POISON_FROM = 40
"""The calendar page from which the trap bites: nobody who caps depth or pages per site comes this far."""


@dataclass(frozen=True, slots=True)
class RoughEdges:
    """What a site's traits add to it: ``links`` for the home page, ``footer`` and ``scripts`` for all, ``pages``."""

    links: Markup
    footer: Markup
    scripts: Markup
    pages: dict[str, Reply]
    calendar_poison: Poison | None = None

    def reply(self, path: str) -> Reply | None:
        """A page of the calendar that has no end; None when the path is not one, or there is no calendar."""
        match = re.fullmatch(r"/calendar/(\d{1,6})", path)
        if match is None or self.calendar_poison is None:
            return None
        return _calendar_page(int(match.group(1)), self.calendar_poison)


def rough_edges(business: Business, poisons: Sequence[Poison]) -> RoughEdges:
    """The rough edges of a business's main site, with the poisons that stand on it."""
    by_reason = {poison.reason: poison for poison in poisons}
    links: list[tuple[str, str]] = []
    pages: dict[str, Reply] = {}
    if business.has(Trait.ROBOTS):
        links.append(("/internal/night-desk", "Staff"))
        pages["/internal/night-desk"] = html(_poisoned("Staff only", by_reason["robots_disallowed"]))
    if business.has(Trait.BROKEN_LINKS):
        links += [("/contact-old", "Contact us (old page)"), ("/team.php?id=7", "Team")]
    if business.has(Trait.REDIRECT_LOOP):
        links.append(("/directions", "Directions"))
        pages["/directions"] = Redirect("/how-to-find-us", status=302)
        pages["/how-to-find-us"] = Redirect("/directions", status=302)
    if business.has(Trait.CALENDAR):
        links.append(("/calendar/1", "Events"))
    if business.has(Trait.HANGING_PAGE):
        links.append(("/partners", "Partners"))
        pages["/partners"] = Hang()
    if business.has(Trait.HUGE_PAGE):
        links.append(("/archive", "Archive"))
        pages["/archive"] = _huge_page(by_reason["end_of_huge_page"])
    if business.has(Trait.HANGING_IMAGE):
        pages["/counter.gif"] = Hang()
    if business.has(Trait.NOFOLLOW):
        pages["/login"] = Page(b"<!doctype html><title>Login</title><h1>403</h1>", status=403)
    return RoughEdges(
        links=_links(business, links),
        footer=_footer(business, by_reason),
        scripts=_scripts(business),
        pages=pages,
        calendar_poison=by_reason.get("calendar_trap"),
    )


def _links(business: Business, links: list[tuple[str, str]]) -> Markup:
    shown = Markup(" · ").join(Markup('<a href="{}">{}</a>').format(path, label) for path, label in links)
    if business.has(Trait.NOFOLLOW):
        shown += Markup('<a href="/login" rel="nofollow">Login</a>')
    for label in business.labels[1:]:
        shown += Markup('<a href="{}">{}</a>').format(site_url(label), label)
    if business.has(Trait.HANGING_IMAGE):
        shown += Markup('<img src="/counter.gif" width="1" height="1" alt="">')
    return Markup("<p>{}</p>").format(shown) if shown else Markup()


def _footer(business: Business, by_reason: dict[str, Poison]) -> Markup:
    if not business.has(Trait.AGENCY_FOOTER):
        return Markup()
    agency = by_reason["web_agency"]
    return Markup('<p class="muted">{} {} · {}</p>').format(
        WORDS[business.language].by_agency, agency.name, written_phone(agency.phone, PhoneFormat.INTERNATIONAL)
    )


def _scripts(business: Business) -> Markup:
    scripts = Markup()
    if business.has(Trait.NEWSLETTER_POPUP):
        scripts += render("newsletter.html", words=WORDS[business.language])
    if business.has(Trait.ALERT):
        scripts += Markup("<script>addEventListener('load', () => alert('Welcome!'));</script>")
    return scripts


def _poisoned(title: str, poison: Poison) -> str:
    phone = written_phone(poison.phone, PhoneFormat.INTERNATIONAL)
    return (
        f"<!doctype html><meta charset=utf-8><title>{escape(title)}</title><h1>{escape(poison.name)}</h1>"
        f"<p>Phone: {phone}</p><p>E-mail: {escape(poison.email)}</p>"
    )


def _calendar_page(day: int, poison: Poison) -> Page:
    ahead = "".join(f'<a href="/calendar/{day + step}">Day {day + step}</a> ' for step in (1, 2, 7, 30))
    if day >= CALENDAR_POISON_FROM:
        return html(_poisoned(f"Day {day}", poison) + ahead)
    return html(
        f"<!doctype html><meta charset=utf-8><title>Day {day}</title><h1>Day {day}</h1><p>No events.</p>{ahead}"
    )


def _huge_page(poison: Poison) -> Flood:
    return Flood(
        head=b"<!doctype html><meta charset=utf-8><title>Archive</title><h1>Archive</h1>",
        filler=b"<p>Minutes of a meeting at which nothing was decided, once more, and at length.</p>\n" * 700,
        tail=_poisoned("Archive", poison).encode(),
        size=HUGE_PAGE_BYTES,
    )
