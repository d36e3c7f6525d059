"""Postal addresses: recognised by their postal code in a run of text lines, and normalised.

The postal code is the anchor: its format and what stands beside it (a US state, a Dutch town behind it)
tell the country and where town and street are. Nothing is guessed: a part that cannot be told stays ``None``.
Addresses without a code are read from their end, see `leads.codeless`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from leads.codeless import cut_contacts, is_dublin_district, may_end_address, may_hold_ending, read_codeless
from leads.model import Address
from leads.postal_formats import ANCHORS, Anchor
from leads.regions import AUSTRALIAN_STATES, CANADIAN_PROVINCES, US_STATES, region_of_name
from leads.streets import (
    MAX_PART,
    NOT_ADDRESS,
    STREET_WORDS,
    is_cut_off,
    is_house_number,
    looks_like_street,
    split_street_and_town,
    take_street,
)

MAX_ADDRESSES = 500  # of one page: a chain's list of branches is shorter, and each is compared with the others
MAX_TRAILING_TOWN = 3  # words; a bare "… 2011" behind more of them ends a sentence
LINES_ABOVE = 5  # name, building, suite, street, district: no address block is taller above its town


_DIGIT = re.compile(r"\d")
_YEAR = re.compile(r"(?:19|20)\d\d")
# Every postal code has three digits together, or a letter and a digit.
_MAY_HOLD_CODE = re.compile(r"\d{3}|[A-Za-z]\d")
_OPENS_PART = re.compile(r"(?:^|[,;|•·–:-])\s{0,3}$")
# "Postcode:" and "Stock number:" before the code are no town.
_CODE_LABEL = re.compile(r"(?:^|[,;|•·]|(?<=\s))[^,;|•·:\d]{2,30}:\s{0,3}$")


@dataclass(frozen=True, slots=True)
class AddressMatch:
    """An address in a list of lines: the lines it covers (first, last; inclusive) and how sure the reading is."""

    first_line: int
    last_line: int
    address: Address
    confidence: float


_PREFIX_REGION = {"D": "DE", "F": "FR", "I": "IT", "E": "ES", "A": "AT", "B": "BE", "S": "SE", "N": "NO", "L": "LU"}
_STATE_CODES = {
    "US": {name.casefold(): code for code, name in US_STATES.items()} | {"d.c.": "DC"},
    "CA": {name.casefold(): code for code, name in CANADIAN_PROVINCES.items()},
    "AU": {name.casefold(): code for code, name in AUSTRALIAN_STATES.items()},
}

_SEPARATORS = re.compile(r"\s{0,3}[,;|•·‧∙●◦▪*\n\t]\s{0,3}|\s[-–—]\s|\s{0,2}\|\s{0,2}")
_LABEL = re.compile(
    r"^\s{0,3}(?:(?:our\s|street\s|mailing\s|postal\s|physical\s|office\s|visiting\s|main\s|head\s|registered\s|corporate\s){0,2}"
    r"(?:address|adresse|adres|adress|dirección|direccion|indirizzo|endereço|location|headquarters|hq|anschrift|office|"
    r"besøksadresse|sede|siège|zip|postal code|postcode|cep|cp|c\.p\.|plz|visit us|mail|find us)(?:\s(?:at|"
    r"is))?)\s{0,3}[:\-–]\s{0,3}",
    re.IGNORECASE,
)


def normalise_address(
    street: str | None = None,
    city: str | None = None,
    region: str | None = None,
    postal_code: str | None = None,
    country: str | None = None,
) -> Address | None:
    """The parts cleaned and bounded; the country as ISO 3166-1 alpha-2 if it can be told; ``None`` if all are empty."""
    prefix = re.match(r"\s{0,3}([A-Z]{1,2})-(?=\d{4})", postal_code or "")
    if prefix and postal_code:
        country = country or _PREFIX_REGION.get(prefix[1], prefix[1])
        postal_code = postal_code[prefix.end() :]
    town, _, tail = (city or "").rpartition(",")
    if town and region_of_name(tail):
        city, country = town, country or tail
    code = region_of_name(country) if country else None
    address = Address(
        street=_part(street),
        city=_part(city),
        region=_part(region),
        postal_code=_part(postal_code),
        country=code or _country_of_codes(region, postal_code),
    )
    return address if any((address.street, address.city, address.region, address.postal_code)) else None


def _country_of_codes(region: str | None, postal_code: str | None) -> str | None:
    """The country that a state and a postal code tell together, or a postal code that is written in one only."""
    code = (postal_code or "").strip()
    if re.fullmatch(r"\d{5}(?:-\d{4})?", code) and _state("US", region):
        return "US"
    if re.fullmatch(r"\d{4}", code) and _state("AU", region):
        return "AU"
    if re.fullmatch(r"[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}", code):
        return "GB"
    return "CA" if re.fullmatch(r"[A-Z]\d[A-Z] \d[A-Z]\d", code) else None


def find_addresses(texts: Sequence[str], regions_at: Callable[[int], Sequence[str]]) -> list[AddressMatch]:
    """The addresses in a page's lines, top to bottom. ``regions_at(line)`` ranks the countries likely there."""
    matches = find_coded_addresses(texts, regions_at)
    codeless = islice(_find_codeless(texts, regions_at, matches), MAX_ADDRESSES)
    return sorted([*matches, *codeless], key=lambda match: match.first_line)


