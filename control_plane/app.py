"""Puts the API together: services, blueprints, the gate before every view and one way out for every error."""

from __future__ import annotations

import re
import secrets
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from http import HTTPStatus
from typing import Any, cast

import structlog
from quart import Quart, Response, current_app, g, has_websocket_context, request, websocket
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, RequestTimeout

from control_plane import auth, rates, telemetry, web
from control_plane.enrichment.breaker import Breaker
from control_plane.enrichment.endpoint import Endpoint
from control_plane.enrichment.enricher import Enricher
from control_plane.enrichment.terms import Terms
from control_plane.erasure.registry import Registry
from control_plane.errors import NotFound, Problem, Unavailable
from control_plane.forwarded import Forwarded
from control_plane.keyring import ALL_SCOPES, SCALER_SCOPES, KeyRing
from control_plane.monitor import Monitor
from control_plane.routes import BLUEPRINTS
from control_plane.scheduling.limits import Limits
from control_plane.scheduling.presence import set_schema
from control_plane.scheduling.queue import TaskQueue
from control_plane.scheduling.room import Room
from control_plane.scheduling.roster import Roster
from control_plane.scheduling.scripts import Scripts
from control_plane.services import Services, attach, services
from control_plane.settings import Settings
from control_plane.store.client import LeadStore
from control_plane.store.options import StoreOptions
from control_plane.streams.hub import Hub
from control_plane.streams.reader import Readers
from control_plane.turnstile import Turnstile
from control_plane.way_out import WayOut
from control_plane.webhooks.post import Post
from control_plane.webhooks.sender import Sender
from fleet.addresses import Allowance
from fleet.clock import Clock, SystemClock
from fleet.connect import command_client
from fleet.errors import BadName, FleetError, SchemaMismatch, StoreUnavailable
from fleet.keys import Keys

MAX_CONNECTIONS = 512
"""To Valkey from one process; past it requests are refused, and this is more than one process can keep busy."""

CORS_MAX_AGE_S = 600
CORS_METHODS = "GET, POST, DELETE, OPTIONS"
CORS_HEADERS = "Authorization, Content-Type, X-API-Key, Idempotency-Key, Last-Event-ID, X-Request-ID"
CORS_EXPOSED = "Retry-After, X-Request-ID, Location, Content-Disposition"

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-site",  # the console may show pictures of the API on another port
}

_REQUEST_ID = re.compile(r"[\w.-]{1,64}\Z", re.ASCII)

_SENTENCES = {404: "there is no such route; /docs lists them", 405: "this route does not take this method"}

_SLOW_S = 1.0

log = structlog.get_logger(__name__)


def create_app(settings: Settings, *, background: bool = True) -> Quart:
    """The application. ``background`` runs the scheduling roles beside it; a test of routes may do without."""
    app = Quart(__name__, static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=web.MAX_BODY,
        BODY_TIMEOUT=web.BODY_TIMEOUT_S,
        PROPAGATE_EXCEPTIONS=False,
        PROVIDE_AUTOMATIC_OPTIONS=True,
    )
    _make_services(app, settings, background=background)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    app.before_request(_before)
    app.before_websocket(_before)
    app.after_request(_after)
    app.register_error_handler(Exception, _answer_error)
    if settings.trusted_hops:
        cast("Any", app).asgi_app = Forwarded(app.asgi_app, settings.trusted_hops)
    return app


def _make_services(app: Quart, settings: Settings, *, background: bool) -> None:
    keys, clock = Keys(settings.fleet), SystemClock()
    client = command_client(settings.redis_url, name=f"{settings.replica}-api", max_connections=MAX_CONNECTIONS)
    scripts = Scripts(
        client,
        keys,
        Limits(
            queue_cap=settings.queue_cap,
            tenant_daily_units=settings.tenant_daily_units,
            tenant_max_running=settings.tenant_max_running,
            tenant_max_queued=settings.tenant_max_queued,
            idle_ms=settings.unit_idle_timeout // timedelta(milliseconds=1),
            lease_log=settings.lease_log,
            retention_s=int(settings.retention.total_seconds()),
            idempotency_s=int(settings.idempotency_memory.total_seconds()),
            enrichment_patience_ms=settings.enrichment_patience // timedelta(milliseconds=1),
            enrichment_memory_s=int(settings.enrichment_memory.total_seconds()),
        ),
    )
    ring = KeyRing(client, keys, clock)
    room = Room(client)
    queue = TaskQueue(client, keys, scripts, room)
    readers = Readers(client, settings.redis_url, keys, settings.replica)
    limiter = rates.RateLimiter(client, keys, clock, settings.rate_scale)
    made = Services(
        settings=settings,
        keys=keys,
        redis=client,
        queue=queue,
        roster=Roster(client, keys, scripts),
        ring=ring,
        gate=auth.Gate(settings, ring, limiter, clock),
        hub=Hub(client, keys, readers, queue, settings.replica),
        allowance=Allowance.parse(settings.egress_allow),
        registry=Registry(client, keys),
        turnstile=Turnstile(),
        store=LeadStore(StoreOptions.of(settings)) if background else None,
    )
    attach(app, made)
    running = AsyncExitStack()

    async def prepare() -> None:
        """What the store must hold before anybody is served; runs again when it has lost data."""
        made.registry.forget()
        made.hub.restart()
        if settings.bootstrap_key is not None:
            await ring.create("default", "bootstrap", ALL_SCOPES, settings.bootstrap_key.get_secret_value())
        if settings.scaler_key is not None:
            await ring.create("default", "scaler", SCALER_SCOPES, settings.scaler_key.get_secret_value())

    @app.before_serving
    async def start() -> None:
        running.push_async_callback(client.aclose)
        if made.store is not None:
            await made.store.start()
            running.push_async_callback(made.store.close)
        await running.enter_async_context(readers)
        await running.enter_async_context(made.hub)
        if background:
            from control_plane.background import Background

            made.monitor = await running.enter_async_context(Monitor(client, keys, made.store, clock))
            way_out = WayOut.set_in(settings)
            sender = Sender(scripts, Post(made.allowance, way_out=way_out), settings.secret.get_secret_value(), clock)
            made.enricher = _enricher(settings, scripts, clock, way_out)
            await running.enter_async_context(
                Background(
                    client,
                    settings.redis_url,
                    keys,
                    scripts,
                    room,
                    settings.replica,
                    prepare,
                    sender,
                    made.registry,
                    made.enricher,
                    settings.egress_secret.get_secret_value() if settings.egress_secret else "",
                    settings.declared_nodes,
                )
            )
        else:
            await prepare()
            await set_schema(client, keys)
        log.info("serving", bind=settings.bind, fleet=settings.fleet, auth=settings.auth)

    @app.after_serving
    async def stop() -> None:
        await running.aclose()


