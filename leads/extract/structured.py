"""All structured data of a page, whatever its syntax."""

from __future__ import annotations

from leads.extract.document import Document
from leads.extract.items import Item, type_names, walk
from leads.extract.json_ld import json_ld_items
from leads.extract.microdata import microdata_items, rdfa_items
from leads.extract.microformats import microformat_items
from leads.extract.open_graph import open_graph_items


def find_items(document: Document) -> list[Item]:
    """The top-level items of the page, JSON-LD first."""
    found = [
        *json_ld_items(document),
        *microdata_items(document),
        *rdfa_items(document),
        *microformat_items(document),
        *open_graph_items(document),
    ]
    for item in walk(found):
        item.types = tuple(dict.fromkeys((*item.types, *type_names(item.texts("additionalType")))))
    return found
