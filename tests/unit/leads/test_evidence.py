"""The country of a number without ``+``: every clue that a page can give, alone and against another."""

from __future__ import annotations

import pytest

from leads.extract import extract
from leads.model import Validation

SWEDISH = "Vi är en familj och vår butik ligger vid ån, inte långt från torget. Vi bakar till och med för dig."

GERMAN_STORE = """<script type='application/ld+json'>
{"@type": "Store", "name": "Mill", "address": {"addressCountry": "DE"}}</script>"""


def first_country(body: str, head: str = "", url: str = "https://bakery.example.com/", lang: str = "") -> str | None:
    leads = extract(f"<html lang='{lang}'><head>{head}</head><body>{body}</body></html>", url)
    phones = [phone for lead in leads for phone in lead.phones if phone.validation_status is Validation.VALID]
    return phones[0].country if phones else None


@pytest.mark.parametrize(
    ("body", "head", "url", "lang", "country"),
    [
        ("<p>Tel 08-555 123 45</p>", "", "https://bakery.se/", "", "SE"),
        ("<p>Tel 08-555 123 45</p>", "", "https://bakery.example.com/", "sv", "SE"),
        ("<p>Tel 08-555 123 45</p><p>hej@bageriet.se</p>", "", "https://bakery.example.com/", "en-US", "SE"),
        (f"<p>{SWEDISH}</p><p>Tel 08-555 123 45</p>", "", "https://bakery.example.com/", "en", "SE"),
        ("<p>Tel 08-555 123 45</p>", "<link rel=canonical href='https://bakery.se/'>", "file:///saved.html", "", "SE"),
        ("<p>Tel 08-555 123 45</p>", "<link rel=alternate hreflang=sv-SE href='https://bakery.example.com/'>",
         "https://bakery.example.com/", "", "SE"),
        ("<p>Tel 08-555 123 45</p>", "<link rel=alternate hreflang=sv-SE href='https://bakery.example.com/sv'>",
         "https://bakery.example.com/", "", None),
        ("<p>Tel 08-555 123 45</p><p>Sverige</p>", "", "https://bakery.example.com/", "", "SE"),
        ("<p>Tel 08-555 123 45, international +46 8 555 123 46</p>", "", "https://bakery.example.com/", "", "SE"),
        ("<p>Tel 020 7946 0000</p><p>Cakes from £3</p>", "", "https://bakery.example.com/", "", "GB"),
        ("<p>Tel 030 23125001</p><p>Ring 1<br>10437 Berlin<br>Germany</p>", "", "https://bakery.example.com/", "",
         "DE"),
        ("<p>Tel 2555 0123</p><p>25 Willow Road, Central, Hong Kong</p>", "", "https://bakery.example.com/", "", "HK"),
        (f"<p>Tel 030 23125001</p>{GERMAN_STORE}", "", "https://bakery.example.com/", "", "DE"),
        ("<p>Tel 030 23125001</p>", "<meta name=geo.region content=DE-BE>", "https://bakery.example.com/", "", "DE"),
        ("<p>Tel 08-555 123 45</p>", "", "https://bakery.example.com/", "", None),
        ("<p>Call (212) 555-0142</p>", "", "https://bakery.se/", "en", "US"),
    ],
)  # fmt: skip
def test_every_clue_tells_the_country(body: str, head: str, url: str, lang: str, country: str | None) -> None:
    assert first_country(body, head, url, lang) == country


def test_a_makers_mail_is_no_clue() -> None:
    assert first_country("<p>Tel 08-555 123 45</p><p>Website by Pixel, hej@pixel.se</p>") is None
