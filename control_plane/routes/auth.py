"""Keys, stream tokens, and the console's way in."""

from __future__ import annotations

from datetime import UTC, datetime

from quart import Blueprint, Response, redirect, request

from control_plane import tokens
from control_plane.auth import ANY, COOKIE, KIND_SCOPES, PUBLIC, access, principal
from control_plane.errors import Forbidden, Invalid
from control_plane.keyring import ALL_SCOPES, OPERATOR_SCOPES, SESSION_TTL
from control_plane.models import (
    ConsoleLink,
    KeyRequest,
    KeyView,
    NewKey,
    StreamToken,
    StreamTokenRequest,
    WebhookSecret,
    WhoAmI,
)
from control_plane.openapi import describes
from control_plane.services import services
from control_plane.web import answer, read_body
from control_plane.webhooks import message

blueprint = Blueprint("auth", __name__)


@blueprint.get("/api/auth/me")
@access(ANY, rate="default")
@describes(answer=WhoAmI)
async def me() -> Response:
    """Which tenant this key or session is of, and what it may do."""
    caller = principal()
    return answer(WhoAmI(tenant=caller.tenant, key_id=caller.key_id, scopes=sorted(caller.scopes)))


@blueprint.post("/api/auth/stream-token")
@access(ANY, rate="auth")
@describes(body=StreamTokenRequest, body_required=False, answer=StreamToken)
async def stream_token() -> Response:
    """A short-lived token for URLs in which a browser can set no header."""
    asked, caller = await read_body(StreamTokenRequest, optional=True), principal()
    for kind in asked.kinds:
        if KIND_SCOPES[kind] not in caller.scopes:
            raise Forbidden(f"a token for {kind!r} needs the scope {KIND_SCOPES[kind]!r}")
    if asked.task_id is not None:
        await services().queue.status(caller.tenant, asked.task_id)
    settings = services().settings
    expires = datetime.now(UTC).replace(microsecond=0) + settings.stream_token_ttl
    claims = tokens.Claims(
        caller.tenant, caller.key_id, asked.task_id or "", frozenset(asked.kinds), int(expires.timestamp())
    )
    token = tokens.sign(claims, settings.secret.get_secret_value())
    return answer(StreamToken(token=token, expires_at=expires, task_id=asked.task_id, kinds=asked.kinds))


@blueprint.get("/api/auth/webhook-secret")
@access("keys:write", rate="auth")
@describes(answer=WebhookSecret)
async def webhook_secret() -> Response:
    """What verifies the signatures of your webhooks. The same until LEADFLEET_SECRET changes."""
    key = message.signing_key(principal().tenant, services().settings.secret.get_secret_value())
    return answer(WebhookSecret(secret=message.shown(key)))


@blueprint.post("/api/auth/keys")
@access("keys:write", rate="auth")
@describes(body=KeyRequest, body_required=False, answer=NewKey, status=201)
async def create_key() -> Response:
    """A new API key, shown this once."""
    asked, caller = await read_body(KeyRequest, optional=True), principal()
    tenant = asked.tenant or caller.tenant
    if tenant != caller.tenant and "tenants:write" not in caller.scopes:
        raise Forbidden("a key for another tenant needs the scope 'tenants:write'")
    scopes = caller.scopes if tenant == caller.tenant else caller.scopes - OPERATOR_SCOPES
    if asked.scopes is not None:
        scopes = frozenset(asked.scopes)
    unknown = scopes - ALL_SCOPES
    if unknown:
        raise Invalid(f"no such scope: {min(unknown)[:40]!r}; there are {', '.join(sorted(ALL_SCOPES))}")
    if not scopes <= caller.scopes:
        raise Forbidden(f"your key lacks {', '.join(sorted(scopes - caller.scopes))} and cannot give it away")
    return answer(await services().ring.create(tenant, asked.name, scopes), 201)


@blueprint.delete("/api/auth/keys/<key_id>")
@access("keys:write", rate="auth")
@describes(answer=KeyView)
async def revoke_key(key_id: str) -> Response:
    """Revoke a key. Replicas that have just looked it up forget it within seconds."""
    caller = principal()
    tenant = None if "tenants:write" in caller.scopes else caller.tenant
    return answer(await services().ring.revoke(tenant, key_id))


@blueprint.post("/api/auth/console-link")
@access(ANY, rate="auth")
@describes(answer=ConsoleLink, status=201)
async def console_link() -> Response:
    """A link that opens the console in a browser, once."""
    secret, expires = await services().ring.link(principal())
    url = f"{request.scheme}://{request.host}/auth/link/{secret}"
    return answer(ConsoleLink(url=url, expires_at=expires), 201)


@blueprint.get("/auth/link/<secret>")
@access(PUBLIC, rate="probe")
@describes(media="text/html", status=303)
async def open_link(secret: str) -> Response:
    """Turn a console link into a session cookie."""
    session = await services().ring.open(secret)
    response: Response = redirect("/", 303)  # type: ignore[assignment]
    response.set_cookie(
        COOKIE,
        session,
        max_age=int(SESSION_TTL.total_seconds()),
        httponly=True,
        secure=request.is_secure,
        samesite="Strict",
    )
    return response


@blueprint.post("/api/auth/logout")
@access(ANY, rate="auth")
@describes(media="application/json")
async def logout() -> Response:
    """End the console session."""
    session = request.cookies.get(COOKIE)
    if session:
        await services().ring.close(session)
    response = answer({"status": "logged out"})
    response.delete_cookie(COOKIE)
    return response
