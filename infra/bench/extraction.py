"""Pages a second that one process reads leads from, beside a plain baseline on the same pages."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import phonenumbers
from selectolax.lexbor import LexborHTMLParser

from infra.bench.rows import Row
from infra.sample_town.businesses import build_town
from infra.sample_town.model import site_url
from infra.sample_town.replies import Page
from infra.sample_town.sites import build_sites
from leads.extract import extract

MEASURE_S = 5.0
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")


async def extraction() -> list[Row]:
    """Home pages of the town, and its directory's pages of businesses."""
    pages = _pages()
    ours = _per_second(extract, pages)
    plain = _per_second(_baseline, pages)
    against = f"libphonenumber's matcher and one regular expression on the text: {plain:.0f}"
    return [Row("extract_pages_per_s", round(ours, 1), "1/s", round(ours / plain, 2), against)]


def _baseline(html: str, _: str) -> list[str]:
    text = LexborHTMLParser(html).text(separator=" ")
    numbers = [found.raw_string for found in phonenumbers.PhoneNumberMatcher(text, "US")]
    return numbers + _EMAIL.findall(text)


def _per_second(read: Callable[[str, str], object], pages: list[tuple[str, str]]) -> float:
    for html, url in pages[:10]:
        read(html, url)  # libphonenumber loads its metadata country by country
    done, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < MEASURE_S:
        read(*pages[done % len(pages)])
        done += 1
    return done / took


def _pages() -> list[tuple[str, str]]:
    town = build_town()
    sites = build_sites(town)
    wanted = [(business.label, "/") for business in town.businesses]
    wanted += [("directory", f"/business/{business.label}") for business in town.businesses]
    replies = [(sites[label].reply(path, {}), site_url(label, path)) for label, path in wanted]
    return [(reply.body.decode(), url) for reply, url in replies if isinstance(reply, Page)]
