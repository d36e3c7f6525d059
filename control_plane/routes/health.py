"""Whether this replica and the fleet are well, and their numbers."""

from __future__ import annotations

import time
from typing import Any

from quart import Blueprint, Response, request
from redis.exceptions import RedisError

from control_plane import telemetry
from control_plane.auth import PUBLIC, access
from control_plane.openapi import describes
from control_plane.services import services
from control_plane.web import answer
from fleet.errors import StoreUnavailable

STORE_DOWN = 503

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
@blueprint.get("/api/health")
@access(PUBLIC, rate="probe")
@describes(media="application/json")
async def health() -> Response:
    """``healthy``; ``degraded`` without a node, the leads store, or a model that was to be asked; ``unhealthy`` when
    Valkey does not answer."""
    valkey, nodes = await _ask()
    leads, enrichment = _leads(), _enrichment()
    well = nodes and leads["status"] != "down" and enrichment["status"] != "degraded"
    status = "unhealthy" if nodes is None else "healthy" if well else "degraded"
    body = {
        "status": status,
        "replica": services().settings.replica,
        "components": {
            "valkey": valkey,
            "nodes": {"status": "up" if nodes else "down", "up": nodes or 0},
            "leads": leads,
            "enrichment": enrichment,
        },
    }
    return answer(body, STORE_DOWN if nodes is None else 200)


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
    """This replica can serve: its store answers, and it was not told to stop."""
    if services().stopping:
        return answer({"status": "stopping"}, STORE_DOWN)
    valkey, nodes = await _ask()
    if nodes is None:
        return answer({"status": "not ready", "components": {"valkey": valkey}}, STORE_DOWN)
    return answer({"status": "ready", "components": {"valkey": valkey}})


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
