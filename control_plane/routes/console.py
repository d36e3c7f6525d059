"""The console: a page, its modules, styles and pictures, served from memory as they lie in ``control_plane/console``.

They hold no secrets and are public; what they show comes from the API, under the session of who signed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quart import Blueprint, Response, redirect, request

from control_plane.auth import PUBLIC, access
from control_plane.errors import NotFound
from control_plane.openapi import describes

FOLDER = Path(__file__).resolve().parents[1] / "console"
PAGE = "index.html"

CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
}

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",  # the console builds its page node by node: text that was scraped never becomes markup
    )
)

blueprint = Blueprint("console", __name__)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the console. ``etag`` is of its bytes, so that all replicas of one version say the same."""

    body: bytes
    content_type: str
    etag: str


def _assets(folder: Path) -> Mapping[str, Asset]:
    """All files of ``folder`` by their names. A suffix without a content type is a KeyError, and at start at that."""
    found = {}
    for path in sorted(folder.iterdir()):
        body = path.read_bytes()
        found[path.name] = Asset(body, CONTENT_TYPES[path.suffix], hashlib.sha256(body).hexdigest()[:32])
    return found


ASSETS = _assets(FOLDER)


@blueprint.get("/")
@access(PUBLIC, rate="probe")
@describes(media="text/html", status=303)
async def home() -> Response:
    """To the console."""
    response: Response = redirect("/console", 303)  # type: ignore[assignment]
    return response


@blueprint.get("/console")
@access(PUBLIC, rate="probe")
@describes(media="text/html")
async def page() -> Response:
    """The console: tasks, live pictures, leads, exports and the fleet in a browser."""
    return await _served(ASSETS[PAGE])


@blueprint.get("/console/<name>")
@access(PUBLIC, rate="probe")
@describes(media="text/javascript")
async def asset(name: str) -> Response:
    """A module, style or picture of the console."""
    found = ASSETS.get(name)
    if found is None or name == PAGE:
        raise NotFound("file of the console", name)
    return await _served(found)


async def _served(found: Asset) -> Response:
    """``found``, or 304 for a browser that has it: it asks each time, since a replica may be of another version."""
    response = Response(found.body, content_type=found.content_type)
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Content-Security-Policy"] = POLICY
    response.set_etag(found.etag)
    await response.make_conditional(request)
    return response
