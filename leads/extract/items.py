"""Structured data as items: JSON-LD, microdata, RDFa and microformats all become the same thing.

An `Item` is a typed bag of properties in schema.org's words. What one syntax says, the others say alike, so
everything after this module reads one form only.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from leads.extract.document import Document, Element, clean, text_of

MAX_ITEMS = 2_000  # of one page; a sitemap of a chain stays far below
MAX_DEPTH = 20
MAX_JSON_CHARS = 2_000_000
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
        """The text values of the properties, first name first; an item counts by its name."""
        found: list[str] = []
        for name in names:
            for value in self.props.get(name, ()):
                text = value if isinstance(value, str) else value.text("name", "url", "@id")
                if text:
                    found.append(text)
        return found

    def text(self, *names: str) -> str | None:
        return next(iter(self.texts(*names)), None)

    def items(self, *names: str) -> list[Item]:
        return [value for name in names for value in self.props.get(name, ()) if isinstance(value, Item)]


def find_items(document: Document) -> list[Item]:
    """The top-level items of the page, JSON-LD first."""
    found = [*_json_ld(document), *_microdata(document), *_rdfa(document), *_microformats(document)]
    for item in walk(found):
        item.types = tuple(dict.fromkeys((*item.types, *_type_names(item.texts("additionalType")))))
    return found


def walk(items: list[Item], depth: int = 0) -> Iterator[Item]:
    """The items and everything inside them, outer first."""
    if depth > MAX_DEPTH:
        return
    for item in items:
        yield item
        for values in item.props.values():
            yield from walk([value for value in values if isinstance(value, Item)], depth + 1)


# JSON-LD


def _json_ld(document: Document) -> Iterator[Item]:
    for script in document.root.iter("script"):
        if "ld+json" not in (script.get("type") or "").lower():
            continue
        data = load_tolerantly((script.text or "")[:MAX_JSON_CHARS])
        if data is None:
            continue
        by_id: dict[str, Item] = {}
        budget = [MAX_ITEMS]
        roots = [item for item in _json_values(data, by_id, 0, budget) if isinstance(item, Item)]
        _resolve(roots, by_id)
        yield from roots


def load_tolerantly(text: str) -> Any:
    """JSON as the web has it: comments, CDATA and HTML comment wrappers, trailing commas, raw newlines, bad escapes.

    ``None`` if it cannot be read even so.
    """
    text = text.strip().removeprefix("<!--").removeprefix("//<![CDATA[").removeprefix("<![CDATA[")
    text = text.strip().removesuffix("-->").removesuffix("//]]>").removesuffix("]]>").strip().rstrip(";")
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(_repair(text), strict=False)
    except (ValueError, RecursionError):
        return None


_TOKENS = re.compile(r'/\*|//|[",}\]]|[^"/,}\]]+|/', re.DOTALL)
_IN_STRING = re.compile(r'[^"\\]*(?:\\.)?', re.DOTALL)


def _repair(text: str) -> str:
    """Drops comments and the commas before a closing bracket, outside of strings; one pass."""
    out: list[str] = []
    position = 0
    while found := _TOKENS.match(text, position):
        piece, position = found.group(), found.end()
        if piece == "/*":
            position = _past(text, "*/", position)
        elif piece == "//":
            position = _past(text, "\n", position)
        elif piece == '"':
            end = _end_of_string(text, position)
            out.append(re.sub(r'\\(?!["\\/bfnrtu])', r"\\\\", text[position - 1 : end]))
            position = end
        else:
            if piece in "}]":
                _drop_comma(out)
            out.append(piece)
    return "".join(out)


def _past(text: str, mark: str, start: int) -> int:
    end = text.find(mark, start)
    return len(text) if end == -1 else end + len(mark)


def _end_of_string(text: str, start: int) -> int:
    """The offset past the quote that closes the string whose first character is at ``start``."""
    position = start
    while position < len(text) and text[position] != '"':
        found = _IN_STRING.match(text, position)
        position = max(found.end() if found else 0, position + 1)
    return position + 1


def _drop_comma(out: list[str]) -> None:
    while out and not out[-1].strip():
        out.pop()
    if out and out[-1] == ",":
        out.pop()


def _json_values(data: Any, by_id: dict[str, Item], depth: int, budget: list[int]) -> list[str | Item]:
    """A JSON value as texts and items: arrays and graphs are flattened, numbers become text."""
    if depth > MAX_DEPTH or budget[0] <= 0:
        return []
    if isinstance(data, list):
        return [value for each in data for value in _json_values(each, by_id, depth + 1, budget)]
    if isinstance(data, dict):
        if "@graph" in data:
            return _json_values(data["@graph"], by_id, depth + 1, budget)
        if "@value" in data:
            return _json_values(data["@value"], by_id, depth + 1, budget)
        budget[0] -= 1
        types = data.get("@type", data.get("type", ()))
        item = Item(_type_names(types if isinstance(types, list) else [types]), "json_ld")
        item.ident = data["@id"] if isinstance(data.get("@id"), str) else ""
        for key, value in data.items():
            if not key.startswith("@"):
                name = key.rsplit("/", 1)[-1].rsplit(":", 1)[-1]
                for each in _json_values(value, by_id, depth + 1, budget):
                    item.add(name, each)
        if item.ident and item.props:
            by_id.setdefault(item.ident, item)
        return [item]
    if data is None or isinstance(data, bool):
        return []
    text = clean(str(data)[: MAX_TEXT * 2])
    return [_plain_text(text)[:MAX_TEXT]] if text else []


def _plain_text(text: str) -> str:
    """JSON-LD texts often carry HTML: entities and tags a reader never sees."""
    if "&" in text or "<" in text:
        text = clean(re.sub(r"<[^<>]{0,500}>", " ", html.unescape(text)))
    return text


def _resolve(roots: list[Item], by_id: dict[str, Item]) -> None:
    """Puts the item in the place of a bare ``{"@id": …}`` that names it."""
    for item in list(walk(roots)):
        for values in item.props.values():
            for place, value in enumerate(values):
                if isinstance(value, Item) and not value.props and value.ident in by_id:
                    target = by_id[value.ident]
                    # A copy without relations: graphs have cycles (site → publisher → site).
                    kept: dict[str, list[str | Item]] = {
                        name: found if name in ("address", "geo") else [text for text in found if isinstance(text, str)]
                        for name, found in target.props.items()
                    }
                    values[place] = Item(target.types, target.source, kept, target.ident)


def _type_names(types: Sequence[Any]) -> tuple[str, ...]:
    return tuple(
        re.split(r"[/#:]", name.strip())[-1] for text in types if isinstance(text, str) for name in text.split() if name
    )


# Microdata and RDFa share the shape: an element opens an item, another names a property of the nearest one.


def _microdata(document: Document) -> Iterator[Item]:
    return _attribute_items(document, "microdata", scope="itemscope", kind="itemtype", prop="itemprop")


def _rdfa(document: Document) -> Iterator[Item]:
    return _attribute_items(document, "rdfa", scope="typeof", kind="typeof", prop="property")


def _attribute_items(document: Document, source: str, *, scope: str, kind: str, prop: str) -> Iterator[Item]:
    owners: dict[Element, Item] = {}
    roots: list[Item] = []
    for element in document.root.xpath(f"//*[@{scope} or @{prop}]"):
        names = [name.rsplit("/", 1)[-1].rsplit(":", 1)[-1] for name in (element.get(prop) or "").split()]
        opens = element.get(scope) is not None
        owner = _owner(element, owners) if names else None
        if opens:
            item = Item(_type_names([element.get(kind) or ""]), source, element=element)
            item.ident = element.get("itemid") or element.get("resource") or ""
            owners[element] = item
            if names and owner is not None:
                for name in names:
                    owner.add(name, item)
            else:
                roots.append(item)
        elif owner is not None:
            value = _attribute_value(element)
            for name in names:
                owner.add(name, value)
        if len(owners) >= MAX_ITEMS:
            break
    if source == "microdata":
        _follow_itemrefs(document, owners)
    return iter(roots)


def _owner(element: Element, owners: dict[Element, Item]) -> Item | None:
    node = element.getparent()
    for _ in range(200):
        if node is None:
            return None
        if node in owners:
            return owners[node]
        node = node.getparent()
    return None


def _follow_itemrefs(document: Document, owners: dict[Element, Item]) -> None:
    referring = [(element, item) for element, item in owners.items() if element.get("itemref")]
    if not referring:
        return
    by_id = {
        element.get("id"): element
        for element in document.root.iter()
        if isinstance(element.tag, str) and element.get("id")
    }
    for element, item in referring[:100]:
        for ident in element.get("itemref").split()[:20]:
            for node in by_id[ident].iter() if ident in by_id else ():
                if isinstance(node.tag, str) and node.get("itemprop") and _owner(node, owners) is None:
                    for name in node.get("itemprop").split():
                        item.add(name, owners.get(node) or _attribute_value(node))


def _attribute_value(element: Element) -> str:
    if element.get("content") is not None:
        return clean(element.get("content")[:MAX_TEXT])
    if element.tag in ("a", "link", "area"):
        href = (element.get("href") or "").strip()
        if href.lower().startswith(("mailto:", "tel:")):
            return clean(text_of(element)) or href
        return href or text_of(element)
    if element.tag in ("img", "source", "iframe", "embed"):
        return (element.get("src") or "").strip()
    if element.tag in ("meter", "data") and element.get("value"):
        return str(element.get("value"))
    if element.tag == "time" and element.get("datetime"):
        return clean(element.get("datetime"))
    return text_of(element, MAX_TEXT)


# Microformats: class names that say what schema.org properties say.

_CARD_PROPS = {
    "fn": "name", "p-name": "name", "org": "organization", "p-org": "organization", "tel": "telephone",
    "p-tel": "telephone", "email": "email", "u-email": "email", "url": "url", "u-url": "url", "logo": "logo",
    "u-logo": "logo", "photo": "image", "u-photo": "image", "note": "description", "p-note": "description",
    "category": "category", "p-category": "category",
}  # fmt: skip
_PLACE_PROPS = {
    "street-address": "streetAddress", "extended-address": "streetAddress", "locality": "addressLocality",
    "region": "addressRegion", "postal-code": "postalCode", "country-name": "addressCountry",
    "latitude": "latitude", "longitude": "longitude",
}  # fmt: skip


def _microformats(document: Document) -> Iterator[Item]:
    taken: set[Element] = set()
    cards = 0
    for card in document.root.xpath("//*[contains(@class,'vcard') or contains(@class,'h-card')]"):
        classes = card.get("class").split()
        if not {"vcard", "h-card"} & set(classes) or card in taken or cards >= 200:
            continue
        cards += 1
        item = _card(card, taken)
        if item.props:
            yield item


def _card(card: Element, taken: set[Element]) -> Item:
    """One card; a card inside it is its person or department and stays part of it only by address and phone."""
    item = Item(("Organization",), "h_card", element=card)
    place = Item(("PostalAddress",), "h_card")
    geo = Item(("GeoCoordinates",), "h_card")
    is_person = False
    for number, element in enumerate(card.iter()):
        taken.add(element)
        if number > 3_000:
            break
        if not isinstance(element.tag, str):
            continue
        for name in (element.get("class") or "").split():
            bare = name.removeprefix("p-").removeprefix("u-")
            if bare in _PLACE_PROPS:
                target = geo if bare in ("latitude", "longitude") else place
                target.add(
                    _PLACE_PROPS[bare], clean(element.get("title") or "") if element.tag == "abbr" else text_of(element)
                )
            elif name in _CARD_PROPS:
                _add_card_value(item, element, name)
            is_person = is_person or bare in ("given-name", "family-name")
    if "organization" in item.props:
        item.props["name"] = item.props.pop("organization")
    if place.props:
        item.add("address", place)
    if geo.props:
        item.add("geo", geo)
    if is_person and not any(
        "org" in (node.get("class") or "").split() for node in card.iter() if isinstance(node.tag, str)
    ):
        item.types = ("Person",)
    return item


def _add_card_value(item: Item, element: Element, name: str) -> None:
    prop = _CARD_PROPS[name]
    if prop == "telephone":
        kinds = " ".join(text_of(node) for node in element.iter() if "type" in (node.get("class") or "").split())
        values = [node for node in element.iter() if "value" in (node.get("class") or "").split()]
        href = element.get("href") or ""
        text = "".join(text_of(node) for node in values) or (href if href.startswith("tel:") else text_of(element))
        item.add("faxNumber" if "fax" in kinds.lower() else prop, text.removeprefix("tel:"))
    elif prop in ("url", "logo", "image"):
        item.add(prop, (element.get("href") or element.get("src") or text_of(element)).strip())
    elif prop == "email":
        href = element.get("href") or ""
        item.add(prop, href if href.lower().startswith("mailto:") else text_of(element))
    else:
        item.add(prop, text_of(element, 300))
