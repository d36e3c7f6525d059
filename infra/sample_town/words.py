"""The words of the sites, a language each: page names, labels, and prose to fill pages with.

They are data, so they live in ``languages/<code>.json``; this module says what such a file holds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

CATEGORIES = (
    "bakery",
    "florist",
    "bike_shop",
    "bookshop",
    "dentist",
    "plumber",
    "guesthouse",
    "cafe",
    "optician",
    "carpenter",
)

LANGUAGES = ("en", "de", "fr", "nl", "es", "it", "sv")


@dataclass(frozen=True, slots=True)
class Words:
    """One language.

    ``trades`` stand in the order of CATEGORIES; ``name`` makes a business name of a trade and one of ``brands``.
    ``titles`` and ``paths`` have the keys home, about, contact, legal, products, blog, privacy, branches.
    ``prose`` is four paragraphs with figures in them that look a little like phone numbers, and are none.
    """

    name: str
    trades: tuple[str, ...]
    brands: tuple[str, ...]
    titles: dict[str, str]
    paths: dict[str, str]
    phone: str
    second_phone: str
    fax: str
    email: str
    address: str
    hours: str
    opening: str
    taglines: tuple[str, ...]
    prose: tuple[str, ...]
    posts: tuple[str, ...]
    privacy: str
    legal_ids: str
    cookies: str
    accept: str
    decline: str
    loading: str
    at: str
    dot: str
    by_agency: str
    newsletter: str


def _load(language: str) -> Words:
    path = Path(__file__).parent / "languages" / f"{language}.json"
    raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    known = {field.name for field in fields(Words)}
    if raw.keys() != known:
        raise ValueError(f"{path}: missing or unknown keys: {sorted(raw.keys() ^ known)}")
    frozen: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
    return Words(**frozen)


WORDS = {language: _load(language) for language in LANGUAGES}
