"""Whether this replica and the fleet are well, and their numbers."""

from __future__ import annotations

import time
from typing import Any

import structlog
from quart import Blueprint, Response, request
from redis.exceptions import RedisError

from control_plane import telemetry
from control_plane.auth import PUBLIC, access
from control_plane.openapi import describes
from control_plane.services import services
from control_plane.web import answer
from fleet.errors import StoreUnavailable
from fleet.keys import SCHEMA_VERSION

NOT_WELL = 503

blueprint = Blueprint("health", __name__)

log = structlog.get_logger(__name__)


@blueprint.get("/health")
@blueprint.get("/api/health")
@access(PUBLIC, rate="probe")
@describes(media="application/json")
async def health() -> Response:
    """``healthy``; ``degraded`` without a node, the leads store, object storage, or a model that was to be asked;
    ``unhealthy`` when Valkey does not answer, or units wait although slots that fit are free."""
    valkey, nodes = await _ask()
    leads, enrichment, storage, dispatch = _leads(), _enrichment(), _storage(), _dispatch()
    well = nodes and leads["status"] != "down" and enrichment["status"] != "degraded" and storage["status"] != "down"
    ill = nodes is None or dispatch["status"] == "stalled"
    status = "unhealthy" if ill else "healthy" if well else "degraded"
    body = {
        "status": status,
        "replica": services().settings.replica,
        "components": {
            "valkey": valkey,
            "nodes": {"status": "up" if nodes else "down", "up": nodes or 0},
            "leads": leads,
            "enrichment": enrichment,
            "storage": storage,
            "dispatch": dispatch,
        },
    }
    return answer(body, NOT_WELL if ill else 200)


@blueprint.get("/health/live")
@access(PUBLIC, rate="probe")
@describes(media="application/json")
async def live() -> Response:
    """This process answers; asks nobody else, so that a store that is down restarts no replica."""
    return answer({"status": "alive"})


@blueprint.get("/health/ready")
@access(PUBLIC, rate="probe")
@describes(media="application/json")
async def ready() -> Response:
    """This replica can serve: it was not told to stop, it reaches object storage, and Valkey takes what it writes and
    has this version's layout. What ails the whole fleet is told by ``/health``."""
    if services().stopping:
        return answer({"status": "stopping"}, NOT_WELL)
    valkey, nodes = await _ask()
    if nodes is not None and not (await _takes_writes() and await _has_our_schema()):
        valkey, nodes = {"status": "down"}, None
    storage = _storage()
    components = {"valkey": valkey, "storage": storage}
    if nodes is None or storage["status"] == "down":
        return answer({"status": "not ready", "components": components}, NOT_WELL)
    return answer({"status": "ready", "components": components})


@blueprint.get("/metrics")
@blueprint.get("/api/metrics")
@access(PUBLIC, rate="probe")
@describes(media="text/plain")
async def metrics() -> Response:
    """Prometheus text, or a summary when JSON is asked for. Numbers of the fleet, not of a tenant."""
    try:
        gauges: dict[str, Any] | None = await services().queue.gauges()
    except (StoreUnavailable, RedisError):
        gauges = None
    if request.accept_mimetypes.best_match(["text/plain", "application/json"]) == "application/json":
        units = (gauges or {}).get("units", {})
        return answer({"active_tasks": units.get("running", 0), **(gauges or {})})
    return Response(telemetry.prometheus(gauges), content_type="text/plain; version=0.0.4; charset=utf-8")


def _leads() -> dict[str, str]:
    """The leads store's worker: ``off`` in a process that runs without one. Says what is known, asks nobody."""
    store = services().store
    if store is None:
        return {"status": "off"}
    return {"status": "down" if store.worker_pid is None else "up"}


def _enrichment() -> dict[str, str]:
    """The model that leads are put to: ``off`` where none is."""
    enricher = services().enricher
    return {"status": "off"} if enricher is None else enricher.health()


async def _takes_writes() -> bool:
    """A write that changes nothing and needs no memory: refused by a server that cannot write its log (a full disk),
    and by one that became a copy of another one."""
    made = services()
    try:
        await made.redis.persist(made.keys.epoch())
    except (RedisError, OSError) as exc:
        telemetry.STORE_ERRORS.inc()
        log.warning("the store takes no writes", error=str(exc))
        return False
    return True


async def _has_our_schema() -> bool:
    """Also true of a store that holds nothing yet."""
    made = services()
    try:
        schema = await made.redis.get(made.keys.schema())
    except (RedisError, OSError):
        return False
    return schema in {None, SCHEMA_VERSION.encode()}


def _storage() -> dict[str, Any]:
    """Object storage as it was last seen from here."""
    monitor = services().monitor
    return {"status": "off"} if monitor is None else monitor.storage()


def _dispatch() -> dict[str, Any]:
    """Whether units find the slots that are free for them, as it was last seen from here."""
    monitor = services().monitor
    return {"status": "off"} if monitor is None else monitor.dispatch()


async def _ask() -> tuple[dict[str, Any], int | None]:
    """``(valkey's component, live nodes)``; None nodes when the store does not answer."""
    made = services()
    began = time.perf_counter()
    try:
        nodes = await made.redis.zcard(made.keys.nodes())
    except (RedisError, OSError):
        telemetry.STORE_ERRORS.inc()
        return {"status": "down"}, None
    return {"status": "up", "ms": round((time.perf_counter() - began) * 1000, 2)}, int(nodes)
