"""Streets: what a line, or a part of one, must look like to be the street of an address."""

from __future__ import annotations

import re

MAX_PART = 200

STREET_WORDS = re.compile(
    r"\b(?:st|str|street|ave|av|avenue|rd|road|blvd|boulevard|blv|dr|drive|ln|lane|way|ct|court|pl|place|plaza|sq|square|"
    r"hwy|highway|pkwy|parkway|pike|terrace|ter|trail|trl|cir|circle|close|crescent|cres|gardens|row|walk|wharf|mews|"
    r"hill|park|route|rte|freeway|fwy|expressway|turnpike|loop|alley|broadway|quay|parade|esplanade|estate|gate|green|"
    r"rue|quai|chemin|allée|cours|impasse|via|viale|piazza|corso|largo|calle|avda|avenida|paseo|plaça|carrer|"
    r"rua|travessa|praça|alameda|ul|ulica|al|aleja|os|nám|náměstí|ulice|utca|út|tér|gata|gatan|vägen|väg|vej|gade|"
    r"katu|tie|laan|plein|kade|dijk|weg|platz|allee|gasse|ring|damm|ufer|marg|nagar|chowk|cross|main|sector|jalan)\b\.?|\bc/|-(?:dong|gu|ro|gil|ri|eup|myeon|ku|cho|machi|chome)\b"
    r"|(?:straße|strasse|str\.|weg|platz|allee|gasse|damm|straat|laan|plein|kade|gracht|gatan|vägen|vej|gade|katu|utca)\b"
    r"|(?i:\bul\.|\bулица|\bпр\.|\bул\.)",
    re.IGNORECASE,
)
_PO_BOX = re.compile(
    r"\b(?:p\.?\s?o\.?\s?box|post office box|postbus|postfach|box|apartado|bp|b\.p\.|case postale|locked bag|"
    r"gpo box)\s{0,2}#?\s{0,2}\d",
    re.IGNORECASE,
)
_UNIT = re.compile(
    r"\b(?:suite|ste|unit|floor|fl|level|lvl|room|rm|apt|apartment|bldg|building|block|shop|office|house|tower|"
    r"centre|center|mall|business park|industrial|estate|piso|planta|edificio|torre|étage|stock|etage)\b|"
    r"#\s?\d|\b(?:\d{1,3}|[GM])/F\b",
    re.IGNORECASE,
)
_US_STREET_END = re.compile(
    r"\b(?:street|st|avenue|ave|av|road|rd|boulevard|blvd|drive|dr|lane|ln|way|court|ct|place|pl|plaza|square|sq|highway|"
    r"hwy|parkway|pkwy|pike|terrace|trail|circle|cir|loop|broadway|(?:suite|ste|unit|apt|room|bldg|building|floor|#)"
    r"\s{0,2}#?\s{0,2}[\w-]{1,6}|#\s?[\w-]{1,6}|box\s\d{1,7})\b\.?(?:\s(?:[NSEW]{1,2}|[NS]\.?[EW]\.?|north|south|east|west)\b\.?)?(?:\s(?:suite|ste|unit|#)\.?\s{0,2}#?\s{0,2}[\w-]{1,6})?",
    re.IGNORECASE,
)
NOT_ADDRESS = re.compile(
    r"@|https?:|www\.|©|copyright|\b(?:tel|phone|fax|telefon|tél|téléphone|mobile|mob|call|e-?mail|hours|mon|monday|open|"
    r"toll[ -]free|ago|sq m|m²|pack|contact us|click|directions|attn|attention|abn|vat|reg\.? no|price|map)\b",
    re.IGNORECASE,
)
# "Lindenlaan 10", "123 Juniper", "Ekgatan 6-8": a short name with one number at an end.
_PLAIN_STREET = re.compile(
    r"^(?:\d{1,5}[A-Za-z]?(?:\s?[-–/]\s?\d{1,5}[A-Za-z]?)?,?\s[^\W\d_][^\d]{2,45}|"
    r"[^\W\d_][^\d]{3,45}\s\d{1,4}\s?[A-Za-z]?(?:\s?[-–/]\s?\d{0,4}[A-Za-z]?)?)$"
)
# "Cowslip Road": no number, so it must be all street and nothing else.
_NAMED_STREET = re.compile(
    r"(?:[A-Z][\w'’.-]{0,20}\s){1,4}(?:street|avenue|road|boulevard|drive|lane|terrace|crescent|square|parade|highway|"
    r"way|place|row|quay|wharf|hill|close|gardens|mews|park|rd|st|ave)\.?|"
    r"(?:rue|calle|c/|avda\.?|av\.?|avenida|paseo|rua|praça|largo|via|viale|piazza|corso|ul\.)(?:\s[\w'’.-]{1,20}){1,5}",
    re.IGNORECASE,
)
# A company's line that goes on with its street: "Example BV Lindenlaan 1".
_TAIL_STREET = re.compile(
    r"(?<=\s)[^\W\d_][\w.-]{2,30}(?:straße|strasse|str\.|weg|platz|allee|gasse|straat|laan|plein|kade|gracht|gatan|vägen|"
    r"vej|gade|katu)\s\d{1,4}\s?[A-Za-z]?(?:\s?[-–/]\s?\d{1,4})?$",
    re.IGNORECASE,
)
_BARE_NUMBER = re.compile(r"#?\d{1,5}\s?[A-Za-z]?(?:\s?[-–/]\s?(?:[a-z]{1,4}\.?\s?)?\d{1,5})?\Z")
_HOUSE_NUMBER = re.compile(r"(?<!\d)\d{1,5}(?!\d)|\bs/n\b", re.IGNORECASE)  # s/n: "sin número"


