"""Whether a start request can be carried out at all: platforms that are built, targets that may be visited.

Pure and without I/O. What a name resolves to is not looked at here: it could change until a node connects. The
node's egress proxy decides about that; this module refuses early and in words what can be told from the text.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import SplitResult, urlsplit

from control_plane.errors import FieldError, Invalid
from control_plane.models import StartRequest
from fleet.addresses import Allowance, BadHost, is_public, normal_host, spelled
from fleet.destinations import FIRST_FREE_PORT, WEB_PORTS

SITE_PLATFORMS = ("website", "directory")
"""Platforms whose queries are URLs."""

SEARCH_PLATFORMS: tuple[str, ...] = ()
"""Platforms whose queries are words."""

BUILT = SITE_PLATFORMS + SEARCH_PLATFORMS

_WEB_URL = re.compile(r"https?:", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.IGNORECASE)
_UNSAFE_IN_URL = re.compile(r"[\x00-\x20\x7f\\]")
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa", ".lan", ".onion", ".test", ".invalid")
DEFAULT_PORTS = {"http": 80, "https": 443}


def admit(request: StartRequest, allowance: Allowance) -> StartRequest:
    """The request with its platforms filled in. Raises Invalid, naming every query that cannot be visited."""
    platforms = list(dict.fromkeys(request.platforms)) or [_default_platform(request.queries)]
    unknown = [name for name in platforms if name not in BUILT]
    if unknown:
        raise Invalid(
            f"platform {unknown[0]!r} is not built; the ones that are: {', '.join(BUILT)}",
            errors=[
                {"loc": ["platforms", index], "message": f"not built; use one of: {', '.join(BUILT)}"}
                for index, name in enumerate(platforms)
                if name in unknown
            ],
        )
    errors: list[FieldError] = []
    if any(name in SITE_PLATFORMS for name in platforms):
        for index, query in enumerate(request.queries):
            reason = refuse(query, allowance)
            if reason:
                errors.append({"loc": ["queries", index], "message": reason})
    if request.webhook_url is not None:
        reason = refuse_webhook(request.webhook_url, allowance)
        if reason:
            errors.append({"loc": ["webhook_url"], "message": reason})
    if errors:
        raise Invalid(errors[0]["message"], errors=errors)
    return request.model_copy(update={"platforms": platforms})


def refuse(url: str, allowance: Allowance) -> str | None:
    """Why ``url`` may not be visited, in a sentence; None when nothing speaks against it."""
    parts = _split(url)
    if isinstance(parts, str):
        return parts
    host, port = parts
    if allowance.target(host, port) is not None:
        return None
    address = _address(host)
    if address is not None:
        if is_public(address):
            return None
        return f"the address {host} is not on the public Internet, and the fleet visits nothing else"
    if not _is_name(host):
        return f"{host!r} is neither a name nor an address that could be looked up"
    if host == "localhost" or "." not in host or host.endswith(_LOCAL_SUFFIXES):
        return f"the name {host!r} is not one of the public Internet, and the fleet visits nothing else"
    return None


def refuse_webhook(url: str, allowance: Allowance) -> str | None:
    """Why nothing may be posted to ``url``, in a sentence; None when nothing speaks against it.

    The rules for targets, and the ports that a node's egress proxy lets through: a request must not be made to speak
    to a mail server.
    """
    reason = refuse(url, allowance)
    if reason:
        return reason
    parts = _split(url)
    assert not isinstance(parts, str)
    host, port = parts
    if port in WEB_PORTS or port >= FIRST_FREE_PORT or allowance.target(host, port) is not None:
        return None
    return f"nothing is posted to port {port}: use 80, 443 or one from {FIRST_FREE_PORT}"


def _default_platform(queries: list[str]) -> str:
    if any(_SCHEME.match(query) for query in queries):
        return "website"
    if SEARCH_PLATFORMS:
        return SEARCH_PLATFORMS[0]
    raise Invalid(
        "search platforms are not built yet, so words cannot be searched for: send URLs that begin with http:// "
        f"or https://, with one of the platforms {', '.join(SITE_PLATFORMS)}",
        errors=[{"loc": ["queries"], "message": "words need a search platform, and none is built yet"}],
    )


def _split(url: str) -> tuple[str, int] | str:
    """``(host, port)`` of a web URL, or a sentence saying why it is none."""
    shown = url[:80]
    if not _WEB_URL.match(url):
        scheme = _SCHEME.match(url)
        if scheme:
            return f"only http and https are visited, {scheme.group()[:20]!r} is not"
        return f"{shown!r} is not a URL: write it with http:// or https://"
    if _UNSAFE_IN_URL.search(url):
        return f"{shown!r} holds a blank, a control character or a backslash: write them percent-encoded"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        return f"{shown!r} is not a URL: {exc}"
    if parts.username is not None or parts.password is not None:
        return f"a URL may not carry a user name or a password (host {parts.hostname!r})"
    host = _host(parts)
    if host is None:
        return f"{shown!r} has no host that could be looked up"
    if port == 0:
        return f"{shown!r} has port 0"
    return host, port or DEFAULT_PORTS[parts.scheme]


def _host(parts: SplitResult) -> str | None:
    """The host as a browser reads it: fullwidth digits and ideographic dots are digits and dots to it."""
    if not parts.netloc or not parts.hostname:
        return None
    if "[" in parts.netloc and ":" not in parts.hostname:
        return None  # brackets are for IPv6
    host = normal_host(unicodedata.normalize("NFKC", parts.hostname).replace("。", "."))
    if not host or len(host) > 253 or "%" in host or "/" in host or ".." in host or host.startswith("."):
        return None
    return host


def _is_name(host: str) -> bool:
    """Whether a browser would look ``host`` up: it takes a name whose last label is a number for an address."""
    try:
        labels = host.encode("idna").decode().split(".")
    except UnicodeError:
        return False
    return all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdecimal()


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """The IP address a host spells; None for a name and for what is neither."""
    try:
        return spelled(host)
    except BadHost:
        return None
