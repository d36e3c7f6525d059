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

from leads.emails import decode_cloudflare
from leads.extract.styles import Styles, is_hidden

# lxml ships no types; an element is opaque to the callers of this module.
Element = Any

_SKIPPED = frozenset(
    "script style template math object head textarea iframe canvas audio video title desc defs metadata".split()
)
_INLINE = frozenset(
    "a abbr acronym b bdi bdo big button cite code data dfn em font i img input ins kbd label link mark meta nobr"
    " q rp rt ruby s samp small span strike strong sub sup time tspan tt u var wbr".split()
)
_HEADINGS = frozenset("h1 h2 h3 h4 h5 h6 legend caption dt th".split())
# Attributes in which pages write for machines and screen readers what a picture or a button shows.
NUMBER_ATTRIBUTES = (
    "data-phone", "data-phone-number", "data-phonenumber", "data-tel", "data-telephone", "data-mobile", "data-whatsapp",
    "data-fax", "data-full-number",
)  # fmt: skip
_TELLING_ATTRIBUTES = (*NUMBER_ATTRIBUTES, "aria-label", "title", "data-email", "data-mail", "data-clipboard-text")
_LINKING_ATTRIBUTES = ("onclick", "data-href", "data-url")
_TOLD_PATH = f"//*[{' or '.join(f'@{n}' for n in (*_TELLING_ATTRIBUTES, *_LINKING_ATTRIBUTES, 'data-domain'))}]"
_CONTACT_LINK = re.compile(r"(?:tel|mailto|sms):[^'\"\\\s)]{3,200}", re.IGNORECASE)
# Pictures of the signs in an address: "info<img alt='@'>example.com".
_SIGN = re.compile(r"[\W_]{0,2}(@|at|dot|\.)[\W_]{0,2}", re.IGNORECASE)
_MIRROR = str.maketrans("()[]{}<>", ")(][}{><")
_SPACES = re.compile(r"[\s\u00a0\u2000-\u200a\u202f\u3000]+")
_INVISIBLE = str.maketrans("", "", "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u2060\ufeff\u00ad")

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


@dataclass(frozen=True, slots=True)
class Told:
    """What stands in an attribute (a picture's ``alt``, a label, data), and the line it stands in or before."""

    line: int
    text: str
    element: Element
    attribute: str


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
    told: list[Told] = field(default_factory=list)

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
        self._reversed: set[Element] = set()
        self._told: set[Element] = set()
        self._override: Element = None  # the element whose text is shown backwards, and from which part on
        self._override_from = 0

    def run(self) -> None:
        body = self._document.root.find("body")
        skipped: set[Element] = set()
        self._told = set(self._document.root.xpath(_TOLD_PATH))
        styles = Styles.of(self._document.root)
        self._reversed = styles.reversed_in(self._document.root)
        hidden = {node for node in self._document.root.xpath("//*[@hidden or @style]") if is_hidden(node)}
        hidden |= styles.decoys_in(self._document.root)
        walk = etree.iterwalk(body if body is not None else self._document.root, events=("start", "end"))
        for event, node in walk:
            tag = node.tag
            if event == "start":
                if tag in _SKIPPED or node in hidden or (tag == "svg" and _is_mute(node)):
                    walk.skip_subtree()
                    skipped.add(node)
                    continue
                if tag not in _INLINE:
                    self._flush(tag)
                self._open(node, tag)
            else:
                if tag not in _INLINE and node not in skipped:
                    self._flush("")
                if node is self._override:
                    self._turn_round()
                    self._override = None
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
        elif tag in ("img", "area"):
            self._read_alt(node)
        elif tag == "input":
            self._read_button(node)
        if node in self._told:
            self._read_attributes(node)
        if node in self._reversed and self._override is None:
            self._override, self._override_from = node, len(self._parts)
        if node.get("data-cfemail"):
            self._add(f" {decode_cloudflare(node.get('data-cfemail')) or ''} ", node)
        elif node.text:
            self._add(node.text, node)

    def _read_button(self, node: Element) -> None:
        kind = (node.get("type") or "").lower()
        if kind in ("button", "submit"):
            self._add(f" {node.get('value') or ''} ", node)
        elif kind == "image":
            self._read_alt(node)

    def _read_alt(self, node: Element) -> None:
        alt = clean(node.get("alt") or "")[:500]
        if not alt:
            return
        sign = _SIGN.fullmatch(alt)
        if sign:
            self._add(f"[{sign[1]}]", node)
        else:
            self._document.told.append(Told(len(self._document.lines), alt, node, "alt"))

    def _read_attributes(self, node: Element) -> None:
        """Texts of attributes, addresses that they hold in two halves, and what a click would open."""
        document = self._document
        here = len(document.lines)
        for name in _TELLING_ATTRIBUTES:
            if node.get(name):
                document.told.append(Told(here, clean(node.get(name))[:500], node, name))
        user, domain = node.get("data-user") or node.get("data-name"), node.get("data-domain")
        if user and domain:
            document.told.append(Told(here, clean(f"{user}@{domain}")[:500], node, "data-domain"))
        for name in _LINKING_ATTRIBUTES:
            found = _CONTACT_LINK.search((node.get(name) or "")[:2_000])
            if found:
                document.links.append(Link(found.group(), "", text_of(node, 300), here, node))

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
            if self._override is not None:
                self._turn_round()
            text = "".join(self._parts).rstrip()
            if text:
                lines = self._document.lines
                lines.append(Line(len(lines), text, tuple(self._pieces), self._tag))
            self._parts, self._pieces, self._size = [], [], 0
        self._override_from = 0
        self._tag = next_tag

    def _turn_round(self) -> None:
        """Puts what stands in the overriding element into the order in which it is seen."""
        start = self._override_from
        turned = [part.translate(_MIRROR)[::-1] for part in reversed(self._parts[start:])]
        owners = [owner for _, owner in reversed(self._pieces[start:])]
        if start == 0 and turned:
            turned[0] = turned[0].lstrip()
        offset = self._pieces[start][0] if turned else 0
        del self._parts[start:], self._pieces[start:]
        for part, owner in zip(turned, owners, strict=True):
            self._parts.append(part)
            self._pieces.append((offset, owner))
            offset += len(part)
        self._size = offset if turned else self._size


def _is_mute(node: Element) -> bool:
    """A drawing without words; it must not break the line that it decorates."""
    return node.find(".//text") is None
