"""Browser nodes, as the command line shows and drains them."""

from __future__ import annotations

import click

from control_plane.api_client import Api
from control_plane.cli_output import listing
from fleet import ids
from fleet.errors import BadName


async def show(api: Api) -> None:
    found = await api.get("/api/fleet/nodes")
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
        for node in found["nodes"]
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
