"""Pages that are about another's business: directories, marketplaces, portals.

Such a page belongs to its site, and so do its title's tail, its copyright and its logo. The business is who the page
links to as "Website", or whose mail domain its heading spells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from urllib.parse import urlsplit

from leads.domains import own_domain
from leads.extract.document import Document, host_of, text_of
from leads.extract.profiles import network_of

MIN_LABEL = 4  # letters of a domain that must be met again: "ab.com" is in too many words
MAX_HEADINGS = 5
_FRONT_PAGE = re.compile(r"/?(?:(?:index|default|home)(?:\.\w{2,5})?)?/?", re.IGNORECASE)
_WEBSITE = re.compile(
    r"(?:(?:visit|view|go to|open)\s(?:the\s|our\s|their\s)?)?(?:official\s)?(?:web ?site|home ?page|web|"
    r"webseite|internet|internetseite|"
    r"site (?:web|internet)|sitio web|página web|sito(?: web| internet)?|webbplats|hemsida|hjemmeside|"
    r"strona(?: www)?|www|url)",
    re.IGNORECASE,
)
_CATEGORY = re.compile(
    r"(?:business\s)?(?:categor(?:y|ies)|type of business|business type|cuisines?|branche|rubrik|kategorie|catégories?|"
    r"activité|categorías?|categoria|categorie|kategoria|specialit(?:y|ies))",
    re.IGNORECASE,
)
MAX_CATEGORY = 40


def linked_website(document: Document) -> str | None:
    """The site that a listing's page calls the website of its business: a labelled link to another host."""
    for link in document.links:
        host = host_of(link.url)
        if not host or host == document.host or network_of(link.url):
            continue
        above = document.lines[link.line - 1].text if 0 < link.line <= len(document.lines) else ""
        line = document.lines[link.line].text if link.line < len(document.lines) else ""
        before = line.partition(link.text)[0] if link.text else line
        if any(_WEBSITE.fullmatch(label.strip(" :·|-")) for label in (link.text, before, above if not before else "")):
            return link.url
    return None


def listed_domain(document: Document, website: str | None, mail_domains: Sequence[str]) -> str | None:
    """The registered domain of the business that a page of another site lists, ``None`` for a business's own page.

    ``website`` is its `linked_website`.
    """
    own = own_domain(document.url)
    if own is None or own.startswith("example.") or _FRONT_PAGE.fullmatch(urlsplit(document.url).path):
        return None
    linked = own_domain(website)
    if linked and linked != own and not _is_spelled(document, own):
        return linked
    others = {domain for host in mail_domains if (domain := own_domain(host))} - {own}
    if len(others) == 1 and not _is_spelled(document, own):
        (other,) = others
        return other if _is_spelled(document, other) else None
    return None


def is_sites_profile(url: str, document: Document) -> bool:
    """Whether a profile is that of the site that lists the business: it spells the site's domain."""
    label = label_of(own_domain(document.url))
    return len(label) >= MIN_LABEL and label in re.sub(r"[^a-z0-9]", "", urlsplit(url).path.casefold())


def label_of(domain: str | None) -> str:
    """What was registered, as letters and digits: ``"oakdental"`` of ``"oak-dental.co.uk"``."""
    return re.sub(r"[^a-z0-9]", "", (domain or "").split(".")[0])


def listed_categories(document: Document) -> list[str]:
    """The trades that a listing files its business under: the value of a line labelled "Category"."""
    for line in document.lines:
        label, mark, rest = line.text.partition(":")
        if not _CATEGORY.fullmatch(label.strip()) or line.number + 1 >= len(document.lines):
            continue
        value = rest if mark and rest.strip() else document.lines[line.number + 1].text
        words = [word.strip() for word in re.split(r"[,;|/•·]", value[:200])]
        if all(0 < len(word) <= MAX_CATEGORY for word in words):
            return words
    return []


def _is_spelled(document: Document, domain: str) -> bool:
    """Whether a heading of the page spells a domain: "Oak Dental" for ``oak-dental.co.uk``."""
    label = label_of(domain)
    return len(label) >= MIN_LABEL and any(
        label in squeezed or (len(squeezed) >= MIN_LABEL and squeezed in label) for squeezed in _headings(document)
    )


def _headings(document: Document) -> Iterator[str]:
    for heading in islice(document.root.iter("h1", "h2"), MAX_HEADINGS):
        yield re.sub(r"[^a-z0-9]", "", text_of(heading, 200).casefold())