def find_coded_addresses(texts: Sequence[str], regions_at: Callable[[int], Sequence[str]]) -> list[AddressMatch]:
    """Those of `find_addresses` that have a postal code."""
    matches: list[AddressMatch] = []
    floor = 0
    for index, text in enumerate(texts):
        if len(matches) >= MAX_ADDRESSES:
            break
        if not 4 <= len(text) <= 600 or not (_DIGIT.search(text) and _MAY_HOLD_CODE.search(text)):
            continue
        left = 0
        while (read := _first_in_line(texts, index, left, floor, regions_at(index))) is not None:
            match, left = read
            matches.append(match)
            floor = index + 1
    return matches


def _find_codeless(
    texts: Sequence[str], regions_at: Callable[[int], Sequence[str]], known: Sequence[AddressMatch]
) -> Iterator[AddressMatch]:
    """The addresses that stand between those with a postal code."""
    taken = {line for match in known for line in range(match.first_line, match.last_line + 1)}
    floor = 0
    for index, whole in enumerate(texts):
        if index in taken:
            floor = index + 1
            continue
        if not may_hold_ending(whole) or not may_end_address(text := cut_contacts(whole)):
            continue
        own = [(index, part) for part in _split(_LABEL.sub("", text))]
        read = read_codeless([*_parts_above(texts, index, floor), *own], regions_at(index))
        if read is None:
            continue
        address = normalise_address(read.street, read.town, read.region, None, None)
        if address is not None:
            address = address.model_copy(update={"country": read.country})
            yield AddressMatch(read.first_line, index, address, 0.7 if read.town else 0.6)
            floor = index + 1


def _first_in_line(
    texts: Sequence[str], index: int, left: int, floor: int, ranked: Sequence[str]
) -> tuple[AddressMatch, int] | None:
    """The first address whose postal code stands in line ``index`` past offset ``left``, and where it ends."""
    for anchor in ANCHORS:
        if not (anchor.explicit or anchor.distinct) and ranked and not set(ranked[:3]) & set(anchor.regions):
            continue
        for found in anchor.pattern.finditer(texts[index], left):
            above = _parts_above(texts, index, floor) if left == 0 else []
            match = _read(texts[index], left, index, found, anchor, above, ranked)
            if match:
                return match, found.end()
    return None


def _parts_above(texts: Sequence[str], index: int, floor: int) -> list[tuple[int, str]]:
    """The parts of the lines above that may belong to the address: (line, part), nearest last."""
    parts: list[tuple[int, str]] = []
    for line in range(index - 1, max(floor, index - LINES_ABOVE) - 1, -1):
        text = _LABEL.sub("", texts[line])
        if len(text) > 120 or NOT_ADDRESS.search(text):
            break
        parts[:0] = [(line, part) for part in _split(text)]
    return parts


def _split(text: str) -> list[str]:
    """The parts of a line; a house number that a comma cuts off ("185, Lotus Road", "Via Roma, 4") stays "
    "with its street."""
    parts: list[str] = []
    for part in (piece.strip(" .,:-–|(") for piece in _SEPARATORS.split(text)):
        if part and parts and is_cut_off(parts[-1], part):
            parts[-1] = f"{parts[-1]}, {part}"
        elif part:
            parts.append(part)
    if len(parts) == 2 and is_house_number(parts[1]) and not any(char.isdigit() for char in parts[0]):
        return [f"{parts[0]}, {parts[1]}"]  # a whole line of a word and a number
    return parts


def _read(
    text: str,
    left: int,
    index: int,
    found: re.Match[str],
    anchor: Anchor,
    above: list[tuple[int, str]],
    ranked: Sequence[str],
) -> AddressMatch | None:
    groups = found.groupdict()
    opening = text[left : found.start()] + (":" if ":" in text[found.start() : found.start("code")] else "")
    before = _LABEL.sub("", opening)[-MAX_PART:]
    parts = [*above, *((index, part) for part in _split(_CODE_LABEL.sub("", before)))]
    country = _country(anchor, groups, ranked)
    if anchor.distinct and country not in ranked and groups["code"][-1:].isdigit() and not _OPENS_PART.search(opening):
        return None  # "M3014 0285-001 Network Camera" is an article
    state = _state(country, groups.get("state"))
    if "city" in groups:
        city: str | None = _trim_town(groups["city"])
    else:
        if groups.get("state") and state is None and country == "US":
            parts.append((index, groups["state"]))  # "St 12345": the end of a town or street, no state
        city, state = _take_town(parts, country, state)
    street, first = take_street(parts)
    if anchor.trailing and len((city or "").split()) > MAX_TRAILING_TOWN:
        return None
    if not _is_credible(anchor, country, state, city, street, groups["code"], ranked):
        return None
    address = normalise_address(street, city, state, groups["code"])
    if address is None:
        return None
    address = address.model_copy(update={"country": country})
    confidence = 0.5 + 0.2 * (street is not None) + 0.1 * (city is not None) + 0.1 * anchor.explicit
    return AddressMatch(first if first is not None else index, index, address, confidence)


