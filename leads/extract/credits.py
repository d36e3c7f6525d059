"""Who made the site is not whom it is about: the parts of a page that credit its web agency.

A credit is a phrase ("Website by …") and what follows it: the rest of its line, and the lines below that hold
nothing but a way to reach the maker. What stands before the phrase is the business's own, and a weak phrase
("made by", which bakers write as well) counts only where the line speaks of a site or links to another one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from leads.domains import registered_domain
from leads.extract.document import Document, Line, Link, host_of

# All patterns are searched in lower case: without IGNORECASE the engine skips to the letters that may open them.
_BY = r"(?:by|von|par|door|por|di|da|av|af|przez|:|♥|❤)"
_AND = r"(?:and |und |et |en |y |e |i )?"
_SITE = (
    r"(?:web ?-?sites?|web ?-?pages?|web|net ?seiten?|site (?:web|internet)|sites?|sito(?: web)?|sitio(?: web)?|"
    r"themes?|strona|stron)"
)
_MADE = (
    r"(?:design(?:ed)?|develop(?:ed|ment)|created?|made|built|produced|crafted|maintained|managed|programming|"
    r"realisierung|umsetzung|gestaltung|entwicklung|programmierung|erstellt|réalisation|réalisé|création|conception|"
    r"diseño|diseñad[oa]|desarrollo|desarrollad[oa]|creación|realizzazione|realizzato|sviluppo|progettazione|"
    r"ontwerp|ontwikkeling|realisatie|gemaakt|desenvolvid[oa]|desenvolvimento|projekt|realizacja|wykonanie|"
    r"produktion|producerad)"
)
_MENTIONS_MAKER = re.compile(rf"{_BY}(?!\w)")
_STRONG = re.compile(
    rf"\b(?:{_SITE}[ ,&-]{{1,3}}(?:{_MADE}[ ,&/-]{{0,3}}{_AND}){{0,2}}{_BY}|"
    rf"web ?-?(?:design|development|entwicklung|designer|master|agency)\b[ &]{{0,3}}"
    rf"(?:and |& )?(?:development |hosting )?{_BY}|"
    rf"{_MADE}[ ,&/-]{{1,3}}{_AND}(?:(?:of|der|de|du|della|da|van de) )?(?:this |our |the )?{_SITE} {{0,2}}{_BY}|"
    rf"(?:powered|hosted)(?: and \w{{1,20}})? by)(?!\w)"
)
_WEAK = re.compile(rf"\b{_MADE}(?:[ ,&/-]{{1,3}}{_AND}{_MADE})?\s?(?:with \S{{1,9}} )?{_BY}(?!\w)")
_OF_A_SITE = re.compile(rf"(?<!\w){_SITE}(?!\w)|©|copyright|all rights")

MAX_CREDIT_TAIL = 300  # characters: a credit ends a footer, it does not open a paragraph
MAX_LINES_BELOW = 3  # name, phone and e-mail of an agency; a credit takes no more
MAX_CONTACT_LINE = 60
_WORD = re.compile(r"[^\W\d_]{3,}")
_INVITES = re.compile(r"\b(?:us|our|uns|nous|ons|noi|nos)\b", re.IGNORECASE)  # "Call us" is the business speaking
_REACHES = re.compile(r"@|(?:\d[\s().\-/–]{0,3}){6}|^(?:https?:|www\.)", re.IGNORECASE)


@dataclass(slots=True)
class Credits:
    """From which offset on each credited line speaks of the maker."""

    starts: dict[int, int] = field(default_factory=dict)

    def cover(self, line: int, offset: int = 0) -> bool:
        """Whether what stands in ``line`` at ``offset`` is the maker's."""
        start = self.starts.get(line)
        return start is not None and offset >= start

    def cover_link(self, link: Link, lines: list[Line]) -> bool:
        """Whether a link is the maker's; one without text of its own shares the fate of its line's end."""
        text = lines[link.line].text if link.line < len(lines) else ""
        place = text.find(link.text) if link.text else len(text)
        return self.cover(link.line, max(place, 0))

    def own_text(self, line: Line) -> str:
        """What the line says of the business itself."""
        start = self.starts.get(line.number)
        return line.text if start is None else line.text[:start]


def find_credits(document: Document) -> Credits:
    """The credits of a page, in one pass over its lines."""
    own = registered_domain(document.host)
    foreign = {link.line for link in document.links if link.url and registered_domain(host_of(link.url)) != own}
    reaching = {link.line for link in document.links if link.href.lower().startswith(("mailto:", "tel:"))}
    found = Credits()
    for line in document.lines:
        start = _credit_at(line, linked=line.number in foreign)
        if start is None:
            continue
        found.starts[line.number] = start
        for below in document.lines[line.number + 1 : line.number + 1 + MAX_LINES_BELOW]:
            if not _only_reaches(below.text, linked=below.number in reaching):
                break
            found.starts[below.number] = 0
    return found


def _credit_at(line: Line, *, linked: bool) -> int | None:
    shift = max(0, len(line.text) - MAX_CREDIT_TAIL)
    text = line.text[shift:].lower()
    if not _MENTIONS_MAKER.search(text):
        return None
    strong = _STRONG.search(text)
    if strong:
        return shift + strong.start()
    weak = _WEAK.search(text) if not shift else None
    return weak.start() if weak and (linked or _OF_A_SITE.search(text)) else None


def _only_reaches(text: str, *, linked: bool) -> bool:
    """Whether a line is a number or an address and its label, no invitation and no sentence."""
    if len(text) > MAX_CONTACT_LINE or not (linked or _REACHES.search(text)) or _INVITES.search(text):
        return False
    return len(_WORD.findall(text.partition("@")[0])) <= 3