def looks_like_street(text: str) -> bool:
    """Whether ``text`` names a street or a post office box: a number with a street word, or either shape."""
    if len(text) > 100 or NOT_ADDRESS.search(text):
        return False
    if _PO_BOX.search(text):
        return True
    has_number = _HOUSE_NUMBER.search(text) is not None
    return has_number and (STREET_WORDS.search(text) is not None or _PLAIN_STREET.match(text) is not None)


def split_street_and_town(part: str) -> tuple[str | None, str | None]:
    """``"12 Alder St. Fairview"`` as (``"12 Alder St."``, ``"Fairview"``); a part without digits is all town."""
    if not any(char.isdigit() for char in part):
        return (part, None) if _UNIT.search(part) and STREET_WORDS.search(part) else (None, part)
    ends = [found.end() for found in _US_STREET_END.finditer(part) if found.end() < len(part) - 1]
    if ends:
        town = part[ends[-1] :].strip(" .,")
        if town and not any(char.isdigit() for char in town):
            return part[: ends[-1]], town
    return part, None


def take_street(parts: list[tuple[int, str]]) -> tuple[str | None, int | None]:
    """The street of the parts above the town, with the units around it, and the first line it stands in."""
    for end in range(len(parts) - 1, max(-1, len(parts) - 5), -1):
        line, part = parts[end]
        tail = _TAIL_STREET.search(part) if len(part) <= MAX_PART else None
        if tail and NOT_ADDRESS.search(part):
            return tail.group(), line
        if not looks_like_street(part):
            continue
        first = last = end
        while last + 1 < len(parts) and _belongs_to_street(parts[last + 1][1]):
            last += 1
        while first > 0 and end - first < 3:
            # A building's name belongs to the unit before it: "Shop 12, Lucky Centre, 171 Oak Road".
            building = first > 1 and _UNIT.search(parts[first - 1][1]) and _opens_street(parts[first - 2][1])
            if not building and not _opens_street(parts[first - 1][1]):
                break
            first -= 2 if building else 1
        return ", ".join(part for _, part in parts[first : last + 1]), parts[first][0]
    return _take_named_street(parts)


def _take_named_street(parts: list[tuple[int, str]]) -> tuple[str | None, int | None]:
    """A street without a number, right above the town or a district, with the building before it."""
    for end in range(len(parts) - 1, max(-1, len(parts) - 3), -1):
        part = parts[end][1]
        if _NAMED_STREET.fullmatch(part) and not NOT_ADDRESS.search(part):
            first = end
            while first > 0 and end - first < 2 and _UNIT.search(parts[first - 1][1]):
                first -= 1
            return ", ".join(part for _, part in parts[first : end + 1]), parts[first][0]
    return None, None


def _belongs_to_street(part: str) -> bool:
    is_unit = _UNIT.search(part) is not None and len(part.split()) <= 6
    return len(part) <= 60 and (is_unit or looks_like_street(part) or _NAMED_STREET.fullmatch(part) is not None)


def _opens_street(part: str) -> bool:
    """A unit before the street: with a number, because "Coffee House" is a name."""
    return any(char.isdigit() for char in part) and _belongs_to_street(part)


def is_house_number(text: str) -> bool:
    """Whether ``text`` is nothing but a house number: ``"12"``, ``"12 B"``, ``"12-14"``."""
    return _BARE_NUMBER.match(text) is not None


def is_cut_off(first: str, second: str) -> bool:
    """Whether one of two neighbouring parts is the house number of the other."""
    if _BARE_NUMBER.match(second):
        return STREET_WORDS.search(first) is not None and not first[-1:].isdigit()
    return _BARE_NUMBER.match(first) is not None and STREET_WORDS.search(second) is not None
