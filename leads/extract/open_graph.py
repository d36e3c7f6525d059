"""OpenGraph's contact data as a business, in the form that structured data has.

Facebook's vocabularies of a business and of a place say in ``<meta>`` what schema.org says in items. A page whose
metas hold no way to reach anybody tells of no business here; its ``og:site_name`` counts as a name elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from leads.extract.document import Document
from leads.extract.items import Item

# Property without its vocabulary, hyphens as underscores → schema.org's word.
_CONTACT = {
    "phone_number": "telephone", "fax_number": "faxNumber", "email": "email", "website": "url",
}  # fmt: skip
_PLACE = {
    "street_address": "streetAddress", "locality": "addressLocality", "region": "addressRegion",
    "postal_code": "postalCode", "country_name": "addressCountry",
}  # fmt: skip
_GEO = {"latitude": "latitude", "longitude": "longitude"}
MAX_METAS = 500
_VOCABULARIES = ("business:contact_data:", "place:location:", "og:")


def open_graph_items(document: Document) -> Iterator[Item]:
    """At most one business: the one that the page's metas give a phone, an e-mail or an address of."""
    business = Item(("Organization",), "open_graph")
    place = Item(("PostalAddress",), "open_graph")
    geo = Item(("GeoCoordinates",), "open_graph")
    for vocabulary in _VOCABULARIES:
        for key, value in document.metas.items():
            name = key.removeprefix(vocabulary).replace("-", "_") if key.startswith(vocabulary) else ""
            for words, item in ((_CONTACT, business), (_PLACE, place), (_GEO, geo)):
                if name in words and words[name] not in item.props:
                    item.add(words[name], value)
    if not business.props and not {"streetAddress", "postalCode"} & place.props.keys():
        return
    # Of a page that *is* a business the title is its name; of every other page the site's.
    kind = document.metas.get("og:type", "").lower()
    is_listed = kind.startswith(("business", "place", "restaurant", "company", "hotel", "bar", "cafe"))
    business.add("name", document.metas.get("og:title" if is_listed else "og:site_name", ""))
    for line in _hours(document):
        business.add("openingHours", line)
    for name, item in (("address", place), ("geo", geo)):
        if item.props:
            business.add(name, item)
    yield business


def _hours(document: Document) -> Iterator[str]:
    """``"Mo 08:00-12:00"`` of each triple of day, start and end, which stand one behind another."""
    day = start = ""
    for meta in islice(document.root.iter("meta"), MAX_METAS):
        key, value = (meta.get("property") or "").lower(), (meta.get("content") or "").strip()
        if key == "business:hours:day":
            day = value[:2].capitalize()
        elif key == "business:hours:start":
            start = value[:5]
        elif key == "business:hours:end" and day and start:
            yield f"{day} {start}-{value[:5]}"
