"""Ways to write the same fact: telephone numbers, addresses, host labels, hidden e-mail addresses."""

from __future__ import annotations

import re
import unicodedata

import phonenumbers
from phonenumbers import PhoneNumberFormat

from infra.sample_town.model import Address, PhoneFormat

CIPHER_KEY = 0x5A
"""The byte that ciphered e-mail addresses are XORed with; any byte would do."""


def written_phone(e164: str, style: PhoneFormat) -> str:
    """The number as people of its country write it, in one of their styles."""
    number = phonenumbers.parse(e164)
    national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    international = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
    match style:
        case PhoneFormat.NATIONAL:
            return national
        case PhoneFormat.INTERNATIONAL:
            return international
        case PhoneFormat.DOTTED:
            return ".".join(_digit_groups(national))
        case PhoneFormat.DASHED:
            return "-".join(_digit_groups(national))
        case PhoneFormat.SLASHED:
            area, _, rest = national.partition(" ")
            return f"{area} / {' '.join(_pairs(rest))}"
        case PhoneFormat.TRUNK_ZERO:
            code, _, rest = international.partition(" ")
            return f"{code} (0){rest}"


def address_lines(address: Address) -> tuple[str, str]:
    """Street line and city line, in the order of the country."""
    return address.street, city_line(address)


def city_line(address: Address) -> str:
    """City, region and postal code in the order of the country."""
    match address.country:
        case "US" | "CA":
            return f"{address.city}, {address.region} {address.postal_code}"
        case "AU":
            return f"{address.city} {address.region} {address.postal_code}"
        case "GB":
            return f"{address.city} {address.postal_code}"
        case "IN":
            return f"{address.city} {address.postal_code}, {address.region}"
        case "IT":
            return f"{address.postal_code} {address.city} ({address.region})"
        case _:
            return f"{address.postal_code} {address.city}"


def slug(name: str) -> str:
    """A host label for a name: ``"Bäckerei Morgenrot"`` becomes ``"baeckerei-morgenrot"``."""
    for letter, plain in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ß", "ss"), ("œ", "oe"), ("&", "and")):
        name = name.lower().replace(letter, plain)
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")


def ciphered(text: str) -> str:
    """Hex of the key byte, then of every byte XORed with it: what mail-hiding proxies put in an attribute."""
    return f"{CIPHER_KEY:02x}" + "".join(f"{byte ^ CIPHER_KEY:02x}" for byte in text.encode())


def entities(text: str) -> str:
    """Every character as an HTML entity, decimal and hexadecimal in turn."""
    return "".join(f"&#x{ord(c):x};" if i % 2 else f"&#{ord(c)};" for i, c in enumerate(text))


def _digit_groups(text: str) -> list[str]:
    return re.findall(r"\d+", text)


def _pairs(text: str) -> list[str]:
    digits = "".join(_digit_groups(text))
    odd = len(digits) % 2
    return ([digits[:odd]] if odd else []) + [digits[i : i + 2] for i in range(odd, len(digits), 2)]
