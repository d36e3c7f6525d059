"""Phones and e-mails of a page, each with the line it stands in, from links, attributes and visible text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from phonenumbers import region_code_for_number

from leads.emails import email_detail, emails_in_href, find_emails, is_placeholder
from leads.extract.credits import Credits
from leads.extract.document import NUMBER_ATTRIBUTES, Document, Element, Line, selector_of, text_of
from leads.extract.evidence import RegionEvidence
from leads.model import Email, Phone, Validation
from leads.phones import PhoneMatch, best_phone, e164, find_phones, may_hold_phone, phone_in_href, phone_of

_FAX = re.compile(
    r"\b(?:tele)?fax\w{0,3}\b|facsimile|télécopie|\bfaks\w{0,2}\b|факс|\bf(?=\s{0,2}[:.])|(?:^|[|/•·,;\d])\s{0,3}f(?=\s{0,3}$)|传真|ファックス",
    re.IGNORECASE,
)
_VOICE = re.compile(
    r"\b(?:tel\w{0,10}|tél\w{0,9}|phone\w{0,2}|ph|call|mob\w{0,4}|cell\w{0,4}|gsm|handy|fon|voice|hotline|direct|office|main|toll|"
    r"whatsapp|sms|puh\w{0,6}|tlf|t|p|m)(?=\b|\s|:|\.)|тел|电话|電話|☎|✆|📞|☏",
    re.IGNORECASE,
)
_BOTH = re.compile(r"(?:tel\w{0,7}|phone|ph)\.?\s{0,2}(?:/|&|and|\+|und|et|y)\s{0,2}(?:tele)?fax", re.IGNORECASE)
_NO_PHONE = re.compile(
    r"(?:\bvat|\bbtw|\babn|\bacn|\bkvk|\bein|\bcif|\bnif|\bnip|\bregon|\bkrs|\bsiret|\bsiren|\brcs|\biban|"
    r"\bbic|\bswift|p\. ?iva|"
    r"partita iva|\bisbn|\bissn|\bcnpj|\border (?:no|nr|number|id|ref)|item|\bsku|model|part (?:no|number)|"
    r"licen[cs]e|registration|"
    r"reg(?:istered)?\.? (?:no|number)|"
    r"company (?:no|number)|\bid|\binvoice|\baccount|serial|handelsregister|ust-?id\w*|hrb|\bnmls|\bdre|\bcrd|"
    r"konto\w*|\bpatent\w*|\bпин|инн|огрн|унп|р/с|\bfax id)"
    r"[\w. ]{0,12}[#:№.\s]{0,4}$",
    re.IGNORECASE,
)
_LABEL_REACH = 45
MAX_PHONES = 1_000  # of one page; what lists more is a table of something else
# "555-0100 (fax)", and "555-0100 fax" where nothing follows that the word could speak of.
_LABEL_BEHIND = re.compile(
    r"\s{0,2}[(\[]\s{0,2}(?:(?P<fax>(?:tele)?fax|f)|tel|phone|voice|office|mobile|cell|t|m|o)\b", re.IGNORECASE
)
_LAST_WORD = re.compile(
    r"\s{0,2}[\-–,]?\s{0,2}(?:(?P<fax>(?:tele)?fax)|tel|telephone|phone|voice|office|mobile|cell)\W{0,3}$",
    re.IGNORECASE,
)
MAX_COLUMNS = 30
_FRAGMENT = re.compile(r"^[+()\d][\d\s().\-/–]{0,11}$")


@dataclass(frozen=True, slots=True)
class FoundPhone:
    line: int
    phone: Phone


@dataclass(frozen=True, slots=True)
class FoundEmail:
    line: int
    email: Email


def find_page_phones(document: Document, evidence: RegionEvidence, credited: Credits) -> list[FoundPhone]:
    """Every number of the page in reading order; one that stands in a link and in its text comes twice."""
    found = [
        *_linked_phones(document, evidence, credited),
        *islice(_text_phones(document, evidence, credited), MAX_PHONES),
        *islice(_told_phones(document, evidence, credited), MAX_PHONES),
    ]
    return sorted(found, key=lambda each: each.line)


def find_page_emails(document: Document, credited: Credits) -> list[FoundEmail]:
    """Every address of the page in reading order, duplicates included."""
    found: list[FoundEmail] = []
    for link in document.links:
        addresses = emails_in_href(link.href)
        if addresses and credited.cover_link(link, document.lines):
            continue
        found += [
            FoundEmail(link.line, email_detail(address, "mailto_link", 0.95))
            for address in addresses
            if not is_placeholder(address)
        ]
    for line in document.lines:
        matches = find_emails(credited.own_text(line))
        found += [FoundEmail(line.number, email_detail(m.address, "text", m.confidence)) for m in matches]
    for told in document.told:
        matches = find_emails(told.text) if told.line not in credited.starts else []
        found += [FoundEmail(told.line, email_detail(m.address, "attribute", min(0.7, m.confidence))) for m in matches]
    return sorted(found, key=lambda each: each.line)


def _linked_phones(document: Document, evidence: RegionEvidence, credited: Credits) -> Iterator[FoundPhone]:
    for link in document.links:
        raw = phone_in_href(link.href)
        if raw is None or credited.cover_link(link, document.lines):
            continue
        context = _context(document, link.line, link.text)
        is_fax = link.href.lower().startswith("fax:") or (kind_of_label(context) == "fax")
        phone = best_phone(
            raw,
            evidence.ranked(link.line, raw),
            source="tel_link",
            kind="fax" if is_fax else "voice",
            confidence=0.95,
            selector=selector_of(link.element),
        )
        yield FoundPhone(link.line, phone)


def _context(document: Document, number: int, text: str) -> str:
    """What stands before ``text`` in its line, or the line above when nothing does."""
    if number >= len(document.lines):
        return ""
    line = document.lines[number].text
    place = line.find(text) if text else -1
    before = line[:place] if place > 0 else ""
    return before or (document.lines[number - 1].text if number else "")


def _text_phones(document: Document, evidence: RegionEvidence, credited: Credits) -> Iterator[FoundPhone]:
    seen: set[str] = set()
    for line, is_joined in _searchable_lines(document):
        text = line.text
        ranked = evidence.ranked(line.number, text)
        for match in find_phones(text, ranked):
            number = e164(match.number)
            if credited.cover(line.number, match.start) or (is_joined and number in seen):
                continue
            seen.add(number)
            before = _label_before(document, line, match)
            if _NO_PHONE.search(before) or _is_bare_number(text, match, before, ranked):
                continue
            labelled = _VOICE.search(before) is not None or _FAX.search(before) is not None
            phone = phone_of(
                match.number,
                match.raw,
                source="text",
                kind=_kind(text, match, before, line.element_at(match.start)),
                confidence=0.85 if labelled else 0.7,
                selector=selector_of(line.element_at(match.start)),
            )
            yield FoundPhone(line.number, phone)


def _searchable_lines(document: Document) -> Iterator[tuple[Line, bool]]:
    """The lines that may hold a number, and, marked as joined, short runs of lines that only together do ("020" above
    "7946 0000")."""
    fragments: list[Line] = []
    for line in document.lines:
        if may_hold_phone(line.text):
            yield line, False
        if _FRAGMENT.match(line.text) and len(fragments) < 4:
            fragments.append(line)
            continue
        if len(fragments) > 1:
            yield _joined(fragments), True
        fragments = [line] if _FRAGMENT.match(line.text) else []
    if len(fragments) > 1:
        yield _joined(fragments), True


def _joined(lines: list[Line]) -> Line:
    first = lines[0]
    return Line(first.number, " ".join(line.text for line in lines), first.pieces, first.tag)


def _told_phones(document: Document, evidence: RegionEvidence, credited: Credits) -> Iterator[FoundPhone]:
    for told in document.told:
        text = told.text
        if told.line in credited.starts or not may_hold_phone(text):
            continue
        ranked = evidence.ranked(told.line, text)
        is_labelled = told.attribute in NUMBER_ATTRIBUTES
        for match in find_phones(text, ranked):
            before = text[: match.start]
            if not is_labelled and (_NO_PHONE.search(before) or _is_bare_number(text, match, before, ranked)):
                continue
            kind = "fax" if told.attribute == "data-fax" else kind_of_label(before) or "voice"
            phone = phone_of(
                match.number,
                match.raw,
                source="attribute",
                kind=kind,
                confidence=0.6,
                selector=selector_of(told.element),
            )
            yield FoundPhone(told.line, phone)


def _label_before(document: Document, line: Line, match: PhoneMatch) -> str:
    """The words right before the number: of its line, or the line above where the number opens its line."""
    before = line.text[max(0, match.start - _LABEL_REACH) : match.start]
    if any(char.isalpha() for char in before) or line.number == 0:
        return before
    above = document.lines[line.number - 1].text
    return f"{above[-_LABEL_REACH:]} {before}" if len(above) <= _LABEL_REACH else before


def kind_of_label(text: str) -> str | None:
    """``"fax"`` or ``"voice"`` by the last label in ``text``, ``None`` without one."""
    if _BOTH.search(text[-_LABEL_REACH:]):
        return "voice"
    fax = max((found.start() for found in _FAX.finditer(text)), default=-1)
    voice = max((found.start() for found in _VOICE.finditer(text)), default=-1)
    if fax == voice == -1:
        return None
    # "Telefax" matches both at one place; the longer word is the fax.
    return "fax" if fax >= voice else "voice"


def _kind(text: str, match: PhoneMatch, before: str, element: Element) -> str:
    """``"fax"`` or ``"voice"``, by the nearest label: in brackets behind the number, before it, behind it, above."""
    behind = text[match.end : match.end + 20]
    bracketed = _LABEL_BEHIND.match(behind)
    if bracketed:
        return "fax" if bracketed["fax"] else "voice"
    own = kind_of_label(text[max(0, match.start - _LABEL_REACH) : match.start])
    if own is None and (last := _LAST_WORD.match(text[match.end : match.end + 40])):
        return "fax" if last["fax"] else "voice"
    return own or kind_of_label(_column_header(element)) or kind_of_label(before) or "voice"


def _column_header(element: Element) -> str:
    """The text at the top of the table's column in which ``element`` stands, empty outside of tables."""
    cell = next((node for node in (element, *islice(element.iterancestors(), 6)) if node.tag == "td"), None)
    row = cell.getparent() if cell is not None else None
    table = next(row.iterancestors("table"), None) if row is not None else None
    first = next(table.iter("tr"), None) if table is not None else None
    if cell is None or first is None or first is row:
        return ""
    place = len(list(islice(cell.itersiblings(preceding=True), MAX_COLUMNS)))
    header = next(islice(first.iterchildren(), place, None), None)
    return text_of(header, 60) if header is not None else ""


