"""Erasing leads, and who may not be collected."""

from __future__ import annotations

from quart import Blueprint, Response, request

from control_plane.auth import access, principal
from control_plane.erasure import opt_outs
from control_plane.erasure.models import ErasureView, LeadErased, OptedOut, OptOutPage, OptOutRequest, OptOutView
from control_plane.erasure.opt_outs import Kind
from control_plane.errors import BadRequest, Unavailable
from control_plane.models import MAX_LISTED
from control_plane.openapi import describes
from control_plane.routes.filters import lead_store
from control_plane.services import services
from control_plane.web import answer, read_body, whole_number

DEFAULT_PAGE = 50
MAX_OFFSET = 100_000
RETRY_AFTER_S = "2"

ACCEPTED = {202: "begun: no answer has it any more; GET /api/erasures/{id} tells when the bytes are gone"}

blueprint = Blueprint("erasure", __name__)


@blueprint.delete("/api/leads/<lead_id>")
@access("leads:write", rate="write")
@describes(
    answer=LeadErased, also=ACCEPTED, query={"opt_out": "false: the business may be collected again (default: true)"}
)
async def erase_lead(lead_id: str) -> Response:
    """Erase a lead wherever it is kept, by its id or a former one, and keep its business away."""
    if unknown := set(request.args) - {"opt_out"}:
        raise BadRequest(f"?{min(unknown)[:40]}= is not known; known is: opt_out")
    keep_away = _flag("opt_out", default=True)
    store, tenant = lead_store(), principal().tenant
    lead_ids, phones = await store.trace(tenant, lead_id)
    entries = opt_outs.business(tenant, lead_ids, phones) if keep_away else []
    erasure, _ = await services().registry.begin(tenant, Kind.LEAD, "", lead_ids, entries)
    done = await _carried_out(tenant, erasure)
    return _answer(LeadErased(**done.model_dump(), lead_ids=lead_ids, opted_out=keep_away), done)


@blueprint.get("/api/opt-outs")
@access("leads:read")
@describes(answer=OptOutPage, query={"limit": f"1 to {MAX_LISTED}", "offset": "entries to skip"})
async def list_opt_outs() -> Response:
    """Who may not be collected, newest first; values are masked."""
    limit = whole_number("limit", DEFAULT_PAGE, least=1, most=MAX_LISTED)
    offset = whole_number("offset", 0, least=0, most=MAX_OFFSET)
    return answer(await services().registry.page(principal().tenant, limit, offset))


@blueprint.post("/api/opt-outs")
@access("leads:write", rate="write")
@describes(body=OptOutRequest, answer=OptedOut, also=ACCEPTED)
async def add_opt_out() -> Response:
    """Keep whoever has a phone, an e-mail address or a domain from being collected, and erase what is there."""
    asked, tenant = await read_body(OptOutRequest), principal().tenant
    entry, erasure = await services().registry.add(tenant, asked.entry(), asked.reason)
    done = await _carried_out(tenant, erasure)
    return _answer(OptedOut(**entry.model_dump(), erasure=done), done)


@blueprint.delete("/api/opt-outs")
@access("leads:write", rate="write")
@describes(body=OptOutRequest, answer=OptOutView)
async def remove_opt_out_by_value() -> Response:
    """Take a phone, an e-mail address or a domain off the list. What was erased stays erased."""
    asked, registry = await read_body(OptOutRequest), services().registry
    digest = asked.entry().digest(await registry.key())
    return answer(await registry.remove(principal().tenant, digest))


@blueprint.delete("/api/opt-outs/<opt_out_id>")
@access("leads:write", rate="write")
@describes(answer=OptOutView)
async def remove_opt_out(opt_out_id: str) -> Response:
    """Take an entry off the list by its id. What was erased stays erased."""
    return answer(await services().registry.remove(principal().tenant, opt_out_id))


@blueprint.get("/api/erasures/<erasure_id>")
@access("leads:read")
@describes(answer=ErasureView)
async def show_erasure(erasure_id: str) -> Response:
    """What an erasure has removed, and whether it is done; kept for 30 days."""
    return answer(await services().registry.erasure(principal().tenant, erasure_id))


async def _carried_out(tenant: str, erasure: str) -> ErasureView:
    """The erasure, done if that is quick. It goes on by itself when the leads store does not answer now."""
    try:
        return await lead_store().erase(tenant, erasure)
    except Unavailable:
        return await services().registry.erasure(tenant, erasure)


def _answer(body: LeadErased | OptedOut, done: ErasureView) -> Response:
    response = answer(body, 200 if done.status == "done" else 202)
    response.headers["Content-Location"] = f"/api/erasures/{done.erasure_id}"
    if done.status != "done":
        response.headers["Retry-After"] = RETRY_AFTER_S
    return response


def _flag(name: str, *, default: bool) -> bool:
    text = request.args.get(name)
    if text is None:
        return default
    if text not in {"true", "false"}:
        raise BadRequest(f"?{name}= is true or false, not {text[:20]!r}")
    return text == "true"
