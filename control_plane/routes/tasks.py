"""A tenant's tasks: lists, one, the queue, and many at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from pydantic import Field, TypeAdapter
from quart import Blueprint, Response, request

from control_plane.auth import access, principal
from control_plane.errors import BadRequest, Problem
from control_plane.models import (
    MAX_LISTED,
    BulkError,
    BulkPaused,
    BulkResumed,
    BulkStopped,
    QueueStatus,
    TaskPage,
    TaskStatus,
)
from control_plane.openapi import describes
from control_plane.services import services
from control_plane.web import answer, parse_as, read_json, whole_number
from fleet.model import TaskState

DEFAULT_PAGE = 50
MAX_OFFSET = 1_000_000
TASK_IDS = TypeAdapter(Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=MAX_LISTED)])

Action = Callable[[str, str], Awaitable[TaskStatus]]

blueprint = Blueprint("tasks", __name__, url_prefix="/api/tasks")


@blueprint.get("")
@access("tasks:read")
@describes(
    answer=TaskPage,
    query={"status": "only tasks in this state", "limit": f"1 to {MAX_LISTED}", "offset": "tasks to skip"},
)
async def listing() -> Response:
    """The tenant's tasks, newest first."""
    status = request.args.get("status") or None
    if status is not None and status not in set(TaskState):
        raise BadRequest(f"?status= must be one of {', '.join(TaskState)}, not {status[:20]!r}")
    limit = whole_number("limit", DEFAULT_PAGE, least=1, most=MAX_LISTED)
    offset = whole_number("offset", 0, least=0, most=MAX_OFFSET)
    page = await services().queue.tasks(principal().tenant, status=status, limit=limit, offset=offset)
    return answer(page)


@blueprint.get("/queue/status")
@access("tasks:read")
@describes(answer=QueueStatus)
async def queue_status() -> Response:
    """How many tasks there are in which state, and how long a new one would wait."""
    return answer(await services().queue.queue_status(principal().tenant))


@blueprint.get("/<task_id>")
@access("tasks:read")
@describes(answer=TaskStatus)
async def one(task_id: str) -> Response:
    """One task."""
    return answer(await services().queue.status(principal().tenant, task_id))


@blueprint.post("/bulk/stop")
@access("tasks:write", rate="write")
@describes(body=TASK_IDS, answer=BulkStopped)
async def bulk_stop() -> Response:
    """Stop many tasks; each on its own, so that one which cannot does not keep the others."""
    done, asked, errors = await _each(services().queue.stop)
    return answer(BulkStopped(stopped_count=done, total_requested=asked, errors=errors))


@blueprint.post("/bulk/pause")
@access("tasks:write", rate="write")
@describes(body=TASK_IDS, answer=BulkPaused)
async def bulk_pause() -> Response:
    """Pause many tasks."""
    done, asked, errors = await _each(services().queue.pause)
    return answer(BulkPaused(paused_count=done, total_requested=asked, errors=errors))


@blueprint.post("/bulk/resume")
@access("tasks:write", rate="write")
@describes(body=TASK_IDS, answer=BulkResumed)
async def bulk_resume() -> Response:
    """Resume many tasks."""
    done, asked, errors = await _each(services().queue.resume)
    return answer(BulkResumed(resumed_count=done, total_requested=asked, errors=errors))


async def _each(act: Action) -> tuple[int, int, list[BulkError]]:
    """``(done, asked, errors)`` of ``act`` for every id in the body, one after the other."""
    asked: list[str] = parse_as(TASK_IDS, await read_json())
    tenant, errors = principal().tenant, []
    for task in asked:
        try:
            await act(tenant, task)
        except Problem as problem:
            errors.append(BulkError(task_id=task, error=problem.detail))
    return len(asked) - len(errors), len(asked), errors
