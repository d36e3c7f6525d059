"""Microdata and RDFa: an element opens an item, another names a property of the nearest one."""

from __future__ import annotations

from collections.abc import Iterator

from leads.extract.document import Document, Element, clean, text_of
from leads.extract.items import MAX_ITEMS, MAX_TEXT, Item, type_names


def microdata_items(document: Document) -> Iterator[Item]:
    return _attribute_items(document, "microdata", scope="itemscope", kind="itemtype", prop="itemprop")


def rdfa_items(document: Document) -> Iterator[Item]:
    return _attribute_items(document, "rdfa", scope="typeof", kind="typeof", prop="property")


def _attribute_items(document: Document, source: str, *, scope: str, kind: str, prop: str) -> Iterator[Item]:
    owners: dict[Element, Item] = {}
    roots: list[Item] = []
    for element in document.root.xpath(f"//*[@{scope} or @{prop}]"):
        names = [name.rsplit("/", 1)[-1].rsplit(":", 1)[-1] for name in (element.get(prop) or "").split()]
        opens = element.get(scope) is not None
        owner = _owner(element, owners) if names else None
        if opens:
            item = Item(type_names([element.get(kind) or ""]), source, element=element)
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
