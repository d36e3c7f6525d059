"""``leadfleet``: a client of the public API, and the way to run a stack on this machine."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from control_plane.api_client import Address, Api, ApiError

T = TypeVar("T")

POLL_S = 0.5
ENDED = ("completed", "error", "stopped")
FORMATS = ("csv", "json", "excel", "parquet")
SUFFIXES = {"csv": ".csv", "json": ".json", "excel": ".xlsx", "parquet": ".parquet"}

console = Console()


def state_directory() -> Path:
    return Path(os.environ.get("LEADFLEET_STATE") or ".state")


def run(work: Callable[[Api], Awaitable[T]]) -> T:
    """Run ``work`` against the API; what goes wrong there is told in one sentence, with status 1."""

    async def connected() -> T:
        async with Api(Address.find(state_directory())) as api:
            return await work(api)

    try:
        return asyncio.run(connected())
    except ApiError as exc:
        raise click.ClickException(str(exc)) from exc
    except KeyboardInterrupt:
        raise click.Abort from None


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="leadfleet")
def main() -> None:
    """Leads from real browsers. LEADFLEET_URL and LEADFLEET_API_KEY say which API to use; without them it is
    the stack that `leadfleet up` runs in this directory."""


@main.command()
@click.option("--port", default=8000, show_default=True, help="Of the API.")
@click.option("--replicas", default=1, show_default=True, help="Of the control plane.")
@click.option("--nodes", default=1, show_default=True, help="Browser nodes.")
@click.option("--slots", default=2, show_default=True, help="Chromes a node.")
@click.option("--town", is_flag=True, help="Serve the bundled sample town as well.")
def up(port: int, replicas: int, nodes: int, slots: int, town: bool) -> None:
    """Run the whole stack on this machine until Ctrl-C."""
    from infra.stack.options import Options
    from infra.stack.stack import Stack
    from infra.stack.up import print_addresses
    from infra.stack.up import run as run_stack

    async def announce(stack: Stack) -> None:
        await print_addresses(stack)
        async with Api(Address(stack.url, stack.api_key)) as api:
            link = await api.post("/api/auth/console-link")
        click.echo(f"console   {link['url']}  (opens once, within ten minutes)")

    state = Options.default_state()
    options = Options(state=state, http_port=port, replicas=replicas, nodes=nodes, slots=slots, town=town)
    sys.exit(run_stack(options, announce))


@main.command()
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the leads to this file.")
@click.option("--platform", "platforms", multiple=True, help="website (the default) or directory.")
@click.option("--max-results", type=int, help="Stop after so many leads.")
@click.option("--parallel", default=2, show_default=True, help="Browsers the task may use at once.")
@click.option("--ignore-robots", is_flag=True, help="Visit what robots.txt disallows.")
def scrape(
    urls: tuple[str, ...],
    output: Path | None,
    platforms: tuple[str, ...],
    max_results: int | None,
    parallel: int,
    ignore_robots: bool,
) -> None:
    """Scrape URLs and show what is found; with -o the leads end up in a file (.csv, .json, .xlsx, .parquet)."""
    body: dict[str, Any] = {"queries": list(urls), "max_parallel": parallel}
    if platforms:
        body["platforms"] = list(platforms)
    if max_results:
        body["max_results"] = max_results
    if ignore_robots:
        body["respect_robots"] = False

    async def work(api: Api) -> bool:
        task = (await api.post("/api/scraper/start", body))["task_id"]
        final = await _watch(api, task)
        console.print(f"{final['status']}: {final['total_results']} leads from {final['pages']} pages")
        if final["error"]:
            console.print(f"[red]{final['error']}[/red]")
        if output is not None and final["total_results"]:
            await _export(api, _format_of(output), output, {"task_id": task})
        return bool(final["status"] == "completed")

    if not run(work):
        sys.exit(1)


@main.command()
@click.option("--status", help="Only tasks in this state.")
@click.option("--limit", default=20, show_default=True)
def tasks(status: str | None, limit: int) -> None:
    """List tasks, newest first."""
    query: dict[str, str | int] = {"limit": limit} | ({"status": status} if status else {})
    page = run(lambda api: api.get("/api/tasks", **query))
    table = Table("task", "status", "leads", "pages", "seconds", "queries")
    for task in page["tasks"]:
        seconds = task["duration_seconds"]
        table.add_row(
            task["task_id"],
            task["status"],
            str(task["total_results"]),
            str(task["pages"]),
            "" if seconds is None else f"{seconds:.0f}",
            ", ".join(task["queries"][:2]) + (" …" if len(task["queries"]) > 2 else ""),
        )
    console.print(table)


@main.command()
@click.option("--task", help="Only leads of this task.")
@click.option("--limit", default=20, show_default=True)
def leads(task: str | None, limit: int) -> None:
    """List leads."""
    where = {"task_id": task} if task else {}
    page = run(lambda api: api.post("/api/filters/leads", {"where": where, "limit": limit}))
    table = Table("name", "phone", "e-mail", "city", "website")
    for lead in page["items"]:
        phones = [phone.get("international") or phone["raw"] for phone in lead.get("phones") or []]
        table.add_row(
            lead.get("display_name") or "",
            ", ".join(phones[:2]),
            ", ".join((lead.get("emails") or [])[:1]),
            (lead.get("address") or {}).get("city") or "",
            lead.get("website") or "",
        )
    console.print(table)
    console.print(f"{len(page['items'])} of {page['total']}")


@main.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Default: leads with the format's ending.")
@click.option("--format", "file_format", type=click.Choice(FORMATS), help="Default: what the file's name says.")
@click.option("--task", help="Only leads of this task.")
def export(output: Path | None, file_format: str | None, task: str | None) -> None:
    """Write leads to a file."""
    chosen = file_format or (_format_of(output) if output else "csv")
    target = output or Path("leads" + SUFFIXES[chosen])
    run(lambda api: _export(api, chosen, target, {"task_id": task} if task else {}))


@main.command()
def nodes() -> None:
    """List browser nodes."""
    listing = run(lambda api: api.get("/api/fleet/nodes"))
    table = Table("node", "state", "slots", "free", "browser", "sandbox", "last heard")
    for node in listing["nodes"]:
        table.add_row(
            node["node_id"],
            node["state"],
            str(node["slots"]),
            str(node["slots_free"]),
            node["browser"],
            node["sandbox"],
            node["last_heard_at"] or "",
        )
    console.print(table)


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
    gone = run(lambda api: api.delete(f"/api/auth/keys/{key_id}"))
    click.echo(f"revoked {gone['name']} of tenant {gone['tenant']}")


async def _watch(api: Api, task: str) -> dict[str, Any]:
    """Show a task until it has ended, and return its last status."""
    started = time.monotonic()
    with Live(console=console, transient=True, refresh_per_second=4) as live:
        while True:
            status: dict[str, Any] = await api.get(f"/api/scraper/status/{task}")
            live.update(_progress(status, time.monotonic() - started))
            if status["status"] in ENDED:
                return status
            await asyncio.sleep(POLL_S)


def _progress(status: dict[str, Any], elapsed: float) -> Table:
    table = Table.grid(padding=(0, 2))
    waiting = status["queue_position"]
    state = status["status"] if waiting is None else f"queued, {waiting} ahead"
    leads_found, pages = f"{status['total_results']} leads", f"{status['pages']} pages"
    table.add_row(state, leads_found, pages, f"{elapsed:.0f} s", status["current_query"] or "")
    return table


async def _export(api: Api, file_format: str, target: Path, where: dict[str, str]) -> None:
    made = await api.get(f"/api/export/{file_format}", **where)
    while made["status"] in {"pending", "running"}:
        await asyncio.sleep(POLL_S)
        made = await api.get(f"/api/export/{made['export_id']}")
    if not made.get("url"):
        raise ApiError(f"the export ended as {made['status']}")
    written = await api.download(made["url"], target)
    console.print(f"{target}: {made['rows']} leads, {written} bytes")


def _format_of(path: Path) -> str:
    for file_format, suffix in SUFFIXES.items():
        if path.suffix.lower() == suffix:
            return file_format
    raise click.UsageError(f"{path.name}: the ending must be one of {', '.join(SUFFIXES.values())}")


if __name__ == "__main__":
    main()