def _country(anchor: Anchor, groups: dict[str, str | None], ranked: Sequence[str]) -> str | None:
    prefix = groups.get("prefix")
    if prefix:
        return _PREFIX_REGION.get(prefix, prefix)
    if len(anchor.regions) == 1:
        return anchor.regions[0]
    return next((region for region in ranked if region in anchor.regions), None)


def _state(country: str | None, state: str | None) -> str | None:
    if not state or country not in _STATE_CODES:
        return None
    names = _STATE_CODES[country]
    word = state.strip(" .,").casefold()
    if word in names:
        return names[word]
    code = state.strip(" .,").upper()
    return code if code in names.values() else names.get(state.casefold())


def _trim_town(text: str) -> str | None:
    """The town of what stands behind a postal code: up to the next separator, country name or label."""
    town = re.split(r"\s[-–(]|[,;|•·(/]|\s{2,}|\b(?i:tel|phone|fax|e-?mail|telefon|tél)\b", text)[0].strip(" .,:-–")
    words = town.split()
    # "Elders Nederland T: 010": a country and the letter of a label end no town.
    while len(words) > 1 and (len(words[-1]) == 1 or (region_of_name(words[-1]) and len(words[-1]) > 2)):
        words.pop()
    return " ".join(words) if 0 < len(words) <= 5 else None


def _take_town(parts: list[tuple[int, str]], country: str | None, state: str | None) -> tuple[str | None, str | None]:
    """Removes the town (and a state or county written as a part of its own) from the end of ``parts``."""
    region = state
    while parts:
        line, part = parts.pop()
        if region is None and (known := _state(country, part)):
            region = known
            continue
        if part.casefold() in _BRITISH_COUNTIES and country == "GB" and parts and not looks_like_street(parts[-1][1]):
            region = part
            continue
        if country == "IE" and is_dublin_district(part):
            return part, region
        if region_of_name(part) and len(part) > 3 and part.casefold() != "georgia":
            continue
        street, town = split_street_and_town(part)
        if street:
            parts.append((line, street))
        if town and region is None and country in _STATE_CODES:
            town, region = _split_state(town, country)
        return (town if town and len(town) <= 60 and len(town.split()) <= 6 else None), region
    return None, region


def _split_state(town: str, country: str | None) -> tuple[str, str | None]:
    words = town.split()
    for count in (1, 2):
        if len(words) > count and (known := _state(country, " ".join(words[-count:]))):
            return " ".join(words[:-count]), known
    return town, None


def _is_credible(
    anchor: Anchor,
    country: str | None,
    state: str | None,
    city: str | None,
    street: str | None,
    code: str,
    ranked: Sequence[str],
) -> bool:
    if anchor.regions == ("US",):
        return (state is not None and (city is not None or street is not None)) or (
            street is not None and any(map(str.isdigit, street)) and city is not None and "US" in ranked[:1]
        )
    if anchor.explicit:
        return city is not None or street is not None
    if street is None or (city is None and country != "SG"):
        return False
    if anchor.distinct and country not in ranked and not STREET_WORDS.search(street):
        return False
    if anchor.trailing and len(anchor.regions) == 1 and country not in ranked:
        return False  # "Suite 300"
    if anchor.trailing and _YEAR.fullmatch(code) and country not in ranked[:1]:
        return False
    return country is not None or (not ranked and STREET_WORDS.search(street) is not None)


def _part(text: str | None) -> str | None:
    cleaned = re.sub(r"\s+", " ", text).strip(" ,;|-–") if text else ""
    return cleaned[:MAX_PART] or None


_BRITISH_COUNTIES = frozenset(
    "avon bedfordshire beds berkshire berks buckinghamshire bucks cambridgeshire cambs cheshire cleveland cornwall"
    " cumbria derbyshire devon dorset durham essex gloucestershire hampshire hants herefordshire hertfordshire herts"
    " humberside kent lancashire lancs leicestershire leics lincolnshire lincs merseyside middlesex norfolk"
    " northamptonshire northants northumberland nottinghamshire notts oxfordshire oxon rutland shropshire somerset"
    " staffordshire staffs suffolk surrey warwickshire wiltshire wilts worcestershire worcs"
    " yorkshire fife lothian".split()
) | {
    "east sussex",
    "west sussex",
    "north yorkshire",
    "south yorkshire",
    "west yorkshire",
    "west midlands",
    "greater manchester",
    "greater london",
    "tyne and wear",
    "isle of wight",
    "co. durham",
    "county durham",
}
