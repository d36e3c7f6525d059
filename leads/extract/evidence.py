"""Which country a line of a page speaks of: the clues of the whole page and those near the line, weighed.

A default region is the commonest cause of wrong numbers, so there is none. Every clue adds weight to a
region; a clue inside the page (a country as a heading, an address, a neighbour with ``+``) fades with distance.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import phonenumbers

from leads.addresses import find_coded_addresses
from leads.extract.credits import Credits
from leads.extract.document import Document, host_of
from leads.languages import language_of
from leads.phones import find_phones, has_nanp_shape, may_hold_phone
from leads.regions import CURRENCY_REGION, countries_in, region_of_host, region_of_language

# Weights are in units of "a plain language tag": what outweighs what is all that matters.
_TLD = 4.0
_COUNTRY_META = 3.0
_MAIL_TLD = 2.0
_TEXT_LANGUAGE = 1.0  # on top of the declared language, which a template may have brought
_PLUS_NUMBER = 3.0
_ADDRESS = 4.0
_COUNTRY_LINE = 3.0
_COUNTRY_IN_PROSE = 0.7
_CURRENCY = 0.5
_SHAPE_NANP = 2.5
_SHAPE_ANCHOR = 1.0
# A heading speaks for what follows it, hardly for what stands above it.
_REACH_BELOW = 12
_REACH_ABOVE = 4
_MAX_PAGE_SHARE = 8.0  # a page that repeats one country fifty times is no surer than one that says it thrice
_MAX_REGIONS = 4

_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?<!\d)\(?0(?:1\d{2,4}|2\d|3\d{2}|7\d{3}|8\d{2})\)?[ -]\d{3,4}[ -]?\d{3,4}(?!\d)"), "GB"),
    (re.compile(r"(?<!\d)1[38]00[ -]?\d{3}[ -]?\d{3}(?!\d)"), "AU"),
    (re.compile(r"(?<!\d)\(?0[2378]\)?[ -]\d{4}[ -]\d{4}(?!\d)"), "AU"),
    (re.compile(r"(?<!\d)0[1-9](?:[ .]\d\d){4}(?!\d)"), "FR"),
    (re.compile(r"(?<!\d)[6-9]\d{2}[ .]?\d{2}[ .]?\d{2}[ .]?\d{2}(?!\d)"), "ES"),
)


_CURRENCY_SIGN = re.compile("|".join(sorted(map(re.escape, CURRENCY_REGION), key=len, reverse=True)))


@dataclass(slots=True)
class RegionEvidence:
    """The clues of one page. ``ranked(line, text)`` is the answer: regions, most likely first."""

    page: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    near: list[tuple[int, str, float]] = field(default_factory=list)

    def add_page(self, region: str | None, weight: float) -> None:
        if region:
            self.page[region] = min(_MAX_PAGE_SHARE, self.page[region] + weight)

    def add_near(self, line: int, region: str | None, weight: float) -> None:
        """A clue in ``line``: strong for its neighbours, weak for the whole page."""
        if region:
            self.near.append((line, region, weight))
            self.add_page(region, weight / 3)

    def ranked(self, line: int | None = None, text: str = "") -> list[str]:
        scores = defaultdict(float, self.page)
        if line is not None:
            for place, region, weight in self.near:
                distance = line - place
                if -_REACH_ABOVE <= distance <= _REACH_BELOW:
                    scores[region] += weight / (1 + abs(distance) / 3)
        if has_nanp_shape(text):
            scores["US"] += _SHAPE_NANP
        for pattern, region in _SHAPES:
            if pattern.search(text):
                scores[region] += _SHAPE_ANCHOR
        return sorted(scores, key=lambda region: -scores[region])[:_MAX_REGIONS]


def gather(document: Document, credited: Credits, mail_domains: Iterable[str] = ()) -> RegionEvidence:
    """Every clue the page gives, in one pass over its lines; ``mail_domains`` are those of its e-mails."""
    evidence = RegionEvidence()
    for host in {document.host, host_of(document.canonical)}:
        evidence.add_page(region_of_host(host), _TLD)
    for domain in set(mail_domains):
        evidence.add_page(region_of_host(domain), _MAIL_TLD)
    _from_languages(document, evidence, credited)
    _from_metas(document, evidence)
    for line in document.lines:
        text = credited.own_text(line)
        for region in countries_in(text[:400])[:8]:
            evidence.add_near(line.number, region, _COUNTRY_LINE if len(text) <= 60 else _COUNTRY_IN_PROSE)
        if "+" in text and may_hold_phone(text):
            for match in find_phones(text, ()):
                evidence.add_near(line.number, phonenumbers.region_code_for_number(match.number), _PLUS_NUMBER)
    signs = {found.group() for line in document.lines[:400] for found in _CURRENCY_SIGN.finditer(line.text)}
    for region in {CURRENCY_REGION[sign] for sign in signs}:
        evidence.add_page(region, _CURRENCY)
    for found in find_coded_addresses([line.text for line in document.lines], _no_ranking):
        if found.confidence >= 0.8:
            evidence.add_near(found.last_line, found.address.country, _ADDRESS)
    return evidence


def _no_ranking(_: int) -> Sequence[str]:
    return ()


def _from_languages(document: Document, evidence: RegionEvidence, credited: Credits) -> None:
    tags = [document.language, document.metas.get("og:locale", ""), document.metas.get("content-language", "")]
    tags += document.own_languages
    for found in filter(None, map(region_of_language, filter(None, tags))):
        evidence.add_page(*found)
    written = region_of_language(language_of(credited.own_text(line) for line in document.lines) or "")
    if written:
        evidence.add_page(written[0], _TEXT_LANGUAGE)


def _from_metas(document: Document, evidence: RegionEvidence) -> None:
    geo = document.metas.get("geo.region") or document.metas.get("geo.country") or ""
    code = geo.split("-")[0].strip().upper()
    if len(code) == 2:
        evidence.add_page("GB" if code == "UK" else code, _COUNTRY_META)
    for key in ("og:country-name", "business:contact_data:country_name"):
        for region in countries_in(document.metas.get(key, "")):
            evidence.add_page(region, _COUNTRY_META)
