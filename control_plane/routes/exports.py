"""Exports: a file of leads in object storage, fetched by presigned URL. The API never relays its bytes."""

from __future__ import annotations

import re
from typing import Any

from quart import Blueprint, Response, request

from control_plane import web
from control_plane.auth import access, principal
from control_plane.errors import NotFound, Problem
from control_plane.openapi import describes
from control_plane.routes.filters import WHERE_QUERY, checked, lead_store, query_members
from control_plane.store.client import EXPORT_WAIT_S
from control_plane.store.models import MAX_EXPORTS, ExportList, ExportPage, ExportRequest, ExportView

blueprint = Blueprint("exports", __name__)

RETRY_AFTER_S = "2"

_QUERY_MEMBERS = ("columns", "bom", "phone_format", "compress")
_UNFINISHED = {"pending", "running"}


@blueprint.get("/api/export/<any(csv, json, jsonl, excel, parquet):file_format>")
@access("exports:read", "export", token="export")  # noqa: S106 - the kind of token, not a secret
@describes(
    answer=ExportView,
    also={302: "to the file", 202: "JSON was asked for, or it takes longer: the export is not ready yet"},
    query=WHERE_QUERY
    | {
        "columns": "names of columns, by commas: which and in which order",
        "bom": "true: a CSV begins with a byte order mark",
        "phone_format": "international (the default) or e164",
        "compress": "gzip: a .gz file, of CSV or JSON",
    },
)
async def download(file_format: str) -> Response:
    """The leads that match as a file: 302 to where it is, or its record when JSON is asked for.

    The answer waits up to 20 s for the file, or as long as ``Prefer: wait=…`` (RFC 7240) says, if that is less.
    """
    members = query_members(_QUERY_MEMBERS) | {"format": file_format}
    if isinstance(columns := members.get("columns"), str):
        members["columns"] = [column.strip() for column in columns.split(",")]
    export = await lead_store().export(principal().tenant, checked(ExportRequest, members), wait_s=_patience_s())
    if export.status == "empty":
        raise Problem("no lead matches, so there is nothing to export", status=404, title="Not found")
    if _wants_json():
        return _record(export)
    if export.status in _UNFINISHED:
        return _record(export)
    if export.url is None:
        raise Problem(export.error or "the export failed; ask again", status=502, title="Export failed")
    return Response("", 302, {"Location": export.url})


@blueprint.post("/api/export")
@access("exports:write", "export")
@describes(body=ExportRequest, body_required=False, answer=ExportView, also={202: "begun, and not ready yet"})
async def begin() -> Response:
    """Begin an export and answer at once; ``GET /api/export/{id}`` tells how far it is."""
    body = checked(ExportRequest, await web.read_json(optional=True))
    return _record(await lead_store().export(principal().tenant, body, wait_s=0))


@blueprint.get("/api/export")
@access("exports:read")
@describes(
    answer=ExportPage,
    query={"limit": f"at most so many, 1 to {MAX_EXPORTS}; 50 without", "cursor": "`next_cursor` of the page before"},
)
async def listed() -> Response:
    """The tenant's exports, latest first, each with its progress."""
    query = checked(ExportList, request.args.to_dict())
    return web.answer(await lead_store().export_list(principal().tenant, limit=query.limit, cursor=query.cursor))


@blueprint.post("/api/export/<export_id>/cancel")
@access("exports:write")
@describes(answer=ExportView)
async def cancel(export_id: str) -> Response:
    """End an export that is not ready, and remove what was written of it; one that has ended stays as it is.

    The same request begins it again.
    """
    return web.answer(await lead_store().export_cancel(principal().tenant, export_id))


@blueprint.get("/api/export/<export_id>")
@access("exports:read", token="export")  # noqa: S106 - the kind of token, not a secret
@describes(answer=ExportView)
async def show(export_id: str) -> Response:
    """An export: its progress, and its URL once it is ready."""
    if principal().task:  # an export's name does not say of which task it is; the link that began it does
        raise NotFound("export", export_id)
    return web.answer(await lead_store().export_view(principal().tenant, export_id))


def _record(export: ExportView) -> Response:
    unfinished = export.status in _UNFINISHED
    response = web.answer(export, 202 if unfinished else 200)
    response.headers["Content-Location"] = f"/api/export/{export.export_id}"
    if unfinished:
        response.headers["Retry-After"] = RETRY_AFTER_S
    return response


def _patience_s() -> float:
    preferred = re.search(r"\bwait=(\d{1,3})\b", request.headers.get("Prefer", ""))
    return min(float(preferred[1]), EXPORT_WAIT_S) if preferred else EXPORT_WAIT_S


def _wants_json() -> bool:
    accepted: Any = request.accept_mimetypes
    return bool(accepted.best_match(["text/html", "application/json"], default="text/html") == "application/json")
