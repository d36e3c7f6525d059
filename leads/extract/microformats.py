"""Microformats, old (hCard) and new (h-card): class names that say what schema.org's properties say."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from leads.extract.document import Document, Element, clean, text_of
from leads.extract.items import Item

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


_RATING_PROPS = {
    "average": "ratingValue", "p-average": "ratingValue", "rating": "ratingValue", "best": "bestRating",
    "p-best": "bestRating", "count": "reviewCount", "p-count": "reviewCount", "votes": "ratingCount",
    "p-votes": "ratingCount",
}  # fmt: skip
_AGGREGATES = ("hreview-aggregate", "h-review-aggregate")
MAX_CARDS = 200
MAX_CARD_NODES = 3_000


def microformat_items(document: Document) -> Iterator[Item]:
    """The cards of a page: businesses, people with their employer, people."""
    taken: set[Element] = set()
    cards = 0
    for card in document.root.xpath("//*[contains(@class,'vcard') or contains(@class,'h-card')]"):
        if not {"vcard", "h-card"} & set(card.get("class").split()) or card in taken or cards >= MAX_CARDS:
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
    for element in islice(card.iter(), MAX_CARD_NODES):
        taken.add(element)
        if not isinstance(element.tag, str):
            continue
        for name in (element.get("class") or "").split():
            bare = name.removeprefix("p-").removeprefix("u-")
            if bare in _PLACE_PROPS:
                (geo if bare in ("latitude", "longitude") else place).add(_PLACE_PROPS[bare], _value(element))
            elif bare == "geo":
                item.add("geo", _value(element) if element.get("title") else "")
            elif name in _CARD_PROPS:
                _add_card_value(item, element, name)
            is_person = is_person or bare in ("given-name", "family-name")
    is_person = is_person and "organization" not in item.props
    if "organization" in item.props:
        item.props["name"] = item.props.pop("organization")
    if "name" not in item.props:  # a card without marks of its own is all name
        item.add("name", text_of(card, 300) if len(card) == 0 else "")
        item.add("url", card.get("href") or "")
    for name, inner in (("address", place), ("geo", geo), ("aggregateRating", _aggregate_rating(card))):
        if inner.props:
            item.add(name, inner)
    if is_person:
        item.types = ("Person",)
    return item


def _aggregate_rating(card: Element) -> Item:
    """The rating that stands around a card: hCard's companion hReview-aggregate."""
    rating = Item(("AggregateRating",), "h_card")
    review = next(
        (
            node
            for node in (card, *islice(card.iterancestors(), 8))
            if any(name in _AGGREGATES for name in (node.get("class") or "").split())
        ),
        None,
    )
    for element in islice(review.iter(), MAX_CARD_NODES) if review is not None else ():
        for name in (element.get("class") or "").split() if isinstance(element.tag, str) else ():
            if name in _RATING_PROPS and not (name == "rating" and len(element)):
                rating.add(_RATING_PROPS[name], _value(element))
    return rating


def _value(element: Element) -> str:
    """The value of a mark: what machines are told (``<abbr title>``, ``<data value>``), else its text."""
    if element.tag == "abbr" and element.get("title"):
        return clean(element.get("title"))
    if element.tag in ("data", "input", "meter") and element.get("value"):
        return clean(element.get("value"))
    for node in element if not (element.text or "").strip() else ():
        if isinstance(node.tag, str) and "value-title" in (node.get("class") or "").split() and node.get("title"):
            return clean(node.get("title"))
    return clean(element.get("title")) if "geo" in (element.get("class") or "").split() else text_of(element, 300)


def _add_card_value(item: Item, element: Element, name: str) -> None:
    prop = _CARD_PROPS[name]
    if prop == "telephone":
        marked = [node for node in islice(element.iter(), 50) if isinstance(node.tag, str)]
        kinds = " ".join(_value(node) for node in marked if "type" in (node.get("class") or "").split())
        values = [_value(node) for node in marked if "value" in (node.get("class") or "").split()]
        href = element.get("href") or ""
        text = "".join(values) or (href if href.startswith("tel:") else _value(element))
        item.add("faxNumber" if "fax" in kinds.lower() else prop, text.removeprefix("tel:"))
    elif prop in ("url", "logo", "image"):
        item.add(prop, (element.get("href") or element.get("src") or text_of(element)).strip())
    elif prop == "email":
        href = element.get("href") or ""
        item.add(prop, href if href.lower().startswith("mailto:") else _value(element))
    elif name == "org":
        parts = (node for node in islice(element.iter(), 20) if isinstance(node.tag, str))
        unit = next((node for node in parts if "organization-name" in (node.get("class") or "").split()), element)
        item.add(prop, _value(unit))
    else:
        item.add(prop, _value(element))
