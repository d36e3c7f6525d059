"""``leadfleet``: a client of the public API, and the way to run a stack on this machine.

What takes long to import is imported by the command that needs it: `--help` answers at once, and a Ctrl-C
meanwhile is click's to report.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from control_plane.cli_values import (
    SUFFIXES,
    export_target,
    lead_ids_only,
    own_limit,
    with_scheme,
    writable_option,
)
from control_plane.local_state import state_directory

if TYPE_CHECKING:
    from control_plane.api_client import Api
    from infra.stack.stack import Stack

T = TypeVar("T")

INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended
MOST_SLOTS = 64  # what a node accepts
MOST_LISTED = 500  # what the API lists in one answer
_KEY_ID = re.compile(r"[0-9a-f]{64}")


def run(work: Callable[[Api], Awaitable[T]]) -> T:
    """Run ``work`` against the API; what goes wrong there is told in one sentence, with status 1."""
    from control_plane.api_client import Address, Api, ApiError

    async def connected() -> T:
        async with Api(Address.find()) as api:
            return await work(api)

    try:
        return asyncio.run(connected())
    except ApiError as exc:
        raise click.ClickException(str(exc)) from exc
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        raise SystemExit(INTERRUPTED) from None


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="leadfleet")
def main() -> None:
    """Leads from real browsers. LEADFLEET_URL and LEADFLEET_API_KEY say which API to use; without them it is
    the stack that `leadfleet up` runs on this machine.

    Lists are tables on a terminal; piped, they are lines of tab-separated cells without a heading."""


@main.command()
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="Of the API.")
@click.option("--replicas", default=1, show_default=True, type=click.IntRange(min=1), help="Of the control plane.")
@click.option("--nodes", default=1, show_default=True, type=click.IntRange(min=0), help="Browser nodes.")
@click.option(
    "--slots",
    default=2,
    show_default=True,
    envvar="LEADFLEET_SLOTS",
    type=click.IntRange(1, MOST_SLOTS),
    help="Chromes a node; LEADFLEET_SLOTS as well.",
)
@click.option("--town", is_flag=True, help="Serve the bundled sample town as well.")
def up(port: int, replicas: int, nodes: int, slots: int, town: bool) -> None:
    """Run the whole stack on this machine until Ctrl-C."""
    from control_plane.api_client import Address, Api
    from infra.stack.options import Options
    from infra.stack.up import print_addresses
    from infra.stack.up import run as run_stack

    async def announce(stack: Stack) -> None:
        async with Api(Address(stack.url, stack.api_key)) as api:
            link = await api.post("/api/auth/console-link")
        await print_addresses(stack, sign_in=link["url"])

    allowed = tuple(entry for entry in os.environ.get("LEADFLEET_EGRESS_ALLOW", "").split(",") if entry)
    options = Options(
        state=state_directory(), http_port=port, replicas=replicas, nodes=nodes, slots=slots, town=town,
        egress_allow=allowed,
    )  # fmt: skip
    sys.exit(run_stack(options, announce))


@main.command()
@click.argument("urls", nargs=-1, required=True, metavar="URL...", callback=with_scheme)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), callback=writable_option, help="Write the leads to this file."
)
@click.option("--platform", "platforms", multiple=True, help="website (the default) or directory.")
@click.option("--max-results", type=click.IntRange(min=1), help="Stop after so many leads.")
@click.option(
    "--parallel",
    default=2,
    show_default=True,
    type=click.IntRange(min=1),
    help="Browsers the task may use at once.",
)
@click.option("--ignore-robots", is_flag=True, help="Visit what robots.txt disallows.")
def scrape(
    urls: tuple[str, ...],
    output: Path | None,
    platforms: tuple[str, ...],
    max_results: int | None,
    parallel: int,
    ignore_robots: bool,
) -> None:
    """Scrape URLs and show what is found; with -o the leads end up in a file (.csv, .json, .xlsx, .parquet).

    Ctrl-C stops the task; what it found until then is kept, and written to the file."""
    from control_plane import cli_tasks

    target = export_target(output) if output else None
    body: dict[str, Any] = {"queries": list(urls), "max_parallel": parallel}
    if platforms:
        body["platforms"] = list(platforms)
    if max_results is not None:
        body["max_results"] = max_results
    if ignore_robots:
        body["respect_robots"] = False
    sys.exit(run(lambda api: cli_tasks.scrape(api, body, target)))


@main.command()
@click.argument("tasks", nargs=-1, required=True, metavar="TASK...")
def stop(tasks: tuple[str, ...]) -> None:
    """Stop tasks for good; what they found so far is kept."""
    from control_plane import cli_tasks

    async def work(api: Api) -> None:
        for task in tasks:
            await cli_tasks.stop(api, task)
            click.echo(f"stopped {task}")

    run(work)


@main.command("tasks")
@click.option("--status", help="Only tasks in this state.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, MOST_LISTED))
def list_tasks(status: str | None, limit: int) -> None:
    """List tasks, newest first."""
    from control_plane.cli_output import listing

    query: dict[str, str | int] = {"limit": limit} | ({"status": status} if status else {})
    page = run(lambda api: api.get("/api/tasks", **query))
    rows = [
        [
            task["task_id"],
            task["status"],
            str(task["total_results"]),
            str(task["pages"]),
            "" if task["duration_seconds"] is None else f"{task['duration_seconds']:.0f}",
            " ".join(task["queries"]),
        ]
        for task in page["tasks"]
    ]
    columns = ("task", "status", "leads", "pages", "seconds", "queries")
    listing(columns, rows, whole=set(columns) - {"queries"}, cut="queries")


@main.group(invoke_without_command=True)
@click.option("--task", help="Only leads of this task.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, MOST_LISTED))
@click.pass_context
def leads(context: click.Context, task: str | None, limit: int) -> None:
    """List leads; `leads erase` erases them."""
    from control_plane import cli_tasks
    from control_plane.cli_output import listing

    if context.invoked_subcommand is not None:
        return

    async def work(api: Api) -> Any:
        where = {"task_id": task} if task else {}
        page = await api.post("/api/filters/leads", {"where": where, "limit": limit})
        if task and not page["items"]:
            # asked only now: a task is forgotten after some days, its leads are not
            await cli_tasks.require(api, task)
        return page

    page = run(work)
    rows = [
        [
            lead["lead_id"],
            lead.get("display_name") or "",
            ", ".join(phone.get("international") or phone["raw"] for phone in lead.get("phones") or []),
            ", ".join(lead.get("emails") or []),
            (lead.get("address") or {}).get("city") or "",
            lead.get("website") or "",
        ]
        for lead in page["items"]
    ]
    listing(("lead", "name", "phone", "e-mail", "city", "website"), rows, whole={"lead"})
    click.echo(f"{len(rows)} of {page['total']}", err=True)


@leads.command("erase")
@click.argument("lead_ids", nargs=-1, required=True, metavar="LEAD...", callback=lead_ids_only)
@click.option("--collect-again", is_flag=True, help="The business may be collected again.")
def erase_leads(lead_ids: tuple[str, ...], collect_again: bool) -> None:
    """Erase leads wherever they are kept, and keep their businesses away from now on."""
    from control_plane import cli_erasure

    run(lambda api: cli_erasure.erase(api, lead_ids, opt_out=not collect_again))


@main.group("opt-outs")
def opt_outs() -> None:
    """Who may not be collected: phones, e-mail addresses and domains."""


REGION = click.option("--region", metavar="CC", help="Where a phone without + is dialled, such as DE.")


@opt_outs.command("add")
@click.argument("value")
@REGION
@click.option("--reason", help="For whoever reads the list.")
def add_opt_out(value: str, region: str | None, reason: str | None) -> None:
    """Erase whoever has this phone, e-mail address or domain, and keep them from being collected again."""
    from control_plane import cli_erasure

    run(lambda api: cli_erasure.add(api, value, region, reason))


@opt_outs.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, MOST_LISTED))
def list_opt_outs(limit: int) -> None:
    """List opt-outs, newest first."""
    from control_plane import cli_erasure

    run(lambda api: cli_erasure.show(api, limit))


@opt_outs.command("remove")
@click.argument("value")
@REGION
def remove_opt_out(value: str, region: str | None) -> None:
    """Take an opt-out off the list, by its id or its value. What was erased stays erased."""
    from control_plane import cli_erasure

    run(lambda api: cli_erasure.remove(api, value, region))


@main.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    callback=writable_option,
    help="Default: leads with the format's ending.",
)
@click.option("--format", "file_format", type=click.Choice(list(SUFFIXES)), help="Default: what the file's name says.")
@click.option("--task", help="Only leads of this task.")
def export(output: Path | None, file_format: str | None, task: str | None) -> None:
    """Write leads to a file; .gz at the end of its name compresses CSV and JSON."""
    from control_plane import cli_tasks

    target = export_target(output, file_format)

    async def work(api: Api) -> None:
        await cli_tasks.export(api, target, task)

    run(work)


@main.group(invoke_without_command=True)
@click.pass_context
def nodes(context: click.Context) -> None:
    """List browser nodes."""
    from control_plane import cli_fleet

    if context.invoked_subcommand is None:
        run(cli_fleet.show)


@nodes.command("drain")
@click.argument("node")
def drain_node(node: str) -> None:
    """Have a node take nothing new, finish or hand back what runs, and leave."""
    from control_plane import cli_fleet

    run(lambda api: cli_fleet.drain(api, node))


@main.command()
@click.option("--manifest", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE")
def extract(manifest: Path) -> None:
    """Extract leads from saved pages, without any server. FILE has JSON lines {id, path, url}."""
    from control_plane.extract_manifest import main as extract_all

    try:
        extract_all(manifest, sys.stdout)
    except (OSError, ValueError) as exc:
        raise click.ClickException(str(exc)) from exc


@main.command()
def doctor() -> None:
    """Say what is missing on this machine, and how to get it."""
    from infra.doctor import run as examine

    sys.exit(examine())


@main.group()
def tenants() -> None:
    """What a tenant may take of the fleet."""


@tenants.command("limit")
@click.argument("tenant")
@click.option("--max-running", callback=own_limit, metavar="UNITS|default", help="Units that run at once.")
@click.option("--max-queued", callback=own_limit, metavar="UNITS|default", help="Units that may wait.")
def limit_tenant(tenant: str, max_running: str | None, max_queued: str | None) -> None:
    """Give a tenant limits of its own, or the fleet's again; without options, show its own."""
    from control_plane import cli_fleet

    asked = {"max_running": max_running, "max_queued": max_queued}
    run(lambda api: cli_fleet.limit(api, tenant, {name: value for name, value in asked.items() if value is not None}))


