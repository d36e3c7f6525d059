"""What happens in a task, as it happens: WebSockets and Server-Sent Events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from quart import Blueprint, Response, request, websocket

from control_plane import telemetry
from control_plane.auth import access, principal, still_valid
from control_plane.openapi import describes
from control_plane.services import services
from control_plane.streams import sse
from control_plane.streams.events import CHANNELS, parse_position
from control_plane.streams.websockets import STORE_ERRORS, Socket, send_events
from control_plane.web import whole_number

MAX_BATCH_MS = 5_000

blueprint = Blueprint("streams", __name__, url_prefix="/api/scraper")


@blueprint.websocket("/ws/<any(logs,progress,results,events):channel>/<task_id>")
@access("streams:read", rate="stream", token="events")  # noqa: S106 - a kind of token
async def events(channel: str, task_id: str) -> None:
    """Events of a task. The socket stays open after the task has ended; the client leaves when it likes.

    With ``?batch_ms=``, those that come within so many milliseconds are one message, an array.
    """
    asked, batch_s = parse_position(websocket.args.get("last_event_id")), _batch_s()
    await services().queue.status(principal().tenant, task_id)
    hub = services().hub
    stopped = hub.stopped  # before the store is looked at: it may be found to have lost data meanwhile
    tail, start = await hub.tail(task_id, asked, CHANNELS[channel])
    try:
        with telemetry.VIEWERS.labels(channel).track_inprogress():
            socket = Socket(validity(), stopped)
            message = f"Connected to {channel} of {task_id}"
            await socket.run(send_events(socket, tail, start, batch_s), message, start.after)
    finally:
        tail.close()


@blueprint.get("/events/<task_id>")
@access("streams:read", rate="stream", token="events")  # noqa: S106 - a kind of token
@describes(
    media="text/event-stream",
    query={
        "last_event_id": "go on behind this message",
        "batch_ms": f"put what comes within so many milliseconds, at most {MAX_BATCH_MS}, into one message, an array",
    },
    headers={"Last-Event-ID": "the same, as browsers send it"},
)
async def server_sent(task_id: str) -> Response:
    """The same messages as Server-Sent Events."""
    asked = parse_position(request.headers.get("Last-Event-ID") or request.args.get("last_event_id"))
    await services().queue.status(principal().tenant, task_id)
    body = sse.event_stream(services().hub, task_id, asked, validity(), _batch_s())
    return endless(body, "text/event-stream; charset=utf-8")


def _batch_s() -> float:
    return whole_number("batch_ms", 0, least=0, most=MAX_BATCH_MS) / 1000


def endless(body: AsyncIterator[bytes], content_type: str) -> Response:
    """A stream that ends when the client goes. HEAD gets its headers only: the server would read the body in vain,
    for ever, and the client wait for an end."""
    response = Response(None if request.method == "HEAD" else body, content_type=content_type)
    response.timeout = None  # Quart's 60 s would wrap the whole stream
    response.headers["X-Accel-Buffering"] = "no"
    return response


def validity() -> Callable[[], Awaitable[bool]]:
    """A question for long streams, outside of any request: is the caller's key still good? Also while the store cannot
    say: an ``<img>`` that breaks stays broken, and a viewer who reads on is no reason to ask the store sooner."""
    caller, made = principal(), services()

    async def valid() -> bool:
        try:
            return await still_valid(caller, made.ring, made.settings)
        except STORE_ERRORS:
            return True

    return valid
