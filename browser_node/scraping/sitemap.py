"""The addresses in an XML sitemap, or in an index of sitemaps."""

from __future__ import annotations

import gzip
import io
import re
from html import unescape

from browser_node.scraping.sources.base import Link
from browser_node.scraping.urls import canonical

MAX_BYTES = 5_000_000
MAX_ADDRESSES = 5_000

# A pattern, not an XML parser: a sitemap is hostile input, and half of one is still worth reading.
_LOC = re.compile(r"<loc[^>]{0,200}>\s*(?:<!\[CDATA\[)?\s*([^<\]\s]{1,2100})", re.IGNORECASE)


def addresses(body: bytes) -> tuple[Link, ...]:
    """The pages a sitemap names; ``text`` is ``sitemap`` for those that are sitemaps themselves."""
    text = _plain(body).decode("utf-8", "replace")
    kind = "sitemap" if "<sitemapindex" in text[:2_000].lower() else ""
    found: dict[str, Link] = {}
    for match in _LOC.finditer(text):
        url = canonical(unescape(match[1]))
        if url is not None:
            found[url] = Link(url, kind)
        if len(found) >= MAX_ADDRESSES:
            break
    return tuple(found.values())


def _plain(body: bytes) -> bytes:
    if not body.startswith(b"\x1f\x8b"):
        return body
    try:
        return gzip.GzipFile(fileobj=io.BytesIO(body)).read(MAX_BYTES)
    except (OSError, EOFError):
        return b""
