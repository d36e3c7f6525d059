"""What a task's browser shows: MJPEG, single pictures, and pictures over a WebSocket."""

from __future__ import annotations

from quart import Blueprint, Response, request

from control_plane import telemetry
from control_plane.auth import access, principal
from control_plane.errors import NotFound, Unavailable
from control_plane.openapi import describes
from control_plane.routes.streams import validity
from control_plane.services import services
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
    quality, fps = await _pace(task_id)
    if request.method == "HEAD":  # its body is not sent, and would not end
        return Response("", content_type=CONTENT_TYPE)
    hub = services().hub
    looking = hub.viewer(principal().tenant, task_id, quality, fps)
    response = Response(picture_stream(looking, validity(), hub.stopped), content_type=CONTENT_TYPE)
    response.timeout = None  # Quart's 60 s would wrap the whole stream
    response.headers["X-Accel-Buffering"] = "no"
    return response


@blueprint.get("/api/scraper/snapshot/<task_id>.jpg")
@access("streams:read", rate="stream", token="live")  # noqa: S106 - a kind of token
@describes(media="image/jpeg", query={"quality": PACE["quality"]})
async def snapshot(task_id: str) -> Response:
    """One picture of the task's browser, taken after it was asked for."""
    quality, fps = await _pace(task_id)
    tenant, hub = principal().tenant, services().hub
    stage = await services().queue.stage(tenant, task_id)
    if stage is None:
        raise NotFound("picture: no browser works right now on task", task_id)
    before = await hub.newest_frame(stage)
    async with hub.viewer(tenant, task_id, quality, fps) as viewer:
        picture = await viewer.newer_than(before, SNAPSHOT_TIMEOUT_S)
    if picture is None:
        raise Unavailable(f"the browser gave no picture within {SNAPSHOT_TIMEOUT_S:g} s; try again")
    return Response(picture.frame.jpeg, content_type="image/jpeg")


@blueprint.websocket("/api/scraper/ws/frames/<task_id>")
@access("streams:read", rate="stream", token="live")  # noqa: S106 - a kind of token
async def frames(task_id: str) -> None:
    """Pictures over a WebSocket, each preceded by a text message that says what it shows."""
    quality, fps = await _pace(task_id)
    async with services().hub.viewer(principal().tenant, task_id, quality, fps) as viewer:
        with telemetry.VIEWERS.labels("frames").track_inprogress():
            socket = Socket(validity(), services().hub.stopped)
            await socket.run(send_pictures(socket, viewer), f"Connected to frames of {task_id}", None)


async def _pace(task_id: str) -> tuple[int, int]:
    """``(quality, fps)`` that were asked for. Raises NotFound for a task that is not the caller's."""
    fps = whole_number("fps", DEFAULT_FPS, least=1, most=MAX_FPS)
    quality = whole_number("quality", DEFAULT_QUALITY, least=1, most=100)
    await services().queue.status(principal().tenant, task_id)
    return quality, fps
