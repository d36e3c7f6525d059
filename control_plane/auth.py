"""Who may call what: the policy mark of every route, and the principal of the current request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from quart import g

View = TypeVar("View", bound=Callable[..., Any])

PUBLIC = "public"

SCOPES = frozenset(
    {
        "tasks:read",
        "tasks:write",
        "streams:read",
        "leads:read",
        "leads:write",
        "exports:read",
        "exports:write",
        "fleet:read",
        "fleet:write",
        "control",
        "keys:write",
        "tenants:write",
    }
)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. ``key_id`` is the digest of the API key; it names the key without being it."""

    tenant: str
    key_id: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Access:
    """What a route asks for: a scope (or PUBLIC), a rate class, and the kind of stream token it takes."""

    scope: str
    rate: str
    token: str | None


def access(scope: str, rate: str = "default", token: str | None = None) -> Callable[[View], View]:
    """Mark a view with its policy; a route without a mark is never served.

    ``scope`` is one of SCOPES or PUBLIC, ``token`` the kind of stream token (events, live, export, control)
    that is accepted as ``?token=`` instead of a key.
    """
    if scope != PUBLIC and scope not in SCOPES:
        raise ValueError(f"no such scope: {scope}")

    def mark(view: View) -> View:
        cast("Any", view).access = Access(scope, rate, token)
        return view

    return mark


def principal() -> Principal:
    """Who calls the current request."""
    return cast("Principal", g.principal)
