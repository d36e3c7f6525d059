"""Whether two leads are one business: names, places and numbers weighed together.

Conservative, because two leads that were wrongly made one cannot be told apart again, and two that were missed
can still be merged tomorrow.
"""

from __future__ import annotations

import re
import unicodedata
from difflib import SequenceMatcher
from functools import lru_cache

from leads.domains import own_domain
from leads.model import Address, Lead, Validation

# Shared by everyone: they must not make two names alike, nor keep two spellings of one apart.
_EMPTY_WORDS = frozenset(
    "the a an of and und et y e at in on la le el il der die das de di du des les los restaurant restaurants"
    " ristorante cafe caffe bar grill ltd limited llc llp inc incorporated corp corporation co company plc gmbh mbh"
    " ag kg ohg ug ev sarl sa sas srl spa sl bv nv ab oy as aps pty pvt ltda".split()
)
# What a business is. Two names that say different ones mean two businesses, even at one address and number: the
# café and the dining room of one hotel.
_KINDS = {
    "cafe": "cafe", "caffe": "cafe", "restaurant": "restaurant", "ristorante": "restaurant", "dining": "restaurant",
    "bar": "bar", "pub": "bar", "hotel": "hotel", "pharmacy": "pharmacy", "bakery": "bakery", "garage": "garage",
    "parking": "parking", "school": "school",
}  # fmt: skip
_STREET_FORMS = {
    "street": "st", "avenue": "ave", "av": "ave", "road": "rd", "boulevard": "blvd", "blv": "blvd", "drive": "dr",
    "lane": "ln", "highway": "hwy", "place": "pl", "square": "sq", "north": "n", "south": "s", "east": "e",
    "west": "w", "first": "1st", "second": "2nd", "third": "3rd", "fourth": "4th", "fifth": "5th", "sixth": "6th",
    "seventh": "7th", "eighth": "8th", "ninth": "9th", "tenth": "10th", "straße": "str", "strasse": "str",
}  # fmt: skip
_AGREE = 0.8  # the same but for spelling
_RELATED = 0.5  # one contains most of the other
_NEARBY = 0.3  # one town, another door
_HINT = 0.4  # one shared word of two or three


def same_business(a: Lead, b: Lead) -> bool:
    """Whether two leads are one business. In doubt they are two.

    A shared number needs a name that agrees, or, at one address, one that hints; without a shared number, name and
    address must agree, or name and domain or e-mail with no number or address against it. Branches of a chain share
    name and domain but not their address, and stay apart.
    """
    if _kinds_differ(a.display_name, b.display_name):
        return False
    names = name_likeness(a.display_name, b.display_name)
    place = place_likeness(a.address, b.address)
    if place is not None and place < _NEARBY:
        return False
    ours, theirs = _numbers(a), _numbers(b)
    if ours & theirs:
        if place == _NEARBY:
            return names is not None and names >= _AGREE
        return names is None or names >= (_HINT if place is not None and place >= _AGREE else _RELATED)
    if names is None or names < _AGREE or place == _NEARBY:
        return False
    if place is not None and place >= _AGREE:
        return True
    domain = own_domain(a.website)
    linked = bool(set(a.emails) & set(b.emails)) or (domain is not None and domain == own_domain(b.website))
    return linked and not (ours and theirs)


@lru_cache(maxsize=65_536)
def name_likeness(a: str | None, b: str | None) -> float | None:
    """0 (nothing in common) to 1 (the same); ``None`` if a name is missing."""
    ours, theirs = _telling_words(a), _telling_words(b)
    first, second = "".join(ours), "".join(theirs)
    if not first or not second:
        return None
    if first == second:
        return 1.0
    shared = len(set(ours) & set(theirs))
    # One word inside a longer name is a hint ("Spago" in "Spago Hollywood"), not yet the same name.
    contained = shared / min(len(set(ours)), len(set(theirs))) * (0.9 if shared > 1 else 0.75)
    return max(contained, 0.95 * SequenceMatcher(None, first, second, autojunk=False).ratio())


def place_likeness(a: Address | None, b: Address | None) -> float | None:
    """0 (elsewhere) to 1 (the same door) by street, town and postal code; ``None`` where nothing can be compared."""
    if a is None or b is None:
        return None
    town, code = _agreement(a.city, b.city), _agreement(a.postal_code, b.postal_code)
    if code is False:
        return 0.0
    if not a.street or not b.street:
        # One town is no address, and another is.
        return 0.0 if town is False else _RELATED if town or code else None
    ours, theirs = _words(a.street), _words(b.street)
    numbers = [{word for word in words if word[0].isdigit()} for words in (ours, theirs)]
    if all(numbers) and not numbers[0] & numbers[1]:
        # A house number may be mistyped, or a corner have two streets: no proof where no postal code is known.
        return _NEARBY if town and code is None else 0.0
    if not set(ours) & set(theirs) - numbers[0] and _squeeze(a.street)[:8] != _squeeze(b.street)[:8]:
        return _RELATED if town or code else 0.0
    return 1.0


def place_keys(address: Address | None) -> list[str]:
    """What two leads at one address have in common: its house number, postal code, town."""
    if address is None:
        return []
    number = re.search(r"\d{1,6}", address.street or "")
    parts = (number and f"#{number.group()}", address.postal_code, address.city)
    return [_squeeze(part) for part in parts if part]


def _kinds_differ(a: str | None, b: str | None) -> bool:
    ours, theirs = ({_KINDS[word] for word in _words(name or "") if word in _KINDS} for name in (a, b))
    return bool(ours and theirs) and not ours & theirs


def _telling_words(name: str | None) -> list[str]:
    words = _words(name or "")
    return [word for word in words if word not in _EMPTY_WORDS] or words


def _agreement(a: str | None, b: str | None) -> bool | None:
    if not a or not b:
        return None
    first, second = _squeeze(a), _squeeze(b)
    return first.startswith(second) or second.startswith(first)


def _numbers(lead: Lead) -> set[str]:
    return {
        f"{phone.normalized_e164}x{phone.extension or ''}"
        for phone in lead.phones
        if phone.normalized_e164 and phone.validation_status is Validation.VALID and phone.kind != "fax"
    }


def _words(text: str) -> list[str]:
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    words = re.findall(r"[^\W_]+", plain.replace("'", "").replace("’", ""))
    return [_STREET_FORMS.get(word, word) for word in words]


def _squeeze(text: str) -> str:
    return "".join(_words(text))
