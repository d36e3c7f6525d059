"""Addresses without a postal code: recognised by the country, county or state that ends them.

Hong Kong, the Emirates, Panama and rural Ireland have no code or do without it, and pages of every country leave theirs
out. A street must stand above, and the name must end its line; a country in a sentence is no address.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from leads.regions import AUSTRALIAN_STATES, CANADIAN_PROVINCES, NAME_REGION, US_STATES
from leads.streets import NOT_ADDRESS, STREET_WORDS, take_street

MAX_LINE = 200
MAX_TOWN_WORDS = 4

# Towns that tell their country by themselves, and are written as the last line of an address.
_TOWNS = {
    "hong kong": ("Hong Kong", "HK"), "香港": ("香港", "HK"), "kowloon": ("Kowloon", "HK"), "dubai": ("Dubai", "AE"),
    "abu dhabi": ("Abu Dhabi", "AE"), "sharjah": ("Sharjah", "AE"), "ajman": ("Ajman", "AE"), "doha": ("Doha", "QA"),
    "kuwait city": ("Kuwait City", "KW"), "manama": ("Manama", "BH"), "panama city": ("Panama City", "PA"),
    "ciudad de panamá": ("Ciudad de Panamá", "PA"), "ciudad de panama": ("Ciudad de Panama", "PA"),
    "dublin": ("Dublin", "IE"), "galway": ("Galway", "IE"), "limerick": ("Limerick", "IE"),
    "nairobi": ("Nairobi", "KE"), "accra": ("Accra", "GH"), "lagos": ("Lagos", "NG"), "kampala": ("Kampala", "UG"),
    "harare": ("Harare", "ZW"), "suva": ("Suva", "FJ"), "nassau": ("Nassau", "BS"),
}  # fmt: skip
_DUBLIN_DISTRICT = re.compile(r"dublin\s?(?:\d{1,2}|6w)\Z", re.IGNORECASE)
_COUNTY = re.compile(r"(?:co\.?|county)\s(?P<name>[a-z]{4,9})\Z", re.IGNORECASE)
_IRISH_COUNTIES = frozenset(
    "carlow cavan clare cork donegal dublin galway kerry kildare kilkenny laois leitrim limerick longford louth mayo"
    " meath monaghan offaly roscommon sligo tipperary waterford westmeath wexford wicklow".split()
)
_NORTHERN_COUNTIES = frozenset("antrim armagh down fermanagh londonderry tyrone".split())
_STATES = {
    "US": {code: code for code in US_STATES} | {name: code for code, name in US_STATES.items()},
    "CA": {code: code for code in CANADIAN_PROVINCES} | {name: code for code, name in CANADIAN_PROVINCES.items()},
    "AU": {code: code for code in AUSTRALIAN_STATES} | {name: code for code, name in AUSTRALIAN_STATES.items()},
}  # fmt: skip
_WORD = re.compile(r"\w{2,20}")
# The last words of all endings: what has none of them is read no further.
_LAST_WORDS = (
    {_WORD.findall(name)[-1] for name in (*NAME_REGION, *_TOWNS) if _WORD.search(name)}
    | {name.split()[-1].casefold() for states in _STATES.values() for name in states if len(name) > 3}
    | _IRISH_COUNTIES
    | _NORTHERN_COUNTIES
)
_STATE_CODES = frozenset(name for states in _STATES.values() for name in states if len(name) <= 3)


@dataclass(frozen=True, slots=True)
class Ending:
    """What ends an address: its country, and the county or state and the town as far as it tells them."""

    country: str
    region: str | None = None
    town: str | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """An address as its parts, and the line of its first one."""

    street: str
    town: str | None
    region: str | None
    country: str
    first_line: int


def may_hold_ending(text: str) -> bool:
    """A test of words that spares most lines every other."""
    if not 2 <= len(text) <= MAX_LINE:
        return False
    words = _WORD.findall(text)
    return not (_STATE_CODES.isdisjoint(words) and _LAST_WORDS.isdisjoint(map(str.casefold, words)))


def cut_contacts(text: str) -> str:
    """What stands in a line before its "Tel" and the like: as much of it as can be an address."""
    label = NOT_ADDRESS.search(text)
    return text[: label.start()].rstrip(" ,.|-–") if label and label.start() > 0 else text


def may_end_address(text: str) -> bool:
    """Whether the last words of ``text`` are an ending."""
    tail = re.split(r"[,;|•·–]", text[-60:])[-1].strip(" .()")
    words = tail.split()
    tails = [" ".join(words[-count:]) for count in (1, 2, 3) if len(words) >= count]
    if any(known.casefold() in NAME_REGION or known.casefold() in _TOWNS for known in tails):
        return True
    return any(known in states for known in tails for states in _STATES.values()) or _ends_in_ireland(tail)


def is_dublin_district(text: str) -> bool:
    """Whether ``text`` is Dublin and the number of its district: a town, although it ends in a number."""
    return _DUBLIN_DISTRICT.match(text) is not None


def _ends_in_ireland(tail: str) -> bool:
    return tail[:2].casefold() in ("co", "du") and (_COUNTY.search(tail) is not None or is_dublin_district(tail))


def read_codeless(parts: list[tuple[int, str]], ranked: Sequence[str]) -> Read | None:
    """The address that ``parts`` (line, text; nearest last) end in. ``ranked`` are the countries likely there."""
    parts = list(parts)
    ending: Ending | None = None
    while (
        parts and len(parts[-1][1].split()) <= MAX_TOWN_WORDS + 2 and (found := _ending(parts[-1][1], ending, ranked))
    ):
        line, _ = parts.pop()
        ending, rest = found
        if rest:
            parts.append((line, rest))
            break
    if ending is None:
        return None
    town, region = ending.town, ending.region
    if town is None and parts and _is_town(parts[-1][1]):
        town = parts.pop()[1]
    elif town and region is None and parts and _is_town(parts[-1][1]):
        region = parts.pop()[1]  # a district before "Hong Kong"
    street, first = take_street(parts)
    if street is None or first is None or (town is None and region is None):
        return None
    # A state's two letters end many a line; only below a real street are they one.
    if (
        ending.town is None
        and ending.country in _STATES
        and not (any(char.isdigit() for char in street) and STREET_WORDS.search(street))
    ):
        return None
    return Read(street, town, region, ending.country, first)


def _ending(part: str, known: Ending | None, ranked: Sequence[str]) -> tuple[Ending, str] | None:
    """What ``part`` adds to what is known of the ending, and the town that is left of it."""
    text = part.strip(" .()")
    folded = text.casefold()
    country = known.country if known else None
    if known is None or known.town is None:
        if folded in _TOWNS and country in (None, _TOWNS[folded][1]):
            town, country = _TOWNS[folded]
            return Ending(country, known.region if known else None, town), ""
        if is_dublin_district(text) and country in (None, "IE"):
            return Ending("IE", None, text), ""
    if known is None and folded in NAME_REGION:
        return Ending(NAME_REGION[folded]), ""
    county = _COUNTY.match(text)
    if county and (known is None or known.region is None):
        home = _county_country(county["name"].casefold())
        return (Ending(home, text, known.town if known else None), "") if home and country in (None, home) else None
    if known is None:
        words = text.split()
        for count in (1, 2, 3):
            tail = " ".join(words[-count:]).casefold()
            if len(words) > count and (tail in NAME_REGION or tail in _TOWNS):  # "Dublin Ireland", "Central Hong Kong"
                known_town = _TOWNS.get(tail)
                home = known_town[1] if known_town else NAME_REGION[tail]
                return Ending(home, None, known_town[0] if known_town else None), " ".join(words[:-count])
    return _state_ending(text, country, ranked) if known is None or known.region is None else None


def _county_country(name: str) -> str | None:
    return "IE" if name in _IRISH_COUNTIES else "GB" if name in _NORTHERN_COUNTIES else None


def _state_ending(text: str, country: str | None, ranked: Sequence[str]) -> tuple[Ending, str] | None:
    words = text.split()
    homes = (
        [country] if country else sorted(_STATES, key=lambda each: list(ranked).index(each) if each in ranked else 9)
    )
    for home in homes:
        states = _STATES.get(home, {})
        for count in (3, 2, 1):
            state = states.get(" ".join(words[-count:])) if len(words) >= count else None
            if state:
                return Ending(home, state), " ".join(words[:-count])
    return None


def _is_town(part: str) -> bool:
    return (
        len(part.split()) <= MAX_TOWN_WORDS
        and len(part) <= 40
        and part[:1].isalpha()
        and not any(char.isdigit() for char in part)
        and STREET_WORDS.search(part) is None
    )
