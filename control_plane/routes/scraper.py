"""Start a scraping task, look at it, stop, pause and resume it."""

from __future__ import annotations

from quart import Blueprint, Response, request

from control_plane.admission import admit
from control_plane.auth import access, principal
from control_plane.errors import BadRequest, FieldError, Invalid
from control_plane.models import ActionResult, PhoneCoordinatesAnswer, Started, StartRequest, TaskStatus
from control_plane.openapi import describes
from control_plane.services import services
from control_plane.web import answer, read_body
from fleet.model import TaskState

MAX_IDEMPOTENCY_KEY = 255

blueprint = Blueprint("scraper", __name__, url_prefix="/api/scraper")


@blueprint.post("/start")
@access("tasks:write", rate="start")
@describes(body=StartRequest, answer=Started, headers={"Idempotency-Key": "same key and body: same task, for 24 h"})
async def start() -> Response:
    """Start a task."""
    asked = admit(await read_body(StartRequest), services().allowance)
    await _refuse_opted_out(asked)
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 0 < len(key) <= MAX_IDEMPOTENCY_KEY:
        raise BadRequest(f"Idempotency-Key must have 1 to {MAX_IDEMPOTENCY_KEY} characters")
    return answer(await services().queue.start(principal().tenant, asked, key))


async def _refuse_opted_out(asked: StartRequest) -> None:
    """Pages of a domain that is opted out are not visited at all."""
    listed = await services().registry.current(principal().tenant)
    errors: list[FieldError] = [
        {"loc": ["queries", index], "message": f"{query[:80]!r} is of a domain on your opt-out list"}
        for index, query in enumerate(asked.queries)
        if listed.blocks_url(query)
    ]
    if errors:
        raise Invalid(f"{errors[0]['message']}: leave it out, or take it off with DELETE /api/opt-outs", errors=errors)


@blueprint.get("/status/<task_id>")
@access("tasks:read")
@describes(answer=TaskStatus)
async def status(task_id: str) -> Response:
    """How a task is doing."""
    return answer(await services().queue.status(principal().tenant, task_id))


@blueprint.post("/stop/<task_id>")
@access("tasks:write", rate="write")
@describes(answer=ActionResult)
async def stop(task_id: str) -> Response:
    """Stop a task for good; what it found so far is kept."""
    stopped = await services().queue.stop(principal().tenant, task_id)
    return answer(ActionResult(status="stopped", task_id=task_id, message="Task stopped", state=stopped.status))


@blueprint.post("/pause/<task_id>")
@access("tasks:write", rate="write")
@describes(answer=ActionResult)
async def pause(task_id: str) -> Response:
    """Pause a task: its units are checkpointed and their slots are free for others."""
    paused = await services().queue.pause(principal().tenant, task_id)
    return answer(ActionResult(status="paused", task_id=task_id, message="Task paused", state=paused.status))


@blueprint.post("/resume/<task_id>")
@access("tasks:write", rate="write")
@describes(answer=ActionResult)
async def resume(task_id: str) -> Response:
    """Go on with a paused task where it was."""
    resumed = await services().queue.resume(principal().tenant, task_id)
    waits = resumed.status is TaskState.QUEUED
    message = f"Task resumed: {resumed.queue_position or 0} units are ahead of it" if waits else "Task resumed"
    return answer(ActionResult(status="running", task_id=task_id, message=message, state=resumed.status))


@blueprint.get("/phone-coordinates/<task_id>")
@access("streams:read", token="live")  # noqa: S106 - a kind of token
@describes(answer=PhoneCoordinatesAnswer, query={"selector": "CSS selector of the phone's element"})
async def phone_coordinates(task_id: str) -> Response:
    """Where phones stand on the task's pictures, as fractions of the viewport that the frame shows."""
    await services().queue.status(principal().tenant, task_id)
    selector = request.args.get("selector")
    boxes = await services().hub.phone_boxes(task_id)
    if selector is None:
        return answer(PhoneCoordinatesAnswer(task_id=task_id, selector=None, coordinates=None, phones=boxes))
    found = next((box.get("coordinates") for box in boxes if box.get("selector") == selector), None)
    return answer(PhoneCoordinatesAnswer(task_id=task_id, selector=selector, coordinates=found))
