"""The public edge: what clients send and get, exactly as the HTTP contract words it.

Requests ignore keys they do not know; answers only ever gain keys. Times are ISO 8601 UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from fleet.model import NodeState, SlotState, TaskState

MAX_QUERIES = 50
MAX_QUERY_LENGTH = 2_048
MAX_LISTED = 500

Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Query = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUERY_LENGTH)]
PlatformName = Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, min_length=1, max_length=64)]

PRIORITIES = {"low": 2, "normal": 5, "high": 8}


class _Request(BaseModel):
    """What a client sends. Strict: "yes" is not True and "5" is not 5."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)


class _Answer(BaseModel):
    """What a client gets."""

    model_config = ConfigDict(
        frozen=True,
        ser_json_timedelta="float",
        json_schema_serialization_defaults_required=True,  # what has a default is sent all the same
    )


def _as_list(value: object) -> object:
    """Old clients send one word where a list may stand."""
    return [value] if isinstance(value, str) else value


def _as_priority(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.lower() not in PRIORITIES:
        raise ValueError(f"a priority is a number from 0 to 9 or one of {', '.join(PRIORITIES)}")
    return PRIORITIES[value.lower()]


class DateRange(_Request):
    """Days seen, both included; either may be absent."""

    model_config = ConfigDict(populate_by_name=True, strict=False)

    start: datetime | None = Field(default=None, alias="from")
    end: datetime | None = Field(default=None, alias="to")


class StartRequest(_Request):
    """Body of ``POST /api/scraper/start``.

    ``platforms`` is empty when the client named none; ``admission.admit`` fills it in before a TaskQueue sees
    the request. Every (platform, query) pair becomes one unit.
    """

    queries: Annotated[list[Query], Field(min_length=1, max_length=MAX_QUERIES)]
    platforms: Annotated[list[PlatformName], Field(max_length=20)] = Field(
        default_factory=list,
        description="absent: URLs mean `website`, words the first search platform that is built",
    )
    max_results: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(None, description="most leads of the task")
    headless: bool | None = Field(None, description="accepted and without effect: nodes decide")
    lead_objective: Word | None = Field(None, description="tunes the score")
    business_type: Annotated[list[Word], BeforeValidator(_as_list), Field(max_length=50)] = Field(
        [], description="leaves out businesses whose category is known to be another; unknown ones are kept"
    )
    location: Word | None = Field(
        None,
        description="a place, most specific first (`Berlin, Germany`), or `latitude,longitude`: leaves out businesses "
        "that are known to be elsewhere",
    )
    radius_km: Annotated[float, Field(gt=0, le=1_000)] | None = Field(
        None, description="around a `location` in coordinates (25 km when absent); a place in words has no distance"
    )
    phone_only: bool = Field(False, description="keep only leads with a valid phone")
    date_range: DateRange | None = Field(
        None,
        description="accepted for clients that send one form for all: a task sees its leads today. Filters and exports "
        "select by days seen",
    )
    priority: Annotated[int, BeforeValidator(_as_priority), Field(ge=0, le=9)] = Field(
        PRIORITIES["normal"],
        description="0 to 9 or low, normal, high; higher goes first among a tenant's units",
    )
    max_parallel: Annotated[int, Field(ge=1, le=50)] = Field(2, description="units of the task that run at once")
    timeout_s: Annotated[int, Field(ge=1, le=86_400)] | None = Field(
        None, description="bounds running time; waiting and pauses are not counted"
    )
    queue_timeout_s: Annotated[int, Field(ge=1, le=86_400)] | None = Field(None, description="bounds waiting")
    respect_robots: bool = True
    render: bool = Field(True, description="run the pages' JavaScript")
    enrich_websites: bool = Field(
        False,
        description="directory: also read each business's own site, for what its entry leaves out",
    )
    webhook_url: Annotated[str, StringConstraints(max_length=MAX_QUERY_LENGTH)] | None = Field(
        None, description="gets a signed POST when the task has ended: see `webhooks` in this document"
    )


class Usage(_Answer):
    """A tenant's daily quota of units."""

    used: int
    limit: int
    remaining: int


class Started(_Answer):
    """A task was accepted (or had been, under the same Idempotency-Key)."""

    status: Literal["started"] = "started"
    task_id: str
    message: str
    state: TaskState = Field(
        description="queued or running; when repeated under an Idempotency-Key, whatever it is now"
    )
    queue_position: int | None = Field(None, description="units ahead in the order of dispatch; null when none waits")
    usage: Usage


class WebhookStatus(_Answer):
    """What became of a task's webhook. ``pending`` from the start of the task until one of the other two."""

    state: Literal["pending", "delivered", "failed"]
    attempts: int = Field(0, description="attempts whose outcome is known")
    last_status: int | None = Field(None, description="HTTP status of the last answer")
    last_error: str | None = Field(None, description="why the last attempt got no answer")


class TaskStatus(_Answer):
    """Everything about one task."""

    task_id: str
    status: TaskState
    progress: dict[str, int] = Field(description="leads a platform")
    total_results: int = 0
    pages: int = Field(0, description="pages visited")
    pages_left_out: int = Field(0, description="those that could not be had; the log says which, and why")
    units: dict[str, int] = Field(default_factory=dict, description="units by state")
    queries: list[str] = []
    platforms: list[str] = []
    current_query: str | None = None
    current_platform: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_seconds: float | None = Field(None, description="since started_at, until now or completed_at")
    error: str | None = None
    attempt: int = Field(0, description="highest attempt of any unit, from 1 once one has run")
    queue_position: int | None = Field(None, description="units ahead of its first waiting unit; null when none waits")
    webhook: WebhookStatus | None = Field(None, description="null: no webhook was asked for")


class WebhookMessage(_Answer):
    """What is posted to a task's ``webhook_url`` once it has ended. ``timestamp`` is the end's, not the attempt's."""

    type: Literal["task.completed", "task.error", "task.stopped"]
    timestamp: datetime
    data: TaskStatus = Field(description="the task's status, except that `webhook` is null")


class TaskPage(_Answer):
    """A page of a tenant's tasks, newest first."""

    tasks: list[TaskStatus]
    total: int
    limit: int
    offset: int


class QueueStatus(_Answer):
    """A tenant's tasks by state, and how long a new one would wait."""

    total_tasks: int = 0
    running: int = 0
    paused: int = 0
    pending: int = 0
    completed: int = 0
    stopped: int = 0
    failed: int = 0
    queued_units: int = 0
    estimated_wait_time_seconds: float | None = Field(
        0.0,
        description="until a task of one unit that is submitted now would run; null when nothing tells, for example "
        "because no slot serves",
    )


class ActionResult(_Answer):
    """A task was stopped, paused or resumed."""

    status: Literal["stopped", "paused", "running"]
    task_id: str
    message: str
    state: TaskState = Field(description="the task's state now: a resumed task may have to wait for a slot")


class BulkError(_Answer):
    task_id: str
    error: str


class BulkStopped(_Answer):
    stopped_count: int
    total_requested: int
    errors: list[BulkError]


class BulkPaused(_Answer):
    paused_count: int
    total_requested: int
    errors: list[BulkError]


class BulkResumed(_Answer):
    resumed_count: int
    total_requested: int
    errors: list[BulkError]


class WheelAnswer(_Answer):
    """Whether the wheel of a task's browser can be taken now."""

    task_id: str
    state: Literal["free", "held", "no_browser"]
    detail: str = Field(description="why it cannot be taken and what to do; empty when it can")
    limit_s: float = Field(description="for how many seconds it may be held")


class PhoneCoordinatesAnswer(_Answer):
    """Where a phone stands on the picture: ``coordinates`` is ``leads.model.PhoneCoordinates`` or null.

    A box of ``phones`` also says by ``seen`` whether it stands on the picture or further up or down the page, and by
    ``anchor`` what it keeps its place on when the page is scrolled: ``page``, ``viewport``, or null when it sticks.
    """

    task_id: str
    selector: str | None
    coordinates: dict[str, Any] | None
    phones: list[dict[str, Any]] = Field(default_factory=list, description="all boxes, when no selector was given")


class NodeView(_Answer):
    """A browser node as operators see it."""

    node_id: str
    state: NodeState
    generation: int = 0
    address: str = ""
    labels: list[str] = []
    version: str = ""
    browser: str = ""
    sandbox: str = ""
    slots: int = 0
    slots_free: int = 0
    registered_at: datetime | None = None
    last_heard_at: datetime | None = None
    load: dict[str, Any] = Field(default_factory=dict, description="what the node says of itself")


class SlotView(_Answer):
    """A warm Chrome. ``task_id`` and ``unit`` are shown to the tenant that owns them only."""

    slot_id: str
    node_id: str
    index: int
    state: SlotState
    task_id: str | None = None
    unit: str | None = None
    platform: str | None = None
    current: str | None = None
    leased_at: datetime | None = None


DEFAULT_FLEET_PAGE = 50
MAX_FLEET_PAGE = 500
"""Nodes or slots in one answer: about 200 KB."""


class NodeList(_Answer):
    """A page of the fleet's nodes, in the order of their ids."""

    nodes: list[NodeView]
    next_cursor: str | None


class SlotList(_Answer):
    """A page of the fleet's slots, in the order of their nodes' ids and their indexes."""

    slots: list[SlotView]
    next_cursor: str | None


class LimitsRequest(_Request):
    """Body of ``POST /api/tenants/{tenant}/limits``: absent ones stay as they are, null makes them the fleet's."""

    max_running: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(None, description="units that run at once")
    max_queued: Annotated[int, Field(ge=1, le=100_000_000)] | None = Field(None, description="units that may wait")


class TenantLimits(_Answer):
    """Limits of a tenant's own; null where the fleet's settings hold."""

    tenant: str
    max_running: int | None
    max_queued: int | None


TokenKind = Literal["events", "live", "export", "control"]


class StreamTokenRequest(_Request):
    """Body of ``POST /api/auth/stream-token``; without ``task_id`` it is good for all tasks."""

    task_id: Annotated[str, StringConstraints(max_length=64)] | None = None
    kinds: Annotated[list[TokenKind], Field(min_length=1, max_length=4)] = ["events", "live"]


class StreamToken(_Answer):
    token: str
    expires_at: datetime
    task_id: str | None
    kinds: list[TokenKind]


class WebhookSecret(_Answer):
    """What verifies the tenant's webhooks, in the form that Standard Webhooks libraries take."""

    secret: str


class KeyRequest(_Request):
    """Body of ``POST /api/auth/keys``. A key cannot be given scopes its maker lacks."""

    tenant: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")] | None = Field(
        None, description="absent: the maker's; another one needs the scope `tenants:write`"
    )
    name: Word = "key"
    scopes: Annotated[list[str], Field(min_length=1, max_length=40)] | None = Field(
        None,
        description="absent: all scopes of the maker; for another tenant without those that reach past it",
    )


class KeyView(_Answer):
    """An API key without the key: ``key_id`` is what revokes it."""

    key_id: str
    tenant: str
    name: str
    scopes: list[str]
    created_at: datetime


class NewKey(KeyView):
    """``key`` is shown this once; only its hash is stored."""

    key: str


class WhoAmI(_Answer):
    """The caller."""

    tenant: str
    key_id: str
    scopes: list[str]


class ConsoleLink(_Answer):
    """A link that turns into a console session once, within ten minutes."""

    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Stage:
    """Whose frames show a task now: slot ``index`` of ``node``, busy with ``unit``."""

    node: str
    index: int
    unit: str
