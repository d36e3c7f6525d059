"""What a viewer costs: the other units of the node, and the node itself before he came and after he has left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median

import aiohttp
import psutil

from fleet.cancellation import end_all
from infra.bench.fake_nodes import until
from infra.bench.frames import authorized, clock, frames_url
from infra.bench.overload import stack_for
from infra.bench.rows import Row
from infra.sample_town import DIRECTORY_URL
from infra.stack.stack import Stack

ROUNDS, LEADS, LOOK_S = 4, 24, 5.0
LAPSE_S = 12.0
"""A node that no replica asks for pictures any more goes on for 10 s: all its viewers may be about to come back."""

ENDED = {"completed", "failed", "stopped"}


async def watching() -> list[Row]:
    """One slot has a page that always changes, seen by one viewer or by nobody, while the other one crawls."""
    async with (
        stack_for(nodes=1) as stack,
        aiohttp.ClientSession(headers=authorized(stack)) as session,
        clock(stack, session) as task,
    ):
        await asyncio.sleep(LOOK_S)  # the page has settled
        before = await _cores(stack)
        async with _viewer(stack, session, task):
            during = await _cores(stack)
        await asyncio.sleep(LAPSE_S)
        after = await _cores(stack)
        await _pages_per_s(stack, session)  # the first one warms up
        alone, watched = [], []
        for _ in range(ROUNDS):
            alone.append(await _pages_per_s(stack, session))
            async with _viewer(stack, session, task):
                watched.append(await _pages_per_s(stack, session))
    return [
        Row("watched_other_pages_per_s", median(watched), "1/s", median(watched) / median(alone), "nobody watching"),
        Row("watched_node_cores", during, "", during / before, "before the viewer came"),
        Row("watched_node_cores_after", after, "", after / before, "before the viewer came"),
    ]


@asynccontextmanager
async def _viewer(stack: Stack, session: aiohttp.ClientSession, task: str) -> AsyncIterator[None]:
    """Somebody who looks, from his first picture on."""
    seen = asyncio.Event()

    async def look() -> None:
        async with session.ws_connect(frames_url(stack, task)) as socket:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.BINARY:
                    seen.set()

    looking = asyncio.create_task(look())
    try:
        await asyncio.wait_for(seen.wait(), 10)
        yield
    finally:
        await end_all([looking])


async def _pages_per_s(stack: Stack, session: aiohttp.ClientSession) -> float:
    """Of a crawl of the town's directory for a few leads."""
    body = {"queries": [DIRECTORY_URL], "platforms": ["directory"], "max_results": LEADS}
    async with session.post(f"{stack.url}/api/scraper/start", json=body) as answer:
        answer.raise_for_status()
        task = (await answer.json())["task_id"]
    last: dict[str, float] = {}

    async def has_ended() -> bool:
        async with session.get(f"{stack.url}/api/scraper/status/{task}") as answer:
            status = await answer.json()
        last.update(pages=status["pages"], seconds=status["duration_seconds"] or 0)
        return status["status"] in ENDED

    await until(has_ended)
    return round(last["pages"] / last["seconds"], 2)


async def _cores(stack: Stack) -> float:
    """Processor seconds a second of the node and its Chromes."""
    agent = psutil.Process(stack.children["node-1"].pid)

    def used() -> float:
        total = 0.0
        for one in [agent, *agent.children(recursive=True)]:
            times = one.cpu_times()
            total += times.user + times.system
        return total

    began = used()
    await asyncio.sleep(LOOK_S)
    return round((used() - began) / LOOK_S, 2)
