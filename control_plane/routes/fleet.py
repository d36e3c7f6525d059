"""Nodes and slots, for operators."""

from __future__ import annotations

from quart import Blueprint, Response, request

from control_plane.auth import access, principal
from control_plane.models import DEFAULT_FLEET_PAGE, MAX_FLEET_PAGE, NodeList, NodeView, SlotList
from control_plane.openapi import describes
from control_plane.services import services
from control_plane.web import answer, whole_number

PAGES = {
    "limit": f"at most so many, 1 to {MAX_FLEET_PAGE}; {DEFAULT_FLEET_PAGE} without",
    "cursor": "`next_cursor` of the page before",
}

blueprint = Blueprint("fleet", __name__, url_prefix="/api/fleet")


@blueprint.get("/nodes")
@access("fleet:read")
@describes(answer=NodeList, query=PAGES)
async def nodes() -> Response:
    """Browser nodes, by their ids."""
    return answer(await services().roster.nodes(limit=_limit(), cursor=request.args.get("cursor")))


@blueprint.get("/slots")
@access("fleet:read")
@describes(answer=SlotList, query=PAGES)
async def slots() -> Response:
    """Slots, by their nodes' ids; what runs on them is told to the tenant whose task it is."""
    tenant, cursor = principal().tenant, request.args.get("cursor")
    return answer(await services().roster.slots(tenant, limit=_limit(), cursor=cursor))


@blueprint.post("/nodes/<node_id>/drain")
@access("fleet:write", rate="write")
@describes(answer=NodeView)
async def drain(node_id: str) -> Response:
    """Have a node take no new work, finish or hand back what runs, and leave."""
    return answer(await services().roster.drain(node_id))


def _limit() -> int:
    return whole_number("limit", DEFAULT_FLEET_PAGE, least=1, most=MAX_FLEET_PAGE)