@main.group()
def keys() -> None:
    """API keys."""


@keys.command("create")
@click.option("--tenant", help="Default: the tenant of the key in use.")
@click.option("--name", default="key", show_default=True)
@click.option("--scope", "scopes", multiple=True, help="Default: all scopes of the key in use.")
def create_key(tenant: str | None, name: str, scopes: tuple[str, ...]) -> None:
    """Make a key; it is shown this once."""
    body: dict[str, Any] = {"name": name}
    if tenant:
        body["tenant"] = tenant
    if scopes:
        body["scopes"] = list(scopes)
    made = run(lambda api: api.post("/api/auth/keys", body))
    click.echo(made["key"])
    click.echo(f"id {made['key_id']} · tenant {made['tenant']} · {' '.join(made['scopes'])}", err=True)


@keys.command("revoke")
@click.argument("key_id")
def revoke_key(key_id: str) -> None:
    """Revoke a key by its id."""
    if not _KEY_ID.fullmatch(key_id):  # anything else could be another route's path
        raise click.BadParameter(f"{key_id!r} is not the id of a key: `leadfleet keys create` shows it beside the key")
    gone = run(lambda api: api.delete(f"/api/auth/keys/{key_id}"))
    click.echo(f"revoked {gone['name']} of tenant {gone['tenant']}")


if __name__ == "__main__":
    main()
