"""What the business calls itself: candidates from all over the page vote for one another.

No single place is reliable: titles carry slogans, ``h1`` says "Contact us", logos have no ``alt``. A name that
several of them share, or that the domain spells, is the name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from urllib.parse import urlsplit

from leads.domains import own_domain
from leads.extract.credits import Credits
from leads.extract.document import Document, Element, clean, host_of, text_of
from leads.extract.listing import label_of

MAX_NAME = 120
MAX_CANDIDATES = 100  # each is compared with each
MAX_HEADINGS = 20
MAX_IMAGES = 40  # a banner is among the first pictures
LAST_BANNER_LINE = 3
MAX_SPELLED_WORDS = 6
PROSE_CHARS = 80  # a line this long is a sentence rather than a menu
MAX_DIGITS = 5  # "Studio 54", "1-2-3 Taxi", "24/7"; more is a phone or a postal code

_TITLE_SEPARATORS = re.compile(r"\s+[|\-–—»«›:·•~/]+\s+|\s*[|»«›•·]\s*|:\s+|\s+[-–—]\s*|--+")
_LEGAL_FORM = re.compile(
    r"\b(?:inc|llc|l\.l\.c|ltd|limited|llp|plc|corp|corporation|company|co|gmbh|ag|kg|ug|e\.v|ohg|gbr|s\.?a\.?r\.?l|sarl|sas|s\.a|s\.a\.s|"
    r"b\.?v|n\.?v|v\.?o\.?f|s\.?r\.?l|s\.?p\.?a|s\.?l|s\.?l\.?u|s\.r\.o|a\.s|sp\. z o\.o|pty ltd|pvt\.? ltd|"
    r"pty|ab|oy|a/s|aps|kft|bt|d\.o\.o|ltda|оoo|ооо|зао|оао|mmc|qsc|associates|& sons|& co)\b\.?",
    re.IGNORECASE,
)
_LEGAL_TAIL = re.compile(
    r"^(?P<name>.{2,80}?[\s,](?:inc|llc|l\.l\.c|ltd|limited|llp|plc|corp|corporation|gmbh|kg|ug|s\.?a\.?r\.?l|sas|s\.a|b\.?v|n\.?v|s\.?r\.?l|s\.?p\.?a|s\.?l\.?u?|"
    r"s\.r\.o|sp\. z o\.o|pty\.? ltd|pvt\.? ltd|ab|oy|a/s|aps|kft|d\.o\.o|ltda)\.?)(?=$|[\s,.;|–-])",
    re.IGNORECASE,
)
_COPYRIGHT = re.compile(
    r"(?:©|\(c\)|copyright|&copy;)[\s©:]{0,5}(?:copyright)?[\s©]{0,3}(?:\(c\))?\s{0,3}(?:by\s)?(?:(?:19|20)\d\d(?:\s?[-–/,]\s?(?:(?:19|20)?\d\d|present|today))?[\s,.:|-]{0,4}){0,3}(?:by\s)?"
    r"(?P<name>[^|•·©\n]{2,100})",
    re.IGNORECASE,
)
_COPYRIGHT_END = re.compile(
    r"\s{0,3}(?:[.,;|\-–:]?\s?\b(?:all rights?|alle rechte|tous droits|todos los derechos|tutti i diritti|"
    r"wszelkie|powered|designed|site by|website by|web design|privacy|terms|"
    r"copyright|registered|is a |are |used |(?:19|20)\d\d|a division|unless|no part|disclaimer|legal|sitemap|"
    r"contact)\b|[.;!]\s|\s[-–|]\s|,\s(?!inc|llc|ltd|l\.|s\.|corp|co\b)|©).*$",
    re.IGNORECASE,
)
_GENERIC = re.compile(
    r"^(?:the\s|our\s|your\s|my\s)?(?:contacts?(?:\s(?:us|info\w*|details|page|form|me|our \w+|the \w+))?|"
    r"home(?:\s?page)?|welcome|web ?site|about(?:\s(?:us|me|our .{0,30}|the company))?|"
    r"locations?|directions?|offices?|menu|services|products|news|blog|index|untitled(?: document)?|get in "
    r"touch|reach us|find us|where to find us|imprint|impressum|kontakt\w*|"
    r"contact(?:o|e|ez|ez-nous|eer|ar|atti)?(?: nous)?|contatti|chi siamo|über uns|startseite|accueil|inicio|"
    r"hem|om oss|over ons|search(?: results)?|login|site ?map|privacy.{0,20}|terms.{0,30}|"
    r"customer (?:service|support|care)|support|help|faqs?|team|staff|our team|staff directory|directory|main|"
    r"default|page not found|404.{0,20}|mentions légales|all rights.{0,30}|"
    r"logo|header|banner|hours.{0,30}|events?|gallery|photos?|testimonials|careers|feedback|email us|quick "
    r"links|follow us|navigation|call us.{0,30}|address|phone|telephone|more|cart|"
    r"mailing address|general (?:information|inquiries)|information|company|corporate|headquarters|"
    r"reservations|online|official (?:site|website).{0,20}|reviews?|opening hours|newsletter|share "
    r"this.{0,20}|"
    r"o nas|kontakty|onas|yhteystiedot|kapcsolat|iletişim|контакты|о компании|главная|profile|company profile|"
    r"about company|resources|top|connect|message|data|postal address|history|"
    r"mapa .{0,20}|sign (?:in|up)|skip to.{0,30}|toggle navigation|links)$",
    re.IGNORECASE,
)
_FRONT_PAGE = re.compile(r"/?(?:(?:index|default|home)(?:\.\w{2,5})?)?/?", re.IGNORECASE)
_WORD = re.compile(r"[\w'’&.-]{1,60}")
_SITES_OWN = frozenset(("og:site_name", "meta", "copyright", "logo"))  # where a site signs its pages
_HEADINGS = frozenset(("title", "og:title", "h1"))
_EDGE = " \t\n.,:;|-–—»«›•·~*\"'“”_/()[]"
_NOISE_PREFIX = re.compile(
    r"^(?:welcome to|contact(?:ing)?(?: us)?(?: at)?|about|home of|copyright|by|the official (?:site|website) "
    r"of|call|email|visit|willkommen bei|bienvenue chez|©)\s+",
    re.IGNORECASE,
)
_NOISE_SUFFIX = re.compile(
    r"(?:\s(?:home ?page|website|official site|logo|contact(?: us)?|home|contact information))$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Name:
    text: str
    source: str
    confidence: float


@dataclass(frozen=True, slots=True)
class _Candidate:
    text: str
    key: str
    source: str
    weight: float


def find_name(
    document: Document,
    structured: list[str],
    address_lines: list[int],
    credited: Credits,
    mail_domains: list[str],
    listed: str = "",
) -> Name | None:
    """The page's best name. ``structured`` are names that structured data gave; ``address_lines`` the first
    lines of its addresses, since the line above an address is often whose address it is; ``mail_domains`` where
    its e-mails are, which name the business when a page has no domain of its own to tell; ``listed`` the domain of the
    business if the page belongs to a site that lists it."""
    label = label_of(listed) if listed else _label(document, mail_domains)
    found = chain(_candidates(document, structured, address_lines, credited), _spelled_by_domain(document, label))
    candidates = list(islice(found, MAX_CANDIDATES))
    if listed:
        candidates = _of_the_listed(candidates, document)
    if not candidates:
        return None
    spoken = _Spoken(document, credited)
    menu = _menu(document)
    scored = [
        (_score(each, candidates, label) + spoken.bonus(each.text) - _page_malus(each, menu), each)
        for each in candidates
    ]
    score, best = max(scored, key=lambda row: (row[0], -len(row[1].text)))
    return Name(best.text, best.source, round(min(0.95, 0.2 + score / 4), 2))


def _of_the_listed(candidates: list[_Candidate], document: Document) -> list[_Candidate]:
    """The candidates without the names by which a directory calls itself."""
    site, signed = label_of(own_domain(document.url)), _fold(document.metas.get("og:site_name", "") or "-")
    return [
        each
        for each in candidates
        if each.source not in _SITES_OWN
        and each.key != signed
        and (len(site) < 4 or site not in each.key.replace(" ", ""))
    ]


def _label(document: Document, mail_domains: list[str]) -> str:
    """What the business has registered, as letters and digits: ``"oakdental"``; empty if nothing tells."""
    domain = own_domain(document.url) or ""
    if not domain or domain.startswith("example."):
        domains = {own for host in mail_domains if (own := own_domain(host)) and not own.startswith("example.")}
        domain = domains.pop() if len(domains) == 1 else ""
    return label_of(domain)


def _candidates(
    document: Document, structured: list[str], address_lines: list[int], credited: Credits
) -> Iterator[_Candidate]:
    for name in structured:
        yield from _candidate(name, "structured", 3.0)
    yield from _candidate(document.metas.get("og:site_name", ""), "og:site_name", 2.0)
    yield from _candidate(document.metas.get("application-name", ""), "meta", 1.4)
    yield from _from_title(document.title, "title")
    if document.metas.get("og:title", "") != document.title:
        yield from _from_title(document.metas.get("og:title", ""), "og:title")
    yield from _from_copyright(document, credited)
    for heading in islice(document.root.iter("h1"), MAX_HEADINGS):
        yield from _candidate(text_of(heading, 200), "h1", 1.0)
    for told in islice((each for each in document.told if each.attribute == "alt"), MAX_IMAGES):
        image, alt = told.element, told.text
        marks = f"{image.get('src') or ''} {image.get('class') or ''} {image.get('id') or ''} {alt}".lower()
        target = _target(document, image.getparent())
        if ("logo" in marks and target != "away") or (told.line <= LAST_BANNER_LINE and target == "home"):
            yield from _candidate(re.sub(r"(?i)\blogo\b", "", alt), "logo", 1.1)
    for first in address_lines[:4]:
        yield from _from_address_block(document, first)


def _target(document: Document, link: Element) -> str | None:
    """Where a link goes: ``"home"`` (the picture in it is the sign over the door), ``"inside"`` or ``"away"``."""
    if link is None or link.tag != "a" or not link.get("href"):
        return None
    return _target_of(document, document.resolve(link.get("href")) or "")


def _target_of(document: Document, url: str) -> str | None:
    if not url:
        return None
    if host_of(url).removeprefix("www.") != document.host.removeprefix("www."):
        return "away"
    return "home" if _FRONT_PAGE.fullmatch(urlsplit(url).path) else "inside"


def _menu(document: Document) -> frozenset[str]:
    """The keys of link texts that lead to inner pages only: a title that is one of them names its page."""
    targets: dict[str, set[str | None]] = {}
    for link in document.links:
        if 0 < len(link.text) <= MAX_NAME:
            targets.setdefault(link.text, set()).add(_target_of(document, link.url))
    return frozenset(_fold(text) for text, found in targets.items() if found == {"inside"})


def _spelled_by_domain(document: Document, label: str) -> Iterator[_Candidate]:
    """The words of the page that the domain runs together: "Oak Dental" for ``oakdental.example``."""
    if len(label) < 5:
        return
    for line in document.lines:
        if label[:3] not in line.text.casefold() or len(line.text) > 1_000:
            continue
        words = list(_WORD.finditer(line.text))
        for first, word in enumerate(words):
            run = ""
            for last in words[first : first + MAX_SPELLED_WORDS]:
                run += re.sub(r"[^a-z0-9]", "", last.group().casefold())
                if run == label and not (last is word and line.text[word.start() - 1 : word.start()] in ("@", "/")):
                    yield from _candidate(line.text[word.start() : last.end()], "domain", 0.8)
                    return
                if not label.startswith(run):
                    break


def _page_malus(candidate: _Candidate, menu: frozenset[str]) -> float:
    return 0.6 if candidate.source in _HEADINGS and candidate.key in menu else 0.0


class _Spoken:
    """How a page's sentences speak of a name: in its own spelling, amid prose, as one speaks of somebody."""

    def __init__(self, document: Document, credited: Credits) -> None:
        own = (credited.own_text(line) for line in document.lines)
        self._prose = "\n".join(text for text in own if len(text) >= PROSE_CHARS)

    def bonus(self, name: str) -> float:
        if len(name) < 5 or not name[0].isupper():
            return 0.0
        return min(0.8, 0.4 * self._prose.count(name))


