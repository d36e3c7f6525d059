"""Sites that are no part of the town's truth: one to measure on, one that always moves, one of bare traps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from infra.sample_town.model import Look, PhoneFormat, site_url
from infra.sample_town.places import BENCH_AREA_CODES
from infra.sample_town.replies import Flood, Hang, Page, Redirect, Reply, StaticSite, html
from infra.sample_town.rough_edges import HUGE_PAGE_BYTES
from infra.sample_town.templating import render
from infra.sample_town.writing import written_phone

BENCH_LABEL = "bench"
CLOCK_LABEL = "clock"
TRAPS_LABEL = "traps"

CLOCK_PHONE = "+12025550142"
CLOCK_PHONE_COLOUR = "#ff00c8"
"""Background of the clock's phone number; nothing else on that page is near it, so a test finds it in a frame."""

_BENCH_NUMBERS_A_CODE = 100  # 555-0100 to 555-0199
_LOOK = Look(layout="bar", hue=150, logo="rings")


def bench_phone(number: int) -> str:
    """The phone on bench page ``number``, E.164; it repeats after 800 pages, which is all that fiction has."""
    area, line = divmod(number % (len(BENCH_AREA_CODES) * _BENCH_NUMBERS_A_CODE), _BENCH_NUMBERS_A_CODE)
    return f"+1{BENCH_AREA_CODES[area]}55501{line:02d}"


@dataclass(frozen=True, slots=True)
class BenchSite:
    """``/page/<n>``: any number of light pages, each a small business, linked to the next and to ``/contact``."""

    def reply(self, path: str, query: Mapping[str, str]) -> Reply | None:
        """Bench page ``n`` (``/`` is page 1), the contact page, or None."""
        if path == "/contact":
            return self._page(0, "Contact")
        match = re.fullmatch(r"/page/(\d{1,9})", "/page/1" if path == "/" else path)
        return self._page(int(match.group(1)), f"Bench Shop {match.group(1)}") if match else None

    def _page(self, number: int, title: str) -> Page:
        phone = written_phone(bench_phone(number), PhoneFormat.NATIONAL)
        return html(render("bench.html", look=_LOOK, lang="en", title=title, number=number, phone=phone))


def clock_site() -> StaticSite:
    """A page that never stands still: a sweeping canvas, a ticking number, and one phone in one colour."""
    phone = written_phone(CLOCK_PHONE, PhoneFormat.NATIONAL)
    return StaticSite({"/": html(render("clock.html", phone=phone, colour=CLOCK_PHONE_COLOUR))})


def traps_site() -> StaticSite:
    """Every way to lose a crawler, by its plain name; the town's own sites have each of them but once."""
    names = ("hang", "loop", "away", "huge", "missing", "error", "empty", "alert", "dialogs")
    links = "".join(f'<p><a href="/{name}">{name}</a></p>' for name in names)
    page = "<!doctype html><meta charset=utf-8><title>{}</title>{}"
    return StaticSite(
        {
            "/": html(page.format("Traps", f"<h1>Traps</h1>{links}")),
            "/hang": Hang(),
            "/loop": Redirect("/loop", status=302),
            "/away": Redirect(site_url(CLOCK_LABEL), status=302),
            "/huge": Flood(
                b"<!doctype html><title>Huge</title>", b"<p>More of the same.</p>\n" * 2_000, b"", HUGE_PAGE_BYTES
            ),
            "/error": html(page.format("Error", "<h1>500</h1>"), status=500),
            "/empty": Page(b""),
            "/alert": html(page.format("Alert", "<h1>Alert</h1><script>alert('one')</script>")),
            "/dialogs": html(
                page.format("Dialogs", "<h1>Dialogs</h1><script>confirm('two'); prompt('three')</script>")
            ),
        }
    )
