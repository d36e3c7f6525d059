"""What a task's browser shows: MJPEG, single pictures, and pictures over a WebSocket."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from quart import Blueprint, Response

from control_plane import telemetry
from control_plane.auth import access, principal
from control_plane.errors import NotFound, Problem, Unavailable
from control_plane.models import WheelAnswer
from control_plane.openapi import describes
from control_plane.routes.streams import endless, validity
from control_plane.services import services
from control_plane.streams.frames import Viewer
from control_plane.streams.mjpeg import CONTENT_TYPE, picture_stream
from control_plane.streams.takeover import Takeover, wheel_of
from control_plane.streams.websockets import Socket, send_pictures
from control_plane.web import answer, whole_number

DEFAULT_FPS, MAX_FPS = 10, 30
DEFAULT_QUALITY = 60
SNAPSHOT_TIMEOUT_S = 4.0  # usual are 0.1 to 0.3 s; a busy machine or a slot that just changed takes longer
SHOWN_OF_KEY = 12  # characters of its id: enough to tell keys apart in a log
RETRY_AFTER_S = 2  # a slot is found for a waiting task, or lost, within seconds

PACE = {"fps": f"1 to {MAX_FPS}, default {DEFAULT_FPS}", "quality": f"1 to 100, default {DEFAULT_QUALITY}"}

blueprint = Blueprint("live", __name__)


@blueprint.get("/api/scraper/live_feed/<task_id>")
@blueprint.get("/live_feed/<task_id>")
@access("streams:read", rate="stream", token="live")  # noqa: S106 - a kind of token
@describes(media="multipart/x-mixed-replace", query=PACE)
async def live_feed(task_id: str) -> Response:
    """The task's browser as MJPEG. A task that does not run yet has no picture; the stream waits for it."""
    looking = _viewer(task_id)
    await services().queue.status(principal().tenant, task_id)
    return endless(picture_stream(looking, validity(), services().hub.stopped), CONTENT_TYPE)


@blueprint.get("/api/scraper/snapshot/<task_id>.jpg")
@access("streams:read", rate="stream", token="live")  # noqa: S106 - a kind of token
@describes(media="image/jpeg", query={"quality": PACE["quality"]})
async def snapshot(task_id: str) -> Response:
    """One picture of the task's browser, as it is now: taken for this question, never one from before.

    404 when no browser works on the task, with Retry-After unless the task has ended; 503 when one does and sends none.
    """
    looking = _viewer(task_id, fps=DEFAULT_FPS)
    status = (await services().queue.status(principal().tenant, task_id)).status
    if status.terminal:
        raise _no_picture(f"the task {task_id!r} is {status}")
    if await services().queue.stage(principal().tenant, task_id) is None:
        later = {"Retry-After": str(RETRY_AFTER_S)}
        raise _no_picture(f"no browser works right now on the task {task_id!r}, which is {status}; ask again", later)
    async with looking as viewer:
        picture = await viewer.fresh(SNAPSHOT_TIMEOUT_S)
    if picture is None:
        raise Unavailable(
            f"the browser of the task {task_id!r} sent no picture within {SNAPSHOT_TIMEOUT_S:g} s; ask again",
            retry_after=RETRY_AFTER_S,
        )
    return Response(picture.frame.jpeg, content_type="image/jpeg")


@blueprint.websocket("/api/scraper/ws/frames/<task_id>")
@access("streams:read", rate="stream", token="live")  # noqa: S106 - a kind of token
async def frames(task_id: str) -> None:
    """Pictures over a WebSocket, each preceded by a text message that says what it shows."""
    looking = _viewer(task_id)
    await services().queue.status(principal().tenant, task_id)
    async with looking as viewer:
        with telemetry.VIEWERS.labels("frames").track_inprogress():
            socket = Socket(validity(), services().hub.stopped)
            await socket.run(send_pictures(socket, viewer), f"Connected to frames of {task_id}", None)


@blueprint.websocket("/api/scraper/ws/control/<task_id>")
@access("control", rate="stream", token="control")  # noqa: S106 - a kind of token
async def control(task_id: str) -> None:
    """The wheel of a task's browser: what the client says is done to the page that its pictures show.

    While it is held the unit begins no page; it is free again when the socket closes.
    """
    made, caller = services(), principal()
    by = f"key {caller.key_id[:SHOWN_OF_KEY]}"
    async with Takeover(made.redis, made.keys, made.queue, caller.tenant, task_id, by) as takeover:
        with telemetry.VIEWERS.labels("control").track_inprogress():
            socket = Socket(validity(), made.hub.stopped, takeover.input)
            limit = made.settings.control_limit
            message = f"You have the wheel of {task_id}"
            await socket.run(takeover.keep(socket, limit), message, None, limit_s=limit.total_seconds())


@blueprint.get("/api/scraper/control/<task_id>")
@access("control", token="control")  # noqa: S106 - a kind of token
@describes(answer=WheelAnswer)
async def wheel(task_id: str) -> Response:
    """Whether the wheel of a task's browser can be taken: browsers do not tell a page why a WebSocket was refused."""
    made = services()
    state, why = await wheel_of(made.redis, made.keys, made.queue, principal().tenant, task_id)
    limit = made.settings.control_limit.total_seconds()
    return answer(WheelAnswer(task_id=task_id, state=state, detail=why, limit_s=limit))


def _no_picture(why: str, headers: dict[str, str] | None = None) -> Problem:
    return Problem(f"there is no picture: {why}", status=NotFound.status, title=NotFound.title, headers=headers or {})


def _viewer(task_id: str, fps: int | None = None) -> AbstractAsyncContextManager[Viewer]:
    """A viewer with the quality and pace that the query asks for, who begins to look when entered."""
    fps = fps or whole_number("fps", DEFAULT_FPS, least=1, most=MAX_FPS)
    quality = whole_number("quality", DEFAULT_QUALITY, least=1, most=100)
    return services().hub.viewer(principal().tenant, task_id, quality, fps)
