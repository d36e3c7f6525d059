"""Phone numbers: normalised by libphonenumber, and found in a line of text.

libphonenumber's word is final: a number is ``valid`` if it says so, and fictional ranges are whatever it
says. What it cannot know, the country of a number without ``+``, its callers rank (see
``leads.extract.evidence``) and pass in as a sequence of regions, most likely first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

import phonenumbers
from phonenumbers import Leniency, PhoneNumber, PhoneNumberFormat, PhoneNumberMatcher, PhoneNumberType

from leads.model import Phone, Validation

MAX_RAW = 200
MAX_TRIES = 60  # candidates libphonenumber may reject in one line before it gives the line up
_INTERNATIONAL_ONLY = "ZZ"
_NANP = 1

_LINE_TYPES = {
    PhoneNumberType.FIXED_LINE: "fixed_line",
    PhoneNumberType.MOBILE: "mobile",
    PhoneNumberType.FIXED_LINE_OR_MOBILE: "fixed_line_or_mobile",
    PhoneNumberType.TOLL_FREE: "toll_free",
    PhoneNumberType.PREMIUM_RATE: "premium_rate",
    PhoneNumberType.SHARED_COST: "shared_cost",
    PhoneNumberType.VOIP: "voip",
    PhoneNumberType.PERSONAL_NUMBER: "personal_number",
    PhoneNumberType.PAGER: "pager",
    PhoneNumberType.UAN: "uan",
    PhoneNumberType.VOICEMAIL: "voicemail",
}

_DIGITS = re.compile(r"\d")
_PLUS = re.compile("[+＋]")
_SIX_DIGITS = re.compile(r"(?:\D*\d){6}")
# 0044… is +44… nearly everywhere, unless it goes on a number ("01 99 00 72 83"); the blank keeps every offset.
_DOUBLE_ZERO = re.compile(r"(?<![\d+./-])(?<!\d[ )/.-])(?<!\d / )00(?=[ .]?[1-9](?:\d| ?\())")
# Brazil writes "(0xx11)" for "dial your carrier, then 11".
_CARRIER_CODE = re.compile(r"\(0(?:xx|\*\*)(\d\d)\)", re.IGNORECASE)
# "555-0139Fax: …": a label glued to a number hides it from libphonenumber; its first letter gives way to a blank.
_GLUED_LABEL = re.compile(r"(?<=\d)(?:F(?=ax)|T(?=el)|E(?=-?mail)|P(?=hone)|M(?=ob))")
# An area code in brackets opens a number, even right behind another one.
_OPENING = re.compile(r"(?<=\d{4}) {1,2}(?=(?:\+?1 ?)?\(\d{3}\) ?\d{3})")
# "555-0101 / 02", "020 7946 0000 or 7946 0001": what follows the separator takes the place of the last digits.
_SHARED_TAIL = re.compile(
    r"\s?(?:/|,|\bor\b|\band\b|\bund\b|\bet\b|\by\b|&)\s?[-–]?(\d{1,4}(?:[ .-]\d{3,4})?)"
    r"(?![\d\-./:)]|\s?[\d(]|\s?[A-Za-z]{3})"
)
_VANITY = re.compile(
    r"(?<![\w.+-])(?:\+?1[-. ]{0,2})?\(?([2-9]\d{2})(?:\)[-. ]{0,2}|[-. ]{1,2})((?:[A-Z0-9][-. "
    r"]?){6,14}[A-Z0-9])(?![A-Za-z0-9@])"
)
_NANP_SHAPE = re.compile(r"(?<!\d)(?:1[-. ]{0,2})?\(?[2-9]\d{2}\)?[-. ]{1,3}[2-9]\d{2}[-. ]{1,3}\d{4}(?!\d)")


_DATE = re.compile(r"\d{1,2}([-./])\d{1,2}\1(?:19|20)\d\d|(?:19|20)\d\d([-./])\d{1,2}\2\d{1,2}")
_YEAR = re.compile(r"(?:19|20)\d\d")
_RANGE = re.compile(r"(\d{4,6})\s?[-–]\s?(\d{4,6})")


@dataclass(frozen=True, slots=True)
class PhoneMatch:
    """A valid number in a line: its place, how it was written, and the region it was read for."""

    start: int
    end: int
    raw: str
    number: PhoneNumber


def normalise_phone(
    raw: str,
    region: str | None,
    *,
    source: str = "text",
    kind: str = "voice",
    confidence: float = 0.5,
    selector: str | None = None,
) -> Phone:
    """``raw`` as a `Phone`. ``region`` is asked for numbers without ``+``; without it those stay invalid."""
    try:
        number = phonenumbers.parse(_DOUBLE_ZERO.sub("+", raw[:MAX_RAW]), region or _INTERNATIONAL_ONLY)
    except phonenumbers.NumberParseException:
        return Phone(raw=raw[:MAX_RAW], kind=kind, source=source, confidence=0.0, phone_element_selector=selector)
    return phone_of(number, raw, source=source, kind=kind, confidence=confidence, selector=selector)


def best_phone(
    raw: str, regions: Sequence[str], *, source: str, kind: str, confidence: float, selector: str | None
) -> Phone:
    """`normalise_phone` for the first region that makes the number valid, else for the first region."""
    candidates = [
        normalise_phone(raw, region, source=source, kind=kind, confidence=confidence, selector=selector)
        for region in (None, *regions)
    ]
    order = (Validation.VALID, Validation.POSSIBLE, Validation.INVALID)
    return min(candidates, key=lambda phone: order.index(phone.validation_status))


def phone_of(
    number: PhoneNumber, raw: str, *, source: str, kind: str, confidence: float, selector: str | None
) -> Phone:
    """The model's value for a parsed number."""
    if phonenumbers.is_valid_number(number):
        status = Validation.VALID
    elif phonenumbers.is_possible_number(number):
        status = Validation.POSSIBLE
    else:
        status = Validation.INVALID
    return Phone(
        raw=raw[:MAX_RAW],
        normalized_e164=None if status is Validation.INVALID else e164(number),
        international=phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL),
        extension=number.extension or None,
        country=phonenumbers.region_code_for_number(number),
        kind=kind,
        line_type=_LINE_TYPES.get(phonenumbers.number_type(number)),
        validation_status=status,
        confidence=confidence if status is Validation.VALID else min(confidence, 0.3),
        source=source,
        phone_element_selector=selector,
    )