def _from_title(title: str, source: str) -> Iterator[_Candidate]:
    pieces = [piece for piece in _TITLE_SEPARATORS.split(title) if piece and piece.strip(_EDGE)]
    for place, piece in enumerate(pieces):
        edge = 0.2 if place in (0, len(pieces) - 1) else 0.0
        yield from _candidate(piece, source, 1.0 + edge)


def _from_copyright(document: Document, credited: Credits) -> Iterator[_Candidate]:
    for line in document.lines:
        text = credited.own_text(line)
        if "©" not in text and "opyright" not in text and "(c)" not in text.lower() and "OPYRIGHT" not in text:
            continue
        for found in _COPYRIGHT.finditer(text[:600]):
            legal = _LEGAL_TAIL.match(found["name"])
            name = legal["name"] if legal else _COPYRIGHT_END.sub("", found["name"])
            yield from _candidate(name, "copyright", 1.5)


def _from_address_block(document: Document, first: int) -> Iterator[_Candidate]:
    for number in (first - 1, first - 2, first):
        if 0 <= number < len(document.lines):
            text = document.lines[number].text
            legal = _LEGAL_TAIL.match(text)
            if legal:
                yield from _candidate(legal["name"], "address_block", 1.5)
            elif number == first - 1 and not any(char.isdigit() for char in text):
                yield from _candidate(text, "address_block", 0.7)


