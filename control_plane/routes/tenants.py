"""What a tenant may take of the fleet, for operators."""

from __future__ import annotations

from quart import Blueprint, Response

from control_plane.auth import access
from control_plane.models import LimitsRequest, TenantLimits
from control_plane.openapi import describes
from control_plane.services import services
from control_plane.web import answer, read_body

blueprint = Blueprint("tenants", __name__, url_prefix="/api/tenants")


@blueprint.post("/<tenant>/limits")
@access("tenants:write", rate="write")
@describes(body=LimitsRequest, answer=TenantLimits)
async def limits(tenant: str) -> Response:
    """Give a tenant limits of its own in place of the fleet's; they hold from its next unit on."""
    return answer(await services().queue.set_limits(tenant, await read_body(LimitsRequest)))
