"""Nodes and slots, for operators."""

from __future__ import annotations

from quart import Blueprint, Response

from control_plane.auth import access, principal
from control_plane.models import NodeList, NodeView, SlotList
from control_plane.openapi import describes
from control_plane.services import services
from control_plane.web import answer

blueprint = Blueprint("fleet", __name__, url_prefix="/api/fleet")


@blueprint.get("/nodes")
@access("fleet:read")
@describes(answer=NodeList)
async def nodes() -> Response:
    """All browser nodes."""
    return answer(NodeList(nodes=await services().queue.nodes()))


@blueprint.get("/slots")
@access("fleet:read")
@describes(answer=SlotList)
async def slots() -> Response:
    """All slots; what runs on them is told to the tenant whose task it is."""
    return answer(SlotList(slots=await services().queue.slots(principal().tenant)))


@blueprint.post("/nodes/<node_id>/drain")
@access("fleet:write", rate="write")
@describes(answer=NodeView)
async def drain(node_id: str) -> Response:
    """Have a node take no new work, finish or hand back what runs, and leave."""
    return answer(await services().queue.drain(node_id))
