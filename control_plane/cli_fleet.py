"""Nodes and tenants of a fleet, as the command line shows, drains and limits them."""

from __future__ import annotations

from typing import Any

import click

from control_plane.api_client import Api
from control_plane.cli_output import listing
from control_plane.cli_values import FLEETS_OWN
from fleet import ids
from fleet.errors import BadName

LISTED_AT_ONCE = 500


async def show(api: Api) -> None:
    """List all nodes, page by page."""
    found: list[dict[str, Any]] = []
    after: dict[str, str] | None = {}
    while after is not None:
        page = await api.get("/api/fleet/nodes", limit=LISTED_AT_ONCE, **after)
        found += page["nodes"]
        after = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
    rows = [
        [
            node["node_id"],
            node["state"],
            str(node["slots"]),
            str(node["slots_free"]),
            node["browser"],
            node["sandbox"],
            node["last_heard_at"] or "",
        ]
        for node in found
    ]
    listing(("node", "state", "slots", "free", "browser", "sandbox", "last heard"), rows, whole={"node"})


async def drain(api: Api, node: str) -> None:
    """Tell a node to take nothing new, finish or hand back what runs, and leave."""
    try:
        ids.name("node", node)  # anything else could be another route's path
    except BadName as exc:
        raise click.BadParameter(f"{exc}: `leadfleet nodes` lists them") from exc
    told = await api.post(f"/api/fleet/nodes/{node}/drain")
    busy = told["slots"] - told["slots_free"]
    if told["state"] == "draining":
        click.echo(
            f"{node} drains: {busy} of {told['slots']} slots are still at work; a new agent in its place serves again"
        )
    else:
        click.echo(f"{node} is {told['state']} already")


async def limit(api: Api, tenant: str, asked: dict[str, str]) -> None:
    """Change limits of a tenant's own (a number of units, or ``FLEETS_OWN``), and tell what they are then."""
    try:
        ids.name("tenant", tenant)
    except BadName as exc:
        raise click.BadParameter(str(exc)) from exc
    body = {name: None if value == FLEETS_OWN else int(value) for name, value in asked.items()}
    kept = await api.post(f"/api/tenants/{tenant}/limits", body)
    told = [
        f"{name} {'as the fleet has it' if kept[field] is None else kept[field]}"
        for name, field in (("running", "max_running"), ("queued", "max_queued"))
    ]
    click.echo(f"{tenant}: {', '.join(told)}")