def tidy_name(text: str) -> str | None:
    """``text`` as a name: no edge punctuation, no "Welcome to"; ``None`` where it cannot be one."""
    name = clean(text[:400]).strip(_EDGE)
    if _GENERIC.match(name):
        return None
    name = _NOISE_PREFIX.sub("", name)
    name = _NOISE_SUFFIX.sub("", name).strip(_EDGE)
    if name.count("(") > name.count(")"):
        name = f"{name})" if f"{name})" in text else name.replace("(", " ").strip()
    letters = sum(char.isalpha() for char in name)
    digits = sum(char.isdigit() for char in name)
    if not 2 <= len(name) <= MAX_NAME or letters < 2 or digits > MAX_DIGITS or len(name.split()) > 12 or "@" in name:
        return None
    return None if _GENERIC.match(name) or name.lower().startswith(("http:", "https:", "tel:")) else name


def _candidate(text: str, source: str, weight: float) -> Iterator[_Candidate]:
    name = tidy_name(text)
    if name:
        yield _Candidate(name, _fold(name), source, weight)


def _fold(text: str) -> str:
    return re.sub(r"[\W_]+", " ", _LEGAL_FORM.sub(" ", text).casefold()).strip() or text.casefold()


def _score(candidate: _Candidate, others: list[_Candidate], label: str) -> float:
    score = candidate.weight
    places = {candidate.source}
    squeezed = candidate.key.replace(" ", "")
    for other in others:
        if other is candidate or other.source in places or not other.key:
            continue
        if other.key == candidate.key:
            score += 0.8 * other.weight
            places.add(other.source)
        elif len(candidate.key) >= 4 and _contains(other.key, candidate.key):
            score += 0.35 * other.weight
            places.add(other.source)
    if label and len(squeezed) >= 3:
        initials = "".join(word[0] for word in candidate.key.split())
        if squeezed == label or (len(squeezed) >= 5 and squeezed.removeprefix("the") == label.removeprefix("the")):
            score += 2.0
        elif len(label) >= 5 and (squeezed.startswith(label) or label.startswith(squeezed)) and len(squeezed) >= 4:
            score += 1.2
        elif (len(label) >= 5 and label in squeezed) or (len(initials) >= 3 and initials == label):
            score += 0.9
    if _LEGAL_FORM.search(candidate.text) and candidate.source in ("copyright", "address_block", "title"):
        score += 0.5
    if len(candidate.text.split()) > 6:
        score -= 0.8
    if candidate.text[:1].islower():
        score -= 0.4
    return score


def _contains(text: str, part: str) -> bool:
    return f" {part} " in f" {text} "
