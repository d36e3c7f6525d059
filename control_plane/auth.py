"""The gate in front of every route: what a route asks for, who calls, and whether that is enough.

A view says what it asks for with ``@access``; ``Gate`` enforces it before any view runs. A route without a mark
is never served. Credentials are, in this order: an API key (``Authorization: Bearer`` or ``X-API-Key``), a stream
token (``?token=`` or the subprotocol pair ``leadfleet.v1, token.<…>``) where the route takes its kind, the
console's session cookie.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlsplit

import structlog
from quart import g, has_websocket_context, request, websocket
from werkzeug.exceptions import HTTPException

from control_plane import tokens
from control_plane.errors import BadRequest, Forbidden, NotFound, Problem, Unauthorized
from control_plane.keyring import ALL_SCOPES, MAX_KEY_LENGTH, KeyRing, Principal
from control_plane.rates import LIMITS, RateLimiter
from control_plane.settings import Settings
from fleet.clock import Clock

__all__ = ["ANY", "PUBLIC", "Access", "Gate", "Principal", "access", "principal", "still_valid"]

View = TypeVar("View", bound=Callable[..., Any])

PUBLIC: Final = "public"
ANY: Final = "any"
"""Whoever is authenticated; the view looks at the scopes itself."""

PROBED_BY_ADDRESS = frozenset({"/health/live", "/health/ready"})
"""Load balancers ask these under the address of the container, which is no Host we could know. Nor are they counted:
behind a balancer, everybody has its address, and a flood of one would have it take all replicas out."""

COOKIE = "leadfleet_session"
SUBPROTOCOL = "leadfleet.v1"
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

KIND_SCOPES = {
    "events": "streams:read",
    "live": "streams:read",
    "export": "exports:read",
    "control": "control",
}
"""Kinds of stream token, and the scope that is needed to make one and that it grants."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a route asks for: a scope (or PUBLIC), a rate class, and the kind of stream token it takes."""

    scope: str
    rate: str
    token: str | None


def access(scope: str, rate: str = "default", token: str | None = None) -> Callable[[View], View]:
    """Mark a view with its policy.

    ``scope`` is one of ALL_SCOPES, PUBLIC or ANY, ``rate`` a class of ``rates.LIMITS``, ``token`` the kind of stream
    token (events, live, export, control) that is accepted in place of a key.
    """
    if scope not in ALL_SCOPES | {PUBLIC, ANY}:
        raise ValueError(f"no such scope: {scope}")
    if rate not in LIMITS or (scope == PUBLIC) != (rate == "probe"):
        raise ValueError(f"rate class {rate!r} does not go with scope {scope!r}: only public routes are probes")
    if token is not None and token not in KIND_SCOPES:
        raise ValueError(f"no such kind of token: {token}")

    def mark(view: View) -> View:
        cast("Any", view).access = Access(scope, rate, token)
        return view

    return mark


def principal() -> Principal:
    """Who calls the current request."""
    return cast("Principal", g.principal)


async def still_valid(caller: Principal, ring: KeyRing, settings: Settings) -> bool:
    """Whether a long stream may go on: the key it was opened with has not been revoked."""
    return settings.auth == "off" or await ring.by_id(caller.key_id) is not None


