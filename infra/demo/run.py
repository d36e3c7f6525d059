"""The demo: the stack, the sample town, one task through the public API, ``leads.csv``."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import aiohttp
from rich.console import Console

from control_plane.local_state import state_directory
from infra.demo.client import ApiClient, ApiError
from infra.demo.screen import Progress, Screen
from infra.sample_town import DIRECTORY_URL
from infra.sample_town.score import score
from infra.sample_town.words import CATEGORIES
from infra.stack.errors import StackError
from infra.stack.interrupt import until_interrupted
from infra.stack.options import Options
from infra.stack.stack import Stack

TARGET = Path("leads.csv")
SLOTS = 2
REFRESH_S = 0.25  # of the slots' activity: as fast as an eye follows, and no load
TASK_TIMEOUT_S = 300  # it takes half a minute; a demo that hangs must say so while one still looks


def run(began: float) -> int:
    """The exit status, 0 when ``leads.csv`` is there. ``began`` is the monotonic time that all is counted from."""
    return asyncio.run(until_interrupted(lambda hurry: _demo(hurry, began)))


async def _demo(hurry: asyncio.Event, began: float) -> int:
    console = Console()
    options = Options(state=state_directory() / "demo", slots=SLOTS, town=True)
    try:
        async with Stack(options, hurry=hurry) as stack, ApiClient(stack.url, stack.api_key) as api:
            console.print(f"ready after {time.monotonic() - began:.1f} s at {stack.url}")
            await _scrape(api, stack.url, console)
            console.print("stopping everything …")
    except (StackError, ApiError, aiohttp.ClientError, TimeoutError) as error:
        console.print(f"the demo failed: {str(error) or type(error).__name__}", markup=False)
        return 1
    console.print(f"done after {time.monotonic() - began:.1f} s, all told")
    return 0


async def _scrape(api: ApiClient, base: str, console: Console) -> None:
    started = await api.start(
        {
            "queries": _queries(),
            "platforms": ["directory"],
            "enrich_websites": True,  # the directory shows no e-mail: the businesses' own sites do
            "max_parallel": SLOTS,
            "timeout_s": TASK_TIMEOUT_S,
        }
    )
    task = started["task_id"]
    token = await api.stream_token(task)
    progress = Progress(live_view=f"{base}/live_feed/{task}?token={token}")
    console.print(f"task {task}; watch its browser at {progress.live_view}", soft_wrap=True, markup=False)
    end = await _follow(api, task, progress, console)
    if end != "task_completed":
        status = await api.status(task)
        raise ApiError(500, {"detail": f"the task ended as {status['status']}: {status['error']}"})
    took_s = progress.elapsed_s
    await api.export_csv(task, TARGET)
    _summarise((await api.status(task))["pages"], took_s, console)


def _queries() -> list[str]:
    """The directory's listing of each category: one unit each, so that both slots have work to the end."""
    return [f"{DIRECTORY_URL}category/{category}" for category in CATEGORIES]


async def _follow(api: ApiClient, task: str, progress: Progress, console: Console) -> str:
    """Draw until the task has ended; the type of the event that ended it."""
    with Screen(progress, console) as screen:

        async def watch_slots() -> None:
            while True:
                with contextlib.suppress(ApiError, aiohttp.ClientError):
                    progress.slots = await api.slots()
                screen.draw()
                await asyncio.sleep(REFRESH_S)

        watching = asyncio.create_task(watch_slots(), name="watch slots")
        try:
            async with asyncio.timeout(TASK_TIMEOUT_S + 30):
                async for event in api.events(task):
                    progress.see(event)
                    last = event["type"]
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
    return str(last)


def _summarise(pages: int, took_s: float, console: Console) -> None:
    verdict = score(TARGET)
    console.print(
        f"\n{verdict.leads} leads in {TARGET.resolve()}\n"
        f"  businesses  {len(verdict.found)} of the town's {verdict.expected} ({verdict.recall:.0%}), "
        f"{len(verdict.invented)} invented\n"
        f"  phones      {verdict.phones_found} of {verdict.phones_expected} that these businesses publish\n"
        f"  e-mails     {verdict.emails_found} of {verdict.emails_expected}\n"
        f"  time        {took_s:.1f} s for {pages} pages ({pages / took_s * 60:.0f} a minute)",
        soft_wrap=True,
    )