def e164(number: PhoneNumber) -> str:
    return str(phonenumbers.format_number(number, PhoneNumberFormat.E164))


def phone_in_href(href: str) -> str | None:
    """The number of a ``tel:``, ``callto:``, ``sms:`` or WhatsApp link as written, ``None`` for other links."""
    scheme, _, rest = href.strip().partition(":")
    scheme = scheme.lower()
    if scheme in ("tel", "phone", "telephone", "callto", "sms", "fax"):
        number = unquote(rest).lstrip("/").split("?")[0].strip()
        return number[:MAX_RAW] if _DIGITS.search(number) else None
    if scheme in ("http", "https", "whatsapp"):
        return _whatsapp_number(href.strip())
    return None


def _whatsapp_number(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").removeprefix("www.")
        if host == "wa.me":
            digits = re.sub(r"\D", "", parts.path.split("/")[1] if "/" in parts.path else "")
        elif host in ("api.whatsapp.com", "web.whatsapp.com", "send") and "phone=" in parts.query:
            digits = re.sub(r"\D", "", parse_qs(parts.query)["phone"][0])
        else:
            return None
    except (ValueError, KeyError, IndexError):
        return None
    return f"+{digits}" if 7 <= len(digits) <= 15 else None


def may_hold_phone(text: str) -> bool:
    """A cheap test that spares most lines the search."""
    return bool(_DIGITS.search(text) and (_SIX_DIGITS.match(text) or _VANITY.search(text)))


def has_nanp_shape(text: str) -> bool:
    """Whether a number is written the North American way: ``(212) 555-0100``, ``212.555.0100``."""
    return _NANP_SHAPE.search(text) is not None


def find_phones(text: str, regions: Sequence[str]) -> list[PhoneMatch]:
    """The valid numbers of ``text``, in order. Numbers with ``+`` need no region; others are asked of each in turn."""
    searched = _DOUBLE_ZERO.sub(" +", text)
    searched = _CARRIER_CODE.sub(lambda found: f"(0{found[1]})".ljust(len(found.group())), searched)
    searched = _OPENING.sub(lambda gap: ";" * len(gap.group()), _GLUED_LABEL.sub(" ", searched))
    matches: list[PhoneMatch] = []
    for region in (_INTERNATIONAL_ONLY, *regions):
        if region == _INTERNATIONAL_ONLY and not _PLUS.search(searched):
            continue
        if matches and not _SIX_DIGITS.match(_outside(searched, matches)):
            break
        for found in PhoneNumberMatcher(searched, region, Leniency.VALID, MAX_TRIES):
            if (
                not _overlaps(matches, found.start, found.end)
                and _is_grouped_well(found.raw_string, found.number)
                and not _is_date_or_range(found.raw_string)
            ):
                start = found.start - (searched[found.start] == "+" and text[found.start] == "0")
                matches.append(PhoneMatch(start, found.end, text[start : found.end], found.number))
    if any(region in ("US", "CA") for region in regions):
        matches.extend(_vanity_numbers(text, matches))
    matches.sort(key=lambda match: match.start)
    return [each for match in matches for each in (match, *_shared_tail(text, match, matches))]


def _outside(text: str, matches: Sequence[PhoneMatch]) -> str:
    """``text`` without what the matches cover."""
    kept, position = [], 0
    for match in sorted(matches, key=lambda each: each.start):
        kept.append(text[position : match.start])
        position = match.end
    return "".join((*kept, text[position:]))


def _is_grouped_well(raw: str, number: PhoneNumber) -> bool:
    """North American numbers end in four digits; ``20300 - 20399`` is a range of postal codes."""
    if number.country_code != _NANP or raw.startswith("+"):
        return True
    last = re.findall(r"\d+", raw.split("x", maxsplit=1)[0])[-1] if not number.extension else "0000"
    return len(last) == 4 or len(last) >= 7


def _is_date_or_range(raw: str) -> bool:
    """``26-08-2009`` is a day and ``08800 - 08899`` a range of codes: both are numbers somewhere by their digits."""
    if _DATE.fullmatch(raw):
        return True
    span = _RANGE.fullmatch(raw)
    return span is not None and len(span[1]) == len(span[2]) and span[1][:2] == span[2][:2] and span[1] < span[2]


def _overlaps(matches: Sequence[PhoneMatch], start: int, end: int) -> bool:
    return any(start < match.end and match.start < end for match in matches)


def _vanity_numbers(text: str, found: Sequence[PhoneMatch]) -> Iterator[PhoneMatch]:
    """``1-800-FLOWERS``: letters are keys; what is longer than a number is cut, as the exchange does."""
    for match in _VANITY.finditer(text):
        word = re.sub(r"[-. ]", "", match[2])
        if (
            len(word) < 7
            or sum(char.isalpha() for char in word[:7]) < 3
            or _overlaps(found, match.start(), match.end())
        ):
            continue
        digits = phonenumbers.convert_alpha_characters_in_number(match[1] + word)[:10]
        number = phonenumbers.parse(digits, "US")
        if phonenumbers.is_valid_number(number):
            yield PhoneMatch(match.start(), match.end(), match.group(), number)


def _shared_tail(text: str, match: PhoneMatch, found: Sequence[PhoneMatch]) -> Iterator[PhoneMatch]:
    """``555-0101 / 02`` is two numbers: the tail replaces the last digits of the first."""
    tail = _SHARED_TAIL.match(text, match.end)
    if not tail or match.number.extension or _overlaps(found, tail.start(1), tail.end(1)):
        return
    number = PhoneNumber()
    number.merge_from(match.number)
    national, ending = str(match.number.national_number), re.sub(r"\D", "", tail[1])
    if len(ending) >= len(national) or _YEAR.fullmatch(ending):
        return
    number.national_number = int(national[: -len(ending)] + ending)
    if number.national_number != match.number.national_number and phonenumbers.is_valid_number(number):
        yield PhoneMatch(tail.start(1), tail.end(1), text[match.start : tail.end()], number)
