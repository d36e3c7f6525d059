"""A parsed page: its visible text as lines, each character traced to the element that holds it.

A *line* is what a reader sees as one: inline elements are joined, block elements, cells and ``<br>`` break.
So a number that is split over ``<span>`` elements is one piece of text, and the label of a table cell is the
line before its value. Everything here is linear in the size of the page.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from urllib.parse import urljoin, urlsplit

from lxml import etree
from lxml import html as lxml_html

# lxml ships no types; an element is opaque to the callers of this module.
Element = Any

_SKIPPED = frozenset("script style template svg math object head textarea iframe canvas audio video".split())
_INLINE = frozenset(
    "a abbr acronym b bdi bdo big button cite code data dfn em font i img input ins kbd label link mark meta nobr"
    " q rp rt ruby s samp small span strike strong sub sup time tt u var wbr".split()
)
_HEADINGS = frozenset("h1 h2 h3 h4 h5 h6 legend caption dt th".split())
# Attributes in which pages write for machines and screen readers what a picture or a button shows.
_TELLING_ATTRIBUTES = ("aria-label", "data-phone", "data-phone-number", "data-tel", "data-telephone", "data-email")
_TOLD_PATH = f"//*[{' or '.join(f'@{name}' for name in _TELLING_ATTRIBUTES)}]"
_SPACES = re.compile(r"[\s\u00a0\u2000-\u200a\u202f\u3000]+")
_INVISIBLE = str.maketrans("", "", "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u2060\ufeff\u00ad")
_HIDDEN_STYLE = re.compile(r"display\s{0,4}:\s{0,4}none|visibility\s{0,4}:\s{0,4}hidden", re.IGNORECASE)
_REVERSED_STYLE = re.compile(r"unicode-bidi\s{0,4}:\s{0,4}bidi-override", re.IGNORECASE)
_REVERSED_RULE = re.compile(r"\.([\w-]{1,60})\s{0,4}\{[^{}]{0,400}bidi-override", re.IGNORECASE)

# Contact data stands in the first megabytes of a page or not at all; what follows would only cost time.
MAX_HTML_CHARS = 4_000_000
MAX_LINES = 20_000
MAX_LINE_CHARS = 4_000
MAX_HEAD_LINKS = 300
MAX_SELECTOR_STEPS = 40


@dataclass(frozen=True, slots=True)
class Line:
    """One visible line. ``pieces`` are (offset in ``text``, element that holds the text from there on)."""

    number: int
    text: str
    pieces: tuple[tuple[int, Element], ...]
    tag: str

    def element_at(self, offset: int) -> Element:
        """The element whose text covers ``offset``."""
        index = bisect_right(self.pieces, offset, key=lambda piece: piece[0]) - 1
        return self.pieces[max(index, 0)][1]

    @property
    def is_heading(self) -> bool:
        return self.tag in _HEADINGS


@dataclass(frozen=True, slots=True)
class Link:
    """One ``<a href>``: the address as written, resolved, its text, and the line it stands in."""

    href: str
    url: str
    text: str
    line: int
    element: Element


@dataclass(slots=True)
class Document:
    """One page. ``url`` is where it was read from, ``base`` what its links are relative to, ``canonical`` what it
    says its address is, ``own_languages`` its hreflang tags."""

    url: str
    base: str
    root: Element
    title: str = ""
    language: str = ""
    canonical: str = ""
    own_languages: list[str] = field(default_factory=list)
    metas: dict[str, str] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    # Lines, texts and elements of what stands in attributes: images' alt, labels, data.
    alts: list[tuple[int, str, Element]] = field(default_factory=list)

    @property
    def host(self) -> str:
        return host_of(self.url)

    def resolve(self, href: str) -> str | None:
        """``href`` as an absolute http(s) address, ``None`` if it is none or is malformed."""
        href = href.strip()
        if href.startswith(("#", "javascript:", "mailto:", "tel:")):
            return None
        try:
            url = urljoin(self.base, href)
            return url if urlsplit(url).scheme in ("http", "https") and len(url) <= 2_048 else None
        except ValueError:
            return None


def _is_well_formed(url: str) -> bool:
    try:
        return bool(urlsplit(url).scheme)
    except ValueError:
        return False


def host_of(url: str) -> str:
    """The host name of ``url`` in lower case, empty if it has none."""
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def clean(text: str) -> str:
    """``text`` with every run of blanks as one space and no invisible characters."""
    return _SPACES.sub(" ", text.translate(_INVISIBLE)).strip()


def text_of(element: Element, limit: int = 2_000) -> str:
    """The text of ``element`` and its children, scripts left out, cut at ``limit`` characters."""
    parts: list[str] = []
    size = 0
    for node in islice(element.iter(), limit):
        if isinstance(node.tag, str) and node.tag not in ("script", "style") and node.text:
            parts.append(node.text)
            size += len(node.text)
        if node is not element and node.tail:
            parts.append(node.tail)
            size += len(node.tail)
        if isinstance(node.tag, str) and node.tag in ("br", "p", "div", "li", "td"):
            parts.append(" ")
        if size > limit:
            break
    return clean("".join(parts))[:limit]


def parse(html: str, url: str) -> Document:
    """Read ``html``; never raises for what a page may contain. An empty page gives an empty document."""
    parser = lxml_html.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    data = html[:MAX_HTML_CHARS].replace("\x00", "").encode("utf-8", "replace")
    try:
        root = lxml_html.document_fromstring(data or b"<html></html>", parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError):
        root = lxml_html.document_fromstring(b"<html><body></body></html>")
    url = url if _is_well_formed(url) else ""
    document = Document(url=url, base=url, root=root)
    _read_head(document)
    _Walker(document).run()
    return document


def selector_of(element: Element) -> str | None:
    """A CSS selector that leads to ``element``: from the nearest id, else from the root."""
    steps: list[str] = []
    node = element
    while node is not None and isinstance(node.tag, str) and len(steps) < MAX_SELECTOR_STEPS:
        ident = node.get("id")
        if ident and re.fullmatch(r"[A-Za-z][\w-]{0,60}", ident):
            steps.append(f"#{ident}")
            break
        parent = node.getparent()
        if parent is None:
            steps.append(node.tag)
            break
        place = 1 + sum(1 for _ in node.itersiblings(node.tag, preceding=True))
        steps.append(f"{node.tag}:nth-of-type({place})")
        node = parent
    selector = " > ".join(reversed(steps))
    return selector if 0 < len(selector) <= 1_000 else None


def _read_head(document: Document) -> None:
    root = document.root
    document.language = root.get("lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang") or ""
    title = root.find(".//head/title")
    if title is None:
        title = root.find(".//title")
    document.title = text_of(title, 500) if title is not None else ""
    for meta in root.iter("meta"):
        key = (meta.get("property") or meta.get("name") or meta.get("http-equiv") or "").lower()
        if key and meta.get("content"):
            document.metas.setdefault(key, clean(meta.get("content"))[:2_000])
    base = root.find(".//base")
    if base is not None and base.get("href"):
        document.base = document.resolve(base.get("href")) or document.url
    for link in islice(root.iter("link"), MAX_HEAD_LINKS):
        _read_head_link(document, link)


def _read_head_link(document: Document, link: Element) -> None:
    """The page's own address, and the languages under which it is listed beside its translations."""
    kind, href = (link.get("rel") or "").lower(), link.get("href") or ""
    if kind == "canonical":
        document.canonical = document.canonical or document.resolve(href) or ""
    elif kind == "alternate" and link.get("hreflang") and document.resolve(href) == document.url:
        document.own_languages.append(link.get("hreflang"))


