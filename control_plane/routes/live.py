"""What a task's browser shows: MJPEG, single pictures, and pictures over a WebSocket."""

from __future__ import annotations

from quart import Blueprint, Response

from control_plane import telemetry
from control_plane.auth import access, principal
from control_plane.errors import NotFound
from control_plane.openapi import describes
from control_plane.routes.streams import validity
from control_plane.services import services
from control_plane.streams.frames import LiveView
from control_plane.streams.mjpeg import CONTENT_TYPE, picture_stream
from control_plane.streams.websockets import Socket, send_pictures
from control_plane.web import whole_number

DEFAULT_FPS, MAX_FPS = 10, 30
DEFAULT_QUALITY = 60
SNAPSHOT_TIMEOUT_S = 4.0  # capture starts with the question: half a second to find the slot, then a first picture

PACE = {"fps": f"1 to {MAX_FPS}, default {DEFAULT_FPS}", "quality": f"1 to 100, default {DEFAULT_QUALITY}"}

blueprint = Blueprint("live", __name__)


@blueprint.get("/api/scraper/live_feed/<task_id>")
@blueprint.get("/live_feed/<task_id>")
@access("streams:read", rate="stream", token="live")  # noqa: S106 - a kind of token
@describes(media="multipart/x-mixed-replace", query=PACE)
async def live_feed(task_id: str) -> Response:
    """The task's browser as MJPEG. A task that does not run yet has no picture; the stream waits for it."""
    view, quality, fps = await _view(task_id)
    body = picture_stream(view, quality, fps, validity(), services().hub.stopped)
    response = Response(body, content_type=CONTENT_TYPE)
    response.timeout = None  # Quart's 60 s would wrap the whole stream
    response.headers["X-Accel-Buffering"] = "no"
    return response


@blueprint.get("/api/scraper/snapshot/<task_id>.jpg")
@access("streams:read", rate="stream", token="live")  # noqa: S106 - a kind of token
@describes(media="image/jpeg", query={"quality": PACE["quality"]})
async def snapshot(task_id: str) -> Response:
    """One picture of the task's browser, now."""
    view, quality, fps = await _view(task_id)
    if await services().queue.stage(principal().tenant, task_id) is None:
        raise NotFound("picture: no browser works right now on task", task_id)
    async with view.viewer(quality, fps) as viewer:
        picture = await viewer.next(timeout=SNAPSHOT_TIMEOUT_S)
    if picture is None:
        raise NotFound("picture yet of task", task_id)
    return Response(picture.frame.jpeg, content_type="image/jpeg")


@blueprint.websocket("/api/scraper/ws/frames/<task_id>")
@access("streams:read", rate="stream", token="live")  # noqa: S106 - a kind of token
async def frames(task_id: str) -> None:
    """Pictures over a WebSocket, each preceded by a text message that says what it shows."""
    view, quality, fps = await _view(task_id)
    async with view.viewer(quality, fps) as viewer:
        with telemetry.VIEWERS.labels("frames").track_inprogress():
            socket = Socket(validity(), services().hub.stopped)
            await socket.run(send_pictures(socket, viewer), f"Connected to frames of {task_id}", None)


async def _view(task_id: str) -> tuple[LiveView, int, int]:
    """``(view, quality, fps)`` of a task that is the caller's."""
    fps = whole_number("fps", DEFAULT_FPS, least=1, most=MAX_FPS)
    quality = whole_number("quality", DEFAULT_QUALITY, least=1, most=100)
    await services().queue.status(principal().tenant, task_id)
    return services().hub.view(principal().tenant, task_id), quality, fps
