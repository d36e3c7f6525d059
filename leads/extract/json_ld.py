"""JSON-LD, read as tolerantly as search engines do."""

from __future__ import annotations

import html
import json
import re
from typing import Any

from leads.extract.document import Document, clean
from leads.extract.items import MAX_DEPTH, MAX_ITEMS, MAX_TEXT, Item, type_names, walk

MAX_JSON_CHARS = 2_000_000


def json_ld_items(document: Document) -> list[Item]:
    """The items of all JSON-LD scripts; one may name by ``@id`` what another one tells."""
    by_id: dict[str, Item] = {}
    budget = [MAX_ITEMS]
    roots: list[Item] = []
    for script in document.root.iter("script"):
        if "ld+json" in (script.get("type") or "").lower():
            data = load_tolerantly((script.text or "")[:MAX_JSON_CHARS])
            roots += [item for item in _json_values(data, by_id, 0, budget) if isinstance(item, Item)]
    _resolve(roots, by_id)
    return roots


def load_tolerantly(text: str) -> Any:
    """JSON as the web has it: comments, CDATA and HTML comment wrappers, trailing commas, raw newlines, bad escapes,
    entities, several values behind one another (which come as a list).

    ``None`` if it cannot be read even so.
    """
    text = _unwrapped(text)
    for repair in (str, _repair, _repair_escaped):
        try:
            return _values(repair(text))
        except (ValueError, RecursionError):
            continue
    return None


_OPENERS = ("<!--", "<![CDATA[", "//", "/*<![CDATA[*/", "/*<![CDATA[")
_CLOSERS = ("-->", "]]>", "//", "/*]]>*/", ";")


def _unwrapped(text: str) -> str:
    """``text`` without the wrappers by which old pages hid a script, in whatever order they stand."""
    before = None
    while text != before:
        before = text
        for mark in _OPENERS:
            text = text.strip().removeprefix(mark)
        for mark in _CLOSERS:
            text = text.strip().removesuffix(mark)
    return text


def _values(text: str) -> Any:
    decoder = json.JSONDecoder(strict=False)
    values: list[Any] = []
    position = 0
    while position < len(text) and len(values) < MAX_ITEMS:
        value, end = decoder.raw_decode(text, position)
        values.append(value)
        rest = _BETWEEN.match(text, end)
        position = rest.end() if rest else end
    return values[0] if len(values) == 1 else values


def _repair_escaped(text: str) -> str:
    return _repair(html.unescape(text))


_BETWEEN = re.compile(r"[\s,;]*")
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
        item = Item(type_names(types if isinstance(types, list) else [types]), "json_ld")
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