class _Walker:
    """Turns the tree into lines, without recursion: a hostile page may nest deeper than Python's stack."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._parts: list[str] = []
        self._pieces: list[tuple[int, Element]] = []
        self._size = 0
        self._tag = "body"
        self._reversed = self._reversed_classes()
        self._told: set[Element] = set()

    def run(self) -> None:
        body = self._document.root.find("body")
        skipped: set[Element] = set()
        self._told = set(self._document.root.xpath(_TOLD_PATH))
        hidden = {node for node in self._document.root.xpath("//*[@hidden or @style]") if _is_hidden(node)}
        walk = etree.iterwalk(body if body is not None else self._document.root, events=("start", "end"))
        for event, node in walk:
            tag = node.tag
            if event == "start":
                if tag in _SKIPPED or node in hidden:
                    walk.skip_subtree()
                    skipped.add(node)
                    continue
                if tag not in _INLINE:
                    self._flush(tag)
                self._open(node, tag)
            else:
                if tag not in _INLINE and node not in skipped:
                    self._flush("")
                skipped.discard(node)
                if node.tail and node is not body:
                    self._add(node.tail, node.getparent())
            if len(self._document.lines) >= MAX_LINES:
                break
        self._flush("")

    def _open(self, node: Element, tag: str) -> None:
        document = self._document
        if tag == "a" and node.get("href"):
            href = node.get("href").strip()[:2_048]
            document.links.append(
                Link(href, document.resolve(href) or "", text_of(node, 300), len(document.lines), node)
            )
        elif tag in ("img", "area") and node.get("alt"):
            document.alts.append((len(document.lines), clean(node.get("alt"))[:500], node))
        if node in self._told:
            told = (clean(node.get(name))[:500] for name in _TELLING_ATTRIBUTES if node.get(name))
            document.alts.extend((len(document.lines), text, node) for text in told)
        if node.get("data-cfemail"):
            self._add(f" {decode_cloudflare(node.get('data-cfemail')) or ''} ", node)
        elif node.text:
            self._add(node.text[::-1] if self._is_reversed(node) else node.text, node)

    def _add(self, text: str, owner: Element) -> None:
        if not self._parts and text.isspace():
            return
        if not text.isascii():
            text = text.translate(_INVISIBLE)
        text = _SPACES.sub(" ", text)
        if not self._parts:
            text = text.lstrip()
        elif self._parts[-1].endswith(" "):
            text = text.removeprefix(" ")
        while text:
            room = MAX_LINE_CHARS - self._size
            piece, text = text[:room], text[room:]
            self._pieces.append((self._size, owner))
            self._parts.append(piece)
            self._size += len(piece)
            if self._size >= MAX_LINE_CHARS:
                self._flush(self._tag)

    def _flush(self, next_tag: str) -> None:
        if self._parts:
            text = "".join(self._parts).rstrip()
            if text:
                lines = self._document.lines
                lines.append(Line(len(lines), text, tuple(self._pieces), self._tag))
            self._parts, self._pieces, self._size = [], [], 0
        self._tag = next_tag

    def _reversed_classes(self) -> frozenset[str]:
        found: set[str] = set()
        for style in self._document.root.iter("style"):
            css = (style.text or "")[:200_000]
            if "bidi-override" in css:
                found.update(_REVERSED_RULE.findall(css))
        return frozenset(found)

    def _is_reversed(self, node: Element) -> bool:
        if _REVERSED_STYLE.search((node.get("style") or "")[:500]):
            return True
        return bool(self._reversed) and not self._reversed.isdisjoint((node.get("class") or "").split())


def _is_hidden(node: Element) -> bool:
    if node.get("hidden") is not None:
        return True
    style = node.get("style")
    return bool(style and _HIDDEN_STYLE.search(style[:500]))


def decode_cloudflare(code: str) -> str | None:
    """The address behind Cloudflare's ``data-cfemail``: hexadecimal, the first byte is the XOR key."""
    try:
        data = bytes.fromhex(code[:400])
        return bytes(byte ^ data[0] for byte in data[1:]).decode("utf-8")
    except (ValueError, IndexError):
        return None