class Gate:
    """Lets a request pass, or raises the Problem that says why not."""

    def __init__(self, settings: Settings, ring: KeyRing, limiter: RateLimiter, clock: Clock) -> None:
        self._settings, self._ring, self._limiter, self._clock = settings, ring, limiter, clock
        self._hosts = LOOPBACK_HOSTS | {name.lower() for name in settings.allowed_hosts} | {settings.host}
        self._origins = frozenset(origin.rstrip("/") for origin in settings.allowed_origins)
        self._nobody = Principal("default", "auth-off", ALL_SCOPES)

    async def check(self, policy: Access | None) -> None:
        """Check the current request or WebSocket against a view's policy; sets ``g.principal``."""
        call = websocket if has_websocket_context() else request
        if isinstance(call.routing_exception, HTTPException):
            raise call.routing_exception
        if policy is None:
            raise Problem("this route declares no policy and is not served")
        if call.path in PROBED_BY_ADDRESS:
            return
        self._check_host(call.host)
        if policy.scope == PUBLIC:
            self._limiter.count_here(call.remote_addr or "")
            return
        self._check_origin(call)
        g.principal = caller = await self._caller(call, policy)
        structlog.contextvars.bind_contextvars(tenant=caller.tenant)
        if policy.scope != ANY and policy.scope not in caller.scopes:
            raise Forbidden(f"this call needs the scope {policy.scope!r}, which the key does not have")
        await self._limiter.count(caller.key_id, policy.rate)

    def origin_allowed(self, origin: str, host: str) -> bool:
        """Whether a page of ``origin`` may call: one from the list, or one that we served ourselves."""
        return origin in self._origins or (urlsplit(origin).netloc == host and origin.startswith("http"))

    def _check_host(self, host: str) -> None:
        """A page elsewhere can point its own name at our address (DNS rebinding); its Host gives it away."""
        name = host.lower().rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host.lower()
        if name not in self._hosts:
            raise Problem(
                f"the host name {host[:80]!r} is not served here; LEADFLEET_ALLOWED_HOSTS lists the ones that are"
                if host
                else "the Host header names no host",
                status=421,
                title="Misdirected request",
            )

    def _check_origin(self, call: Any) -> None:
        """No other site may open a WebSocket or change anything, whatever credentials ride along."""
        origin = call.headers.get("Origin")
        if origin is None:
            return
        if (has_websocket_context() or call.method not in SAFE_METHODS) and not self.origin_allowed(origin, call.host):
            raise Forbidden(f"the origin {origin[:80]!r} may not call; LEADFLEET_ALLOWED_ORIGINS lists those that may")

    async def _caller(self, call: Any, policy: Access) -> Principal:
        if self._settings.auth == "off":
            return self._nobody
        key = _api_key(call)
        if key:
            found = await self._ring.by_key(key)
            if found is None:
                raise Unauthorized("the API key is not known, or has been revoked")
            return found
        token = _stream_token(call)
        if token and policy.token:
            return await self._by_token(token, policy.token, call)
        session = call.cookies.get(COOKIE)
        if session:
            found = await self._ring.by_session(session)
            if found is None:
                raise Unauthorized("the console session has ended; open a new console link")
            if not has_websocket_context() and call.method not in SAFE_METHODS and not call.headers.get("Origin"):
                raise Forbidden("a call with a session cookie must come from a page: it has no Origin")
            return found
        raise Unauthorized("send an API key as 'Authorization: Bearer lfk_…' or in X-API-Key")

    async def _by_token(self, token: str, kind: str, call: Any) -> Principal:
        claims = tokens.verify(token, self._settings.secret.get_secret_value(), self._clock.wall())
        if claims is None:
            raise Unauthorized("the stream token does not verify or has expired; ask for a new one")
        if kind not in claims.kinds:
            raise Forbidden(f"the stream token is not one for {kind!r}")
        in_path = (call.view_args or {}).get("task_id")
        named = [in_path] if in_path is not None else call.args.getlist("task_id")
        if claims.task and not named:
            raise Forbidden(f"the stream token is for one task: say so with ?task_id={claims.task}")
        if claims.task and named != [claims.task]:
            raise NotFound("task", ", ".join(task for task in named if task != claims.task))
        owner = await self._ring.by_id(claims.key_id)
        if owner is None or owner.tenant != claims.tenant:
            raise Unauthorized("the key that this stream token was made with has been revoked")
        return owner.narrowed({KIND_SCOPES[kind]}, claims.task)


def client_of(call: Any) -> str:
    """What tells the client of a request from others before anything is checked: what it says it is, or its address."""
    key = call.headers.get("Authorization") or call.headers.get("X-API-Key")
    said: str = key or call.args.get("token") or call.cookies.get(COOKIE) or call.remote_addr or ""
    return said[:MAX_KEY_LENGTH]


def offered_subprotocol() -> str | None:
    """The subprotocol to accept: ours when the client named it; never the one that carries the token."""
    return SUBPROTOCOL if SUBPROTOCOL in websocket.requested_subprotocols else None


def _api_key(call: Any) -> str | None:
    header = call.headers.get("Authorization", "")
    scheme, _, key = header.partition(" ")
    if scheme.lower() == "bearer":
        return cast("str", key.strip()) or None
    if header:
        raise BadRequest("Authorization must be 'Bearer <API key>'")
    return cast("str | None", call.headers.get("X-API-Key"))


def _stream_token(call: Any) -> str | None:
    token = call.args.get("token")
    if token is None and has_websocket_context():
        for name in websocket.requested_subprotocols:
            if name.startswith("token."):
                return name.removeprefix("token.")
    return cast("str | None", token)
