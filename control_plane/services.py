"""What a request may call, made once in ``create_app`` and found through ``services()``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from quart import Quart, current_app
from redis.asyncio import Redis

from control_plane.models import (
    LimitsRequest,
    QueueStatus,
    Stage,
    Started,
    StartRequest,
    TaskPage,
    TaskStatus,
    TenantLimits,
)
from control_plane.settings import Settings
from fleet.addresses import Allowance
from fleet.keys import Keys

if TYPE_CHECKING:
    from control_plane.auth import Gate
    from control_plane.enrichment.enricher import Enricher
    from control_plane.erasure.registry import Registry
    from control_plane.keyring import KeyRing
    from control_plane.monitor import Monitor
    from control_plane.scheduling.roster import Roster
    from control_plane.store.client import LeadStore
    from control_plane.streams.hub import Hub
    from control_plane.turnstile import Turnstile

EXTENSION = "leadfleet"


class Tasks(Protocol):
    """The scheduling service as routes see it; ``control_plane.scheduling.queue.TaskQueue`` is the real one.

    All methods raise ``control_plane.errors.Problem`` subclasses, and ``redis.RedisError`` when the
    store does not answer. A task of another tenant is NotFound.
    """

    async def start(self, tenant: str, request: StartRequest, idempotency_key: str | None) -> Started: ...

    async def status(self, tenant: str, task: str) -> TaskStatus: ...

    async def tasks(self, tenant: str, *, status: str | None, limit: int, offset: int) -> TaskPage: ...

    async def stop(self, tenant: str, task: str) -> TaskStatus: ...

    async def pause(self, tenant: str, task: str) -> TaskStatus: ...

    async def resume(self, tenant: str, task: str) -> TaskStatus: ...

    async def queue_status(self, tenant: str) -> QueueStatus: ...

    async def stage(self, tenant: str, task: str) -> Stage | None:
        """Whose frames show the task now; None while nothing of it runs."""

    async def watch(self, task: str, viewer: str, quality: int, fps: int) -> None:
        """Say that ``viewer`` looks at ``task``; to be said again every few seconds. Brings a picture of now."""

    async def set_limits(self, tenant: str, asked: LimitsRequest) -> TenantLimits: ...

    async def gauges(self) -> dict[str, Any]:
        """Numbers of the whole fleet for the metrics page: see ``telemetry.FLEET_GAUGES``."""


@dataclass
class Services:
    """The parts of one process. ``stopping``: it was told to stop and serves the last requests."""

    settings: Settings
    keys: Keys
    redis: Redis
    queue: Tasks
    roster: Roster
    ring: KeyRing
    gate: Gate
    hub: Hub
    allowance: Allowance
    registry: Registry
    turnstile: Turnstile
    store: LeadStore | None = None
    enricher: Enricher | None = None
    monitor: Monitor | None = None
    stopping: bool = False


def attach(app: Quart, made: Services) -> None:
    app.extensions[EXTENSION] = made


def services() -> Services:
    """The services of the current app."""
    return cast("Services", current_app.extensions[EXTENSION])
