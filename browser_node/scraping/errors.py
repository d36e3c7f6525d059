"""Why a page, or a whole unit, could not be had; and what Chrome's words for it mean.

    FleetError
    ├── VisitFailed     one page; ``code`` is stable and ends up as the unit's error when the page was its seed
    │   └── SaidByProxy     the egress proxy answered, or a site that pretends to be it
    ├── TabLost         the tab crashed or was closed; a new one may do better
    ├── ChromeLost      the whole browser is gone
    └── BadQuery        the query is nothing this source can start from

Codes: ``dns``, ``refused_address``, ``egress_cap``, ``unreachable``, ``tunnel``, ``tls``, ``page_timeout``,
``redirect_loop``, ``http_<status>``, ``robots_disallowed``, ``robots_unreachable``, ``not_html``, ``bad_scheme``,
``blocked``, ``tab_crashed``, ``extraction_failed``, ``bad_query``, ``chrome_lost``, ``navigation``, ``no_way_out``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from fleet.errors import FleetError
from fleet.refusals import HEADER, Category

OURS = frozenset({"egress_cap", "no_way_out"})
"""Codes of what a unit or a node could not do itself, and another one may: they say nothing about a host."""

_RETRYABLE_STATUS = frozenset({408, 425, 429})

# (what Chrome's error name begins with, code, does another try make sense)
_CHROME_ERRORS = (
    ("NAME_NOT_RESOLVED", "dns", False),
    ("NAME_RESOLUTION_FAILED", "dns", True),
    ("TOO_MANY_REDIRECTS", "redirect_loop", False),
    ("TUNNEL_CONNECTION_FAILED", "tunnel", True),
    ("TIMED_OUT", "page_timeout", True),
    ("CONNECTION_TIMED_OUT", "page_timeout", True),
    ("CERT_", "tls", False),
    ("SSL_", "tls", False),
    ("UNKNOWN_URL_SCHEME", "bad_scheme", False),
    ("DISALLOWED_URL_SCHEME", "bad_scheme", False),
    ("BLOCKED_BY_", "blocked", False),
    ("UNSAFE_PORT", "blocked", False),
    ("INVALID_", "unreachable", False),
    ("UNSAFE_REDIRECT", "bad_scheme", False),
    ("ABORTED", "navigation", True),  # a renderer that dies says no more than this
)
# code, does another try make sense
_CODES = {
    Category.MALFORMED: ("refused_address", False),
    Category.FORBIDDEN: ("refused_address", False),
    Category.UNKNOWN_NAME: ("dns", False),
    Category.UNREACHABLE: ("unreachable", True),
    Category.TIMEOUT: ("page_timeout", True),
    Category.CAP: ("egress_cap", True),
    Category.SPENT: ("egress_cap", False),
    Category.FULL: ("egress_cap", True),
    Category.NO_UNIT: ("no_way_out", True),
    Category.UNPROVEN: ("no_way_out", True),
    Category.NO_WAY_OUT: ("no_way_out", True),
}
_NET_ERROR = re.compile(r"net::ERR_([A-Z0-9_]+)")


class VisitFailed(FleetError):
    """A page could not be had: ``code`` for machines, ``detail`` for people, ``retryable`` for the runner."""

    def __init__(self, code: str, detail: str, *, retryable: bool = False) -> None:
        self.code, self.detail, self.retryable = code, detail, retryable
        super().__init__(f"{code}: {detail}")


class SaidByProxy(VisitFailed):
    """An answer that has the egress proxy's header. Whether it was the proxy, it knows itself: it remembers what it
    refused to connect to, and ``host`` is who it was about."""

    def __init__(self, status: int, url: str, host: str) -> None:
        self.host = host
        super().__init__(f"http_{status}", f"{url} answered {status}", retryable=_is_retryable(status))


class TabLost(FleetError):
    """A tab crashed, hangs or was closed under us."""

    def __init__(self, tab: str, found: str) -> None:
        self.tab, self.found = tab, found
        super().__init__(f"{tab} is lost: {found}")


class ChromeLost(FleetError):
    """The slot's Chrome is gone: a unit may go on elsewhere from its checkpoint."""

    def __init__(self, found: str) -> None:
        super().__init__(f"Chrome is gone: {found}")


class BadQuery(FleetError):
    """A query no visit can be made of."""

    def __init__(self, query: str, wanted: str) -> None:
        super().__init__(f"{query[:200]!r} is not {wanted}")


def from_chrome(message: str, url: str) -> VisitFailed:
    """The failure behind the message of a navigation that Chrome refused."""
    if "Download is starting" in message:
        return VisitFailed("not_html", f"{url} is a download, not a page")
    match = _NET_ERROR.search(message)
    if match is None:
        first_line = message.partition("\n")[0][:200]
        return VisitFailed("navigation", f"{url} could not be opened: {first_line}", retryable=True)
    name = match[1]
    for start, code, retryable in _CHROME_ERRORS:
        if name.startswith(start):
            return VisitFailed(code, f"{url} could not be opened: {name}", retryable=retryable)
    return VisitFailed("unreachable", f"{url} could not be opened: {name}", retryable=True)


def from_status(status: int, headers: Mapping[str, str], url: str, answered_by: str) -> VisitFailed | None:
    """The failure an HTTP answer stands for, None for one that is a page. Header names in lower case; ``answered_by``
    is the URL at the end of all redirects."""
    if status < 400:
        return None
    if category_in(headers, answered_by) is not None:
        return SaidByProxy(status, url, urlsplit(answered_by).hostname or "")
    return VisitFailed(f"http_{status}", f"{url} answered {status}", retryable=_is_retryable(status))


def category_in(headers: Mapping[str, str], answered_by: str) -> Category | None:
    """What an answer says in the egress proxy's name. What has come through a tunnel was never the proxy's."""
    return Category.of(headers.get(HEADER.lower())) if urlsplit(answered_by).scheme == "http" else None


def from_egress(category: Category, url: str) -> VisitFailed:
    """What the egress proxy said about ``url`` instead of connecting to it."""
    code, retryable = _CODES[category]
    return VisitFailed(code, f"{url} was not reached: {category.sentence}", retryable=retryable)


def _is_retryable(status: int) -> bool:
    return status >= 500 or status in _RETRYABLE_STATUS
