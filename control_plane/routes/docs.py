"""The API's description: for programs, and as a page that loads nothing from elsewhere."""

from __future__ import annotations

import re
from html import escape
from typing import Any

from quart import Blueprint, Response, current_app

from control_plane.auth import PUBLIC, access
from control_plane.openapi import describes, document, paths_of, summary_of
from control_plane.web import answer

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Leadfleet API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid #8884 }}
code {{ font-size: .95em }}
</style></head><body>
<h1>Leadfleet API</h1>
<p>The whole description, with all shapes, is <a href="/openapi.json">/openapi.json</a>. Send an API key as
<code>Authorization: Bearer lfk_…</code>; where a browser can set no header, a token of
<code>POST /api/auth/stream-token</code> as <code>?token=</code>. Errors are
<code>application/problem+json</code>.</p>
<table><thead><tr><th>Call</th><th>What it does</th><th>Scope</th></tr></thead><tbody>
{rows}
</tbody></table></body></html>
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

blueprint = Blueprint("docs", __name__)


@blueprint.get("/openapi.json")
@access(PUBLIC, rate="probe")
@describes(media="application/json")
async def openapi() -> Response:
    """This description."""
    return answer(document(current_app))


@blueprint.get("/docs")
@access(PUBLIC, rate="probe")
@describes(media="text/html")
async def docs() -> Response:
    """All calls on one page."""
    rows = []
    for rule in sorted(current_app.url_map.iter_rules(), key=lambda rule: rule.rule):
        view: Any = current_app.view_functions.get(rule.endpoint)
        if not hasattr(view, "access"):
            continue
        methods = ["WS"] if rule.websocket else sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        summary = re.sub(r"`(.*?)`", r"<code>\1</code>", escape(summary_of(view)))
        rows += [
            f"<tr><td><code>{' '.join(methods)} {escape(path)}</code></td>"
            f"<td>{summary}</td><td><code>{view.access.scope}</code></td></tr>"
            for path in paths_of(rule)
        ]
    page = _PAGE.format(rows="\n".join(rows))
    headers = {"Content-Security-Policy": _POLICY}
    return Response(page, headers=headers, content_type="text/html; charset=utf-8")
