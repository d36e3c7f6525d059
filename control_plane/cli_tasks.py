"""A task as the command line follows it: started, watched, stopped by Ctrl-C, and its leads written to a file."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from control_plane.api_client import Api, ApiError
from control_plane.cli import INTERRUPTED
from control_plane.cli_output import counted, plain
from control_plane.cli_values import ExportTarget
from fleet import ids
from fleet.cancellation import to_the_end

POLL_S = 0.5
NOT_FOUND = 404
ENDED = ("completed", "error", "stopped")
CONFLICT = 409


async def scrape(api: Api, body: dict[str, Any], target: ExportTarget | None) -> int:
    """Start a task, watch it to its end and write what it found to ``target``; the exit status."""
    task: str = (await api.post("/api/scraper/start", body))["task_id"]
    click.echo(f"task {task}")
    try:
        final, interrupted = await _follow(api, task)
    except ApiError as exc:
        raise ApiError(f"{exc}\n{task} may go on: `leadfleet tasks` shows it, `leadfleet stop {task}` ends it") from exc
    click.echo(f"{final['status']}: {counted(final['total_results'], 'lead')} from {counted(final['pages'], 'page')}")
    if final["error"]:
        click.secho(plain(final["error"]), fg="red")
    if target is not None and final["total_results"]:
        await export(api, target, task)
    elif target is not None:
        click.echo(f"no leads, so {target.path} was not written")
    if interrupted:
        return INTERRUPTED
    return 0 if final["status"] == "completed" else 1


async def stop(api: Api, task: str) -> None:
    """Stop a task for good. Raises ApiError, also for one that has ended in another way."""
    await api.post(f"/api/scraper/stop/{_id(task)}")


async def require(api: Api, task: str) -> None:
    """Raise ApiError when there is no such task (any more)."""
    await api.get(f"/api/tasks/{_id(task)}")


async def export(api: Api, target: ExportTarget, task: str | None) -> None:
    """Write all leads, or a task's, to a file. Cancelled, as by Ctrl-C, the export is cancelled too."""
    query = {name: value for name, value in (("task_id", task), ("compress", target.compress)) if value}
    begun = asyncio.ensure_future(api.get(f"/api/export/{target.file_format}", **query))
    try:
        made = await _made(api, await asyncio.shield(begun))
    except ApiError as exc:
        if task and exc.status == NOT_FOUND:  # no lead matches: perhaps because there is no such task
            await require(api, task)
        raise
    except asyncio.CancelledError:
        await to_the_end(_give_up(api, begun))
        raise
    if not made.get("url"):
        raise ApiError(f"the export ended as {made['status']}: {made.get('error') or 'ask again'}")
    written = await api.download(made["url"], target.path)
    click.echo(f"{target.path}: {counted(made['rows'], 'lead')}, {counted(written, 'byte')}")


async def _made(api: Api, export: dict[str, Any]) -> dict[str, Any]:
    """Show an export until it has ended; its last record."""
    started = time.monotonic()
    with Live(console=Console(stderr=True), transient=True, refresh_per_second=4) as live:
        while export["status"] in {"pending", "running"}:
            live.update(_export_progress(export, time.monotonic() - started))
            await asyncio.sleep(POLL_S)
            export = await api.get(f"/api/export/{export['export_id']}")
    return export


async def _give_up(api: Api, begun: asyncio.Future[dict[str, Any]]) -> None:
    """Cancel an export that may just be beginning."""
    click.echo("cancelling the export; Ctrl-C again leaves at once, the export then may go on", err=True)
    try:
        await api.post(f"/api/export/{(await begun)['export_id']}/cancel")
    except ApiError as exc:
        click.echo(f"the export may go on: {exc}", err=True)


def _export_progress(export: dict[str, Any], elapsed_s: float) -> Table:
    total = "" if export["total"] is None else f" of {export['total']}"
    line = Table.grid(padding=(0, 2))
    line.add_row(
        "exporting" if export["status"] == "running" else "waiting for other exports",
        f"{export['rows']}{total} leads",
        f"{export['bytes'] / 1e6:.0f} MB stored",
        f"{elapsed_s:.0f} s",
    )
    return line


def _id(task: str) -> str:
    """``task``, once it looks like an id: anything else could be another route's path."""
    if not ids.is_task_id(task):
        raise ApiError(f"{task!r} is not the id of a task: `leadfleet tasks` lists them")
    return task


async def _follow(api: Api, task: str) -> tuple[dict[str, Any], bool]:
    """The task's last status, and whether Ctrl-C stopped it; a second Ctrl-C leaves at once."""
    try:
        return await _watch(api, task), False
    except asyncio.CancelledError:
        # `asyncio.run` cancels us at the first Ctrl-C, and raises KeyboardInterrupt only if we let that happen
        current = asyncio.current_task()
        assert current is not None
        current.uncancel()
    click.echo("stopping the task; Ctrl-C again leaves at once, the task then may go on", err=True)
    try:
        await stop(api, task)
    except ApiError as exc:
        if exc.status != CONFLICT:  # it has just ended by itself
            raise
    return await _watch(api, task), True


async def _watch(api: Api, task: str) -> dict[str, Any]:
    """Show a task until it has ended; its last status."""
    started = time.monotonic()
    with Live(console=Console(), transient=True, refresh_per_second=4) as live:
        while True:
            status: dict[str, Any] = await api.get(f"/api/scraper/status/{task}")
            live.update(_progress(status, time.monotonic() - started))
            if status["status"] in ENDED:
                return status
            await asyncio.sleep(POLL_S)


def _progress(status: dict[str, Any], elapsed_s: float) -> Table:
    waiting = status["queue_position"]
    line = Table.grid(padding=(0, 2))
    line.add_row(
        status["status"] if waiting is None else f"queued, {waiting} ahead",
        counted(status["total_results"], "lead"),
        counted(status["pages"], "page"),
        f"{elapsed_s:.0f} s",
        Text(plain(status["current_query"] or ""), no_wrap=True, overflow="ellipsis"),
    )
    return line
