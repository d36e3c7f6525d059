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
# "555·0101": a dot at half height is a dot.
_HALF_DOT = re.compile(r"(?<=\d)[·•‧∙](?=\d)")
# "23125-001 / -002": the hyphen says that the second number lacks its beginning; libphonenumber would read one.
_CUT_TAIL = re.compile(r"(?<=\d)\s?/(?=\s?[-–]\d{1,4}(?!\d))")
# "555-0101 / 02", "020 7946 0000 or 7946 0001": what follows the separator takes the place of the last digits.
_SHARED_TAIL = re.compile(
    r"\s?(?:/|,|;|\bor\b|\band\b|\bund\b|\bet\b|\by\b|\bo\b|&)\s?[-–]?(\d{5,8}|\d{1,4}(?:[ .-]\d{3,4})?)"
    r"(?![\d\-.:)]|\s?[\d(]|\s?[A-Za-z]{3})"
)
MAX_TAILS = 8  # a switchboard's row of lines; a longer one is a table of something else
# "(ext. 204)", "Durchwahl 204": libphonenumber reads English and Spanish labels, and none in brackets.
_EXTENSION = re.compile(
    r"\s{0,2}[,;]?\s{0,2}[(\[]?\s?(?:ext(?:n|ension)?|int(?:erno)?|extensi[oó]n|durchwahl|dw|nebenstelle|poste|wew|wewn|ramal|"
    r"toestel|anknytning|lokal|anexo|доб|вн)\b\.?\s{0,2}[:#]?\s{0,2}(\d{1,6})(?![\d-])\s?[)\]]?",
    re.IGNORECASE,
)
_VANITY = re.compile(
    r"(?<![\w.+-])(?:\+?1[-. ]{0,2})?\(?([2-9]\d{2})(?:\)[-. ]{0,2}|[-. ]{1,2})((?:[A-Z0-9][-. "
    r"]?){6,14}[A-Z0-9])(?![A-Za-z0-9@])"
)
# "1-800-Flowers": small letters only right behind the hyphen of a free number, because "1 800 rooms" is a hotel.
_FREE_VANITY = re.compile(
    r"(?<![\w.+-])\+?1-(8(?:00|33|44|55|66|77|88))-((?:[A-Za-z0-9]-?){6,14}[A-Za-z0-9])(?![A-Za-z0-9@])"
)
# "1300 FLOWER", "13 CABS", "0800 FLOWERS": country, the prefix and how many keys follow it.
_VANITY_ABROAD: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = (
    (
        ("AU",),
        re.compile(
            r"(?<![\w.+-])(1[38]00)[- ]((?=[A-Z0-9 -]{0,9}[A-Z]{3})(?:[A-Z0-9][- ]?){5,11}[A-Z0-9])(?![A-Za-z0-9@])"
        ),
    ),
    (("AU",), re.compile(r"(?<![\w.+-])(13)[- ]([A-Z]{4})(?![A-Za-z0-9@])")),
    (
        ("GB", "NZ", "ZA", "IE"),
        re.compile(
            r"(?<![\w.+-])(0[38]00)[- ]((?=[A-Z0-9 -]{0,9}[A-Z]{3})(?:[A-Z0-9][- ]?){5,10}[A-Z0-9])(?![A-Za-z0-9@])"
        ),
    ),
)
_SPELLED = (_VANITY, _FREE_VANITY, *(pattern for _, pattern in _VANITY_ABROAD))
_KEYS_ABROAD = {"13": 4, "1300": 6, "1800": 6, "0800": 7, "0300": 7}
# Mexico dialled 01, 044 and 045 before a number, and 1 behind +52, until 2019; pages go on printing them.
_MEXICAN_TRUNK = re.compile(r"(?<![\d+])\(?0(?:1|44|45)\)?(?=[ .-]{0,3}\(?[1-9](?:[ ().-]{0,3}\d){9}(?!\d))")
_MEXICAN_PLUS = re.compile(r"\+52([ .-]{0,2}\(?0?1\)?)(?=[ .-]{0,3}\(?[2-9](?:[ ().-]{0,3}\d){9}(?!\d))")
_NANP_SHAPE = re.compile(r"(?<!\d)(?:1[-. ]{0,2})?\(?[2-9]\d{2}\)?[-. ]{1,3}[2-9]\d{2}[-. ]{1,3}\d{4}(?!\d)")


