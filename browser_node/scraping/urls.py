"""Addresses of pages: one spelling per page, and what counts as the same site."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

MAX_URL = 2_048

# Parameters that say where a visitor came from, never which page it is.
_TRACKING = re.compile(r"(utm_\w+|fbclid|gclid|msclkid|mc_[ce]id|yclid|_ga|ref_src)\Z", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PATH_SAFE = "/%:@!$&'()*+,;=~-._"

# What a link may end in that is certainly no page; fetching it would only cost the site a download.
_NO_PAGE = re.compile(
    r"\.(?:pdf|jpe?g|png|gif|webp|svg|ico|zip|gz|tgz|rar|7z|exe|dmg|apk|mp[34]|avi|mov|webm|wav|docx?|xlsx?|pptx?"
    r"|csv|css|js|json|rss|atom|ics|vcf|woff2?|ttf)\Z",
    re.IGNORECASE,
)


def canonical(url: str) -> str | None:
    """``url`` spelled so that two spellings of one page are equal; None when it is no http(s) address.

    Lower-case host, no default port, fragment or tracking parameters, an empty path is ``/``. The order of
    other parameters and letter case of the path are kept: sites may tell them apart.
    """
    try:
        parts = urlsplit(url.strip()[: MAX_URL + 1])
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return None
    if parts.scheme.lower() not in _DEFAULT_PORTS or not host or parts.username is not None:
        return None
    scheme = parts.scheme.lower()
    netloc = f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORTS[scheme]:
        netloc += f":{port}"
    query = parts.query
    if query and _has_tracking(query):
        kept = [pair for pair in parse_qsl(query, keep_blank_values=True) if not _TRACKING.match(pair[0])]
        query = urlencode(kept)
    path = quote(parts.path or "/", safe=_PATH_SAFE)
    whole = urlunsplit((scheme, netloc, path, query.replace(" ", "%20"), ""))
    return whole if len(whole) <= MAX_URL else None


def site_of(url: str) -> str:
    """The site a page belongs to: its host and port without a leading ``www.``; empty when it has none."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return ""
    bare = host.removeprefix("www.")
    return bare if port is None else f"{bare}:{port}"


def origin_of(url: str) -> str:
    """``scheme://host[:port]`` of a canonical address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def may_be_page(url: str) -> bool:
    """False for addresses that end like a picture, a document or another file."""
    return _NO_PAGE.search(urlsplit(url).path) is None


def _has_tracking(query: str) -> bool:
    return any(_TRACKING.match(name) for name, _ in parse_qsl(query, keep_blank_values=True))