def _is_bare_number(text: str, match: PhoneMatch, before: str, ranked: Sequence[str]) -> bool:
    """A run of digits that nothing calls a phone is an article number as often as not.

    Alone in its line it is a phone, if it is one of the country that the page most likely speaks of.
    """
    if not match.raw.isdigit() or match.raw.startswith("0"):
        return False
    if _VOICE.search(before) or _FAX.search(before):
        return False
    return text.strip() != match.raw or region_code_for_number(match.number) not in ranked[:1]


def merge_phones(found: list[Phone], limit: int = 50) -> list[Phone]:
    """One entry a number: the surest reading wins, and keeps the element of a reading that has one; numbers without
    E.164 are told apart by how they are written."""
    best: dict[str, Phone] = {}
    for phone in found:
        key = f"{phone.normalized_e164 or phone.raw}x{phone.extension or ''}"
        held = best.setdefault(key, phone)
        surer, other = (phone, held) if _rank(phone) > _rank(held) else (held, phone)
        if surer.phone_element_selector is None and other.phone_element_selector is not None:
            surer = surer.model_copy(update={"phone_element_selector": other.phone_element_selector})
        best[key] = surer
    return list(best.values())[:limit]


def _rank(phone: Phone) -> tuple[bool, float]:
    return phone.validation_status is Validation.VALID, phone.confidence