def _enricher(settings: Settings, scripts: Scripts, clock: Clock, way_out: WayOut | None) -> Enricher | None:
    """Who asks the model; to be made inside a running loop."""
    if settings.enrichment_url is None:
        return None
    assert settings.enrichment_model is not None  # the settings see to it
    key = settings.enrichment_key.get_secret_value() if settings.enrichment_key is not None else None
    endpoint = Endpoint(
        settings.enrichment_url, key, settings.enrichment_model, settings.enrichment_timeout, way_out=way_out
    )
    breaker = Breaker(settings.enrichment_breaker_failures, settings.enrichment_breaker_pause)
    return Enricher(scripts, endpoint, Terms.of(settings), breaker, clock)


async def _before() -> Response | None:
    g.started = time.perf_counter()
    call: Any = websocket if has_websocket_context() else request
    given = call.headers.get("X-Request-ID", "")
    g.request_id = given if _REQUEST_ID.match(given) else secrets.token_hex(8)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id, replica=services().settings.replica)
    if not has_websocket_context() and request.method == "OPTIONS" and "Origin" in request.headers:
        return Response("", HTTPStatus.NO_CONTENT)  # a preflight carries no credentials; `_after` answers it
    if not has_websocket_context():
        await web.bound_body()
    policy = getattr(current_app.view_functions.get(call.endpoint or ""), "access", None)
    if policy is None or policy.scope != auth.PUBLIC:
        streams = policy is not None and policy.rate == "stream"
        await services().turnstile.enter((auth.client_of(call), streams))
    await services().gate.check(policy)
    if call.view_args and "task_id" in call.view_args:
        structlog.contextvars.bind_contextvars(task=call.view_args["task_id"][:64])
    return None


async def _after(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.request_id
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    _allow_origin(response)
    route = request.url_rule.rule if request.url_rule else "(none)"
    seconds = time.perf_counter() - g.started
    telemetry.HTTP_REQUESTS.labels(route, request.method, response.status_code).inc()
    telemetry.HTTP_SECONDS.labels(route).observe(seconds)
    if request.method != "GET" or response.status_code >= 400 or seconds > _SLOW_S:
        log.info(
            "answered",
            method=request.method,
            path=request.path[:200],
            status=response.status_code,
            ms=round(seconds * 1000, 1),
        )
    return response


def _allow_origin(response: Response) -> None:
    origin = request.headers.get("Origin")
    response.headers.add("Vary", "Origin")
    if origin is None or not services().gate.origin_allowed(origin, request.host):
        return
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Allow-Credentials"] = "true"
    response.headers["Access-Control-Expose-Headers"] = CORS_EXPOSED
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = CORS_METHODS
        response.headers["Access-Control-Allow-Headers"] = CORS_HEADERS
        response.headers["Access-Control-Max-Age"] = str(CORS_MAX_AGE_S)


async def _answer_error(error: Exception) -> Response:
    problem = _as_problem(error)
    if problem.status >= 500 and not isinstance(problem, Unavailable):
        log.error("a request failed", exc_info=error)
        problem.extra["request_id"] = g.get("request_id", "")
    response = web.problem_response(problem)
    if has_websocket_context():
        # Hypercorn cannot take another request on a connection whose upgrade was refused.
        response.headers["Connection"] = "close"
    return response


def _as_problem(error: Exception) -> Problem:
    """The one place where an error gets its HTTP status."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, StoreUnavailable | RedisError | OSError):
        telemetry.STORE_ERRORS.inc()
        log.warning("the store does not answer", error=str(error))
        return Unavailable("the fleet's store does not answer right now; try again in a moment")
    if isinstance(error, SchemaMismatch):
        return Unavailable("the fleet's store is of another version than this replica; try again in a moment")
    if isinstance(error, BadName):
        return NotFound("such name", str(error))
    if isinstance(error, RequestEntityTooLarge):
        return Problem(f"a body may have {web.MAX_BODY} bytes", status=413, title="Body too large")
    if isinstance(error, RequestTimeout):
        return Problem(f"the body did not arrive within {web.BODY_TIMEOUT_S} s", status=408, title="Body too slow")
    if isinstance(error, HTTPException) and error.code is not None and error.code < 500:
        headers = {name: value for name, value in error.get_headers() if name in {"Allow", "Location"}}
        phrase = HTTPStatus(error.code).phrase
        return Problem(_SENTENCES.get(error.code, phrase), status=error.code, title=phrase, headers=headers)
    if isinstance(error, FleetError):
        return Problem(str(error))
    return Problem("something went wrong on our side; the request id names it in our logs")