_DATE = re.compile(r"\d{1,2}([-./])\d{1,2}\1(?:19|20)\d\d|(?:19|20)\d\d([-./])\d{1,2}\2\d{1,2}")
_GROUP_OF_DIGITS = re.compile(r"\d+")
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
    digits = _MEXICAN_PLUS.sub("+52", _DOUBLE_ZERO.sub("+", raw[:MAX_RAW]))
    if region == "MX":
        digits = _MEXICAN_TRUNK.sub("", digits)
    try:
        number = phonenumbers.parse(digits, region or _INTERNATIONAL_ONLY)
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
    """The number of a ``tel:``, ``callto:``, ``sms:``, WhatsApp or Viber link as written, ``None`` for other links."""
    scheme, _, rest = href.strip().partition(":")
    scheme = scheme.lower()
    if scheme in ("tel", "phone", "telephone", "callto", "sms", "fax"):
        number = unquote(rest).lstrip("/").split("?")[0].strip()
        return number[:MAX_RAW] if _DIGITS.search(number) else None
    if scheme in ("http", "https", "whatsapp", "viber") or href.lstrip().startswith("//"):
        return _messenger_number(href.strip())
    return None


def _messenger_number(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").removeprefix("www.")
        if host == "wa.me":
            digits = re.sub(r"\D", "", parts.path.split("/")[1] if "/" in parts.path else "")
        elif host in ("api.whatsapp.com", "web.whatsapp.com", "send") and "phone=" in parts.query:
            digits = re.sub(r"\D", "", parse_qs(parts.query)["phone"][0])
        elif parts.scheme == "viber" and "number=" in parts.query:
            digits = re.sub(r"\D", "", parse_qs(parts.query)["number"][0])
        else:
            return None
    except (ValueError, KeyError, IndexError):
        return None
    return f"+{digits}" if 7 <= len(digits) <= 15 else None


def may_hold_phone(text: str) -> bool:
    """A cheap test that spares most lines the search."""
    if not _DIGITS.search(text):
        return False
    return bool(_SIX_DIGITS.match(text) or any(pattern.search(text) for pattern in _SPELLED))


def has_nanp_shape(text: str) -> bool:
    """Whether a number is written the North American way: ``(212) 555-0100``, ``212.555.0100``."""
    return _NANP_SHAPE.search(text) is not None


def find_phones(text: str, regions: Sequence[str]) -> list[PhoneMatch]:
    """The valid numbers of ``text``, in order. Numbers with ``+`` need no region; others are asked of each in turn."""
    searched = _searchable(text)
    matches: list[PhoneMatch] = []
    for region in (_INTERNATIONAL_ONLY, *regions):
        if region == _INTERNATIONAL_ONLY and not _PLUS.search(searched):
            continue
        if matches and not _SIX_DIGITS.match(_outside(searched, matches)):
            break
        asked = _MEXICAN_TRUNK.sub(_blank, searched) if region == "MX" else searched
        for found in PhoneNumberMatcher(asked, region, Leniency.VALID, MAX_TRIES):
            if (
                not _overlaps(matches, found.start, found.end)
                and _is_grouped_well(found.raw_string, found.number)
                and not _is_date_or_range(found.raw_string)
            ):
                matches.append(_with_extension(text, _start(text, found.start, searched), found.end, found.number))
    matches.extend(_vanity_numbers(text, regions, matches))
    matches.sort(key=lambda match: match.start)
    return [each for match in matches for each in (match, *_shared_tails(text, match, matches))]


def _searchable(text: str) -> str:
    """``text`` as libphonenumber reads it best, every offset kept."""
    searched = _DOUBLE_ZERO.sub(" +", text)
    searched = _CARRIER_CODE.sub(lambda found: f"(0{found[1]})".ljust(len(found.group())), searched)
    searched = _OPENING.sub(lambda gap: ";" * len(gap.group()), _GLUED_LABEL.sub(" ", searched))
    searched = _CUT_TAIL.sub(lambda cut: ";".rjust(len(cut.group())), _HALF_DOT.sub(".", searched))
    # The country code moves up to the number: libphonenumber takes a wide gap for the end of one.
    return _MEXICAN_PLUS.sub(lambda found: "+52".rjust(len(found.group())), searched) if "+52" in searched else searched


def _blank(found: re.Match[str]) -> str:
    return " " * len(found.group())


def _start(text: str, start: int, searched: str) -> int:
    """Where a match of `_searchable` text begins in ``text``: before the ``00`` or ``+52 1`` that was rewritten."""
    if text[start] == searched[start]:
        return start
    code = text.rfind("52", 0, start + 3) if searched.startswith("+52", start) else start + 1
    return code - 1 if text[code - 1] == "+" else code - 2


def _with_extension(text: str, start: int, end: int, number: PhoneNumber) -> PhoneMatch:
    """The match, joined by the extension that is written behind it."""
    label = None if number.extension else _EXTENSION.match(text, end)
    if label:
        extended = PhoneNumber()
        extended.merge_from(number)
        extended.extension = label[1]
        number, end = extended, label.end()
    return PhoneMatch(start, end, text[start:end], number)


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


def _vanity_numbers(text: str, regions: Sequence[str], found: Sequence[PhoneMatch]) -> Iterator[PhoneMatch]:
    """``1-800-FLOWERS``: letters are keys; what is longer than a number is cut, as the exchange does."""
    american = any(region in ("US", "CA") for region in regions)
    spelled = [(match, "US", 7) for match in _FREE_VANITY.finditer(text)]
    spelled += [(match, "US", 7) for match in (_VANITY.finditer(text) if american else ())]
    for countries, pattern in _VANITY_ABROAD:
        region = next((each for each in regions if each in countries), None)
        if region:
            spelled += [(match, region, _KEYS_ABROAD[match[1]]) for match in pattern.finditer(text)]
    taken = list(found)
    for match, region, keys in spelled:
        word = re.sub(r"[-. ]", "", match[2])
        letters = sum(char.isalpha() for char in word[:keys])
        if len(word) < keys or letters < 3 or _overlaps(taken, match.start(), match.end()):
            continue
        digits = phonenumbers.convert_alpha_characters_in_number(match[1] + word[:keys])
        number = phonenumbers.parse(digits, region)
        if phonenumbers.is_valid_number(number):
            taken.append(PhoneMatch(match.start(), match.end(), match.group(), number))
            yield taken[-1]


def _shared_tails(text: str, match: PhoneMatch, found: Sequence[PhoneMatch]) -> list[PhoneMatch]:
    """``555-0101 / 02 / 03`` is three numbers: each tail replaces the last digits of the first.

    Tails of one row are of one length: ``555-0101/02/2013`` ends in something else.
    """
    tails: list[PhoneMatch] = []
    last_group = len(_GROUP_OF_DIGITS.findall(match.raw)[-1]) if _DIGITS.search(match.raw) else 0
    end, length = match.end, 0
    while len(tails) < MAX_TAILS and (tail := _SHARED_TAIL.match(text, end)):
        digits = re.sub(r"\D", "", tail[1])
        # Five digits and more without a gap are a postal code, unless the number itself is written so.
        is_code = tail[1].isdigit() and len(digits) > 4 and len(digits) != last_group
        number = None if is_code else _with_tail(match.number, digits)
        if number is None or (length and len(digits) != length) or _overlaps(found, tail.start(1), tail.end(1)):
            return tails if text[end : tail.start(1)].strip() != "/" else []
        tails.append(PhoneMatch(tail.start(1), tail.end(1), text[match.start : tail.end()], number))
        end, length = tail.end(), len(digits)
    return tails


def _with_tail(number: PhoneNumber, digits: str) -> PhoneNumber | None:
    """``number`` with its last digits replaced, or its extension by one as long; ``None`` if that is none."""
    national = str(number.national_number)
    other = PhoneNumber()
    other.merge_from(number)
    if number.extension:
        other.extension = digits
        return other if len(digits) == len(number.extension) and digits != number.extension else None
    if len(digits) >= len(national) or _YEAR.fullmatch(digits):
        return None
    other.national_number = int(national[: -len(digits)] + digits)
    differs = other.national_number != number.national_number
    return other if differs and phonenumbers.is_valid_number(other) else None
