"""Structured data as items: JSON-LD, microdata, RDFa and microformats all become the same thing.

An `Item` is a typed bag of properties in schema.org's words. What one syntax says, the others say alike, so
everything that reads items reads one form only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from leads.extract.document import Element

MAX_ITEMS = 2_000  # of one page; a sitemap of a chain stays far below
MAX_DEPTH = 20
MAX_TEXT = 2_000


@dataclass(slots=True)
class Item:
    """One thing: its schema.org types without the vocabulary, and its properties in document order."""

    types: tuple[str, ...]
    source: str
    props: dict[str, list[str | Item]] = field(default_factory=dict)
    ident: str = ""
    element: Element = None

    def add(self, name: str, value: str | Item) -> None:
        if value not in ("", None):
            self.props.setdefault(name, []).append(value)

    def texts(self, *names: str) -> list[str]:
        """The text values of the properties, first name first; an item counts by its name, its address or its id."""
        found: list[str] = []
        for name in names:
            for value in self.props.get(name, ()):
                text = value if isinstance(value, str) else value.text("name", "url") or value.ident
                if text:
                    found.append(text)
        return found

    def text(self, *names: str) -> str | None:
        return next(iter(self.texts(*names)), None)

    def items(self, *names: str) -> list[Item]:
        return [value for name in names for value in self.props.get(name, ()) if isinstance(value, Item)]


def walk(items: list[Item], depth: int = 0) -> Iterator[Item]:
    """The items and everything inside them, outer first."""
    if depth > MAX_DEPTH:
        return
    for item in items:
        yield item
        for values in item.props.values():
            yield from walk([value for value in values if isinstance(value, Item)], depth + 1)


def type_names(types: Sequence[Any]) -> tuple[str, ...]:
    """The types without their vocabulary: ``"https://schema.org/Dentist"`` → ``"Dentist"``."""
    return tuple(
        re.split(r"[/#:]", name.strip())[-1] for text in types if isinstance(text, str) for name in text.split() if name
    )
