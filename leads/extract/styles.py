"""What a page's own style sheets do to its text: which elements show their letters backwards, and which are decoys.

Only plain rules of ``<style>`` elements are read, by the last part of their selectors (tag, id, classes). That is
how pages hide an address from machines; layout is none of our business.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

MAX_CSS_CHARS = 200_000
MAX_RULES = 2_000
MAX_DECOY_CHARS = 40  # "REMOVE-THIS": what is longer is content that a script will show

_SIMPLE = re.compile(r"(?P<tag>[a-zA-Z][\w-]{0,40})?(?P<marks>(?:[#.][\w-]{1,80}){0,6})\Z")
_COMBINATOR = re.compile(r"[\s>+~]")
_REVERSES = re.compile(r"unicode-bidi\s{0,4}:\s{0,4}(?:bidi|isolate)-override", re.IGNORECASE)
_LEFT_TO_RIGHT = re.compile(r"direction\s{0,4}:\s{0,4}ltr", re.IGNORECASE)
_HIDES = re.compile(r"display\s{0,4}:\s{0,4}none|visibility\s{0,4}:\s{0,4}hidden", re.IGNORECASE)
_INLINE = frozenset("span b i em strong small u s code font label bdo bdi ins del".split())


@dataclass(frozen=True, slots=True)
class _Selector:
    tag: str
    ident: str
    classes: frozenset[str]

    def fits(self, node: Any, classes: frozenset[str]) -> bool:
        return self.tag in ("", node.tag) and self.ident in ("", node.get("id") or "") and self.classes <= classes


@dataclass(slots=True)
class Styles:
    """The rules of a page, found by the tag, id or class that they ask for."""

    _reversing: defaultdict[str, list[_Selector]] = field(default_factory=lambda: defaultdict(list))
    _hiding: defaultdict[str, list[_Selector]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, root: Any) -> Styles:
        """The rules of all ``<style>`` elements that reverse or hide; a rule under ``@media`` hides nothing."""
        styles = cls()
        rules = 0
        for element in root.iter("style"):
            for selectors, body, is_conditional in _rules((element.text or "")[:MAX_CSS_CHARS]):
                if _is_reversing(body):
                    found = styles._reversing
                elif (
                    _HIDES.search(body) and not is_conditional and not _COMBINATOR.search(selectors.replace(", ", ","))
                ):
                    found = styles._hiding
                else:
                    continue
                for selector in _parse(selectors):
                    found[selector.ident or next(iter(selector.classes), selector.tag)].append(selector)
                rules += 1
                if rules >= MAX_RULES:
                    return styles
        return styles

    def reversed_in(self, root: Any) -> set[Any]:
        """The elements that show their text backwards: by a rule, by their own style, or as ``<bdo dir=rtl>``."""
        found = {node for node in root.iter("bdo") if (node.get("dir") or "").lower() == "rtl"}
        found |= {
            node for node in root.xpath("//*[contains(@style,'override')]") if _is_reversing(node.get("style")[:500])
        }
        if self._reversing:
            found |= {node for node in root.iter(etree.Element) if _fits(self._reversing, node)}
        return found

    def decoys_in(self, root: Any) -> set[Any]:
        """The elements that are a few hidden letters amid a text ("info@<span>NOSPAM</span>example.com").

        A hidden number or address is none: a click will show it.
        """
        candidates = root.iter(*_INLINE) if self._hiding else ()
        return {node for node in candidates if _is_short(node) and _fits(self._hiding, node)}


def _is_short(node: Any) -> bool:
    text = node.text or ""
    return len(node) == 0 and len(text) <= MAX_DECOY_CHARS and "@" not in text and sum(map(str.isdigit, text)) < 6


def is_hidden(node: Any) -> bool:
    """Whether the element's own attributes hide it."""
    style = node.get("style")
    return node.get("hidden") is not None or bool(style and _HIDES.search(style[:500]))


def _is_reversing(body: str) -> bool:
    return _REVERSES.search(body) is not None and _LEFT_TO_RIGHT.search(body) is None


def _rules(css: str) -> Iterator[tuple[str, str, bool]]:
    """(selectors, declarations, whether a condition stands around them)."""
    depth = 0
    for block in css.split("}"):
        head, brace, body = block.rpartition("{")
        yield head.rpartition("{")[2].strip(), body[:500], depth > 0 or "{" in head
        depth = max(0, depth + head.count("{") + (1 if brace else 0) - 1)


def _parse(selectors: str) -> Iterator[_Selector]:
    for text in selectors[:2_000].split(","):
        last = _COMBINATOR.split(text.strip())[-1]
        found = _SIMPLE.match(last)
        if found and last:
            marks = re.findall(r"[#.][\w-]{1,80}", found["marks"])
            idents = [mark[1:] for mark in marks if mark[0] == "#"]
            classes = frozenset(mark[1:] for mark in marks if mark[0] == ".")
            yield _Selector((found["tag"] or "").lower(), idents[0] if idents else "", classes)


def _fits(rules: defaultdict[str, list[_Selector]], node: Any) -> bool:
    classes = frozenset((node.get("class") or "").split())
    keys = (node.tag, node.get("id") or "", *classes)
    return any(selector.fits(node, classes) for key in keys if key in rules for selector in rules[key][:50])
