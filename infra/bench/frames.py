"""Pictures: how many, how late, and what many viewers of one replica get."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import aiohttp
from playwright.async_api import async_playwright

from browser_node.chrome_binary import find_chrome
from fleet.connect import command_client
from fleet.keys import Keys
from infra.bench.child import serving
from infra.bench.fake_nodes import Habits, until
from infra.bench.load import percentile
from infra.bench.overload import fakes, stack_for, start
from infra.bench.rows import Row
from infra.sample_town import DIRECTORY_URL
from infra.stack.stack import Stack

CLOCK = "http://clock.town.test/"
"""A page that changes with every frame that Chrome draws."""

LOOK_S, FPS = 10.0, 30
CROWD, CROWD_FPS, JPEG_BYTES = 100, 10, 40_000

_BARE = """
import asyncio, socket, sys
import uvloop
from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart, Response
every, size = float(sys.argv[1]), int(sys.argv[2])
app = Quart("bare")
part = b"Content-Type: image/jpeg\\r\\n\\r\\n" + b"x" * size + b"\\r\\n--frame\\r\\n"
@app.get("/")
async def stream():
    async def body():
        while True:
            yield part
            await asyncio.sleep(every)
    response = Response(body(), content_type="multipart/x-mixed-replace; boundary=frame")
    response.timeout = None
    return response
listener = socket.socket(); listener.bind(("127.0.0.1", 0)); listener.listen(256)
print(listener.getsockname()[1], flush=True)
config = Config(); config.bind = [f"fd://{listener.fileno()}"]
uvloop.run(serve(app, config))
"""


async def frames() -> list[Row]:
    """A page that always changes, seen by one viewer; and 100 viewers of one replica, beside a bare server."""
    per_s, late = await _one_viewer()
    bare_per_s = await _bare_screencast()
    crowd, said = await _crowd()
    async with serving(_BARE, str(1 / CROWD_FPS), str(JPEG_BYTES)) as port:
        bare_crowd = await _bytes_per_s(f"http://127.0.0.1:{port}/", {})
    return [
        Row("frames_per_s", per_s, "1/s", per_s / bare_per_s, "a bare CDP screencast"),
        Row("frames_added_p50_ms", percentile(late, 0.5), "ms"),
        Row("frames_added_p95_ms", percentile(late, 0.95), "ms"),
        Row("frames_100_viewers_per_s", crowd, "1/s", crowd / bare_crowd, "a bare Quart stream"),
        Row("frames_100_viewers_dropped", round(100 * max(0.0, 1 - crowd / said), 1), "%"),
    ]


async def _one_viewer() -> tuple[float, list[float]]:
    """Frames a second, and the milliseconds from Chrome's callback until the viewer had each."""
    async with stack_for(nodes=1) as stack, aiohttp.ClientSession(headers=authorized(stack)) as session:
        late: list[float] = []
        async with clock(stack, session) as task, session.ws_connect(frames_url(stack, task)) as socket:
            warm, began = False, 0.0
            async for message in socket:
                now = time.time()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    continue
                told = json.loads(message.data)
                if told["type"] != "frame":
                    continue
                if not warm:
                    warm, began = True, now
                late.append(now * 1000 - told["captured_us"] / 1000)
                if now - began > LOOK_S:
                    break
        return round(len(late) / LOOK_S, 1), late


def authorized(stack: Stack) -> dict[str, str]:
    return {"Authorization": f"Bearer {stack.api_key}"}


def frames_url(stack: Stack, task: str) -> str:
    return f"{stack.url.replace('http', 'ws', 1)}/api/scraper/ws/frames/{task}?fps={FPS}"


@asynccontextmanager
async def clock(stack: Stack, session: aiohttp.ClientSession) -> AsyncIterator[str]:
    """A task whose unit stays on CLOCK, because somebody took the wheel while it read that page."""
    task = await start(stack, CLOCK, "website")
    unit = Keys(stack.options.fleet).unit(f"{task}.0")
    store = command_client(stack.redis_url, name="bench")
    try:
        await until(lambda: store.hget(unit, "current"))  # who takes the wheel before it opens a page has an empty tab
    finally:
        await store.aclose()
    async with session.ws_connect(f"{stack.url.replace('http', 'ws', 1)}/api/scraper/ws/control/{task}"):
        yield task


async def _bare_screencast() -> float:
    """Frames a second that Playwright gets of the same page, acknowledging each at once."""
    chrome = find_chrome()
    assert chrome is not None, "no Chromium: `leadfleet doctor` says how to get one"
    async with stack_for() as stack, async_playwright() as driver:
        rules = f"--host-resolver-rules=MAP *.town.test 127.0.0.1:{stack.ports.town}"
        browser = await driver.chromium.launch(executable_path=str(chrome.path), args=[rules, "--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1280, "height": 720})
        await page.goto(CLOCK)
        session, seen = await page.context.new_cdp_session(page), [0]

        def on_frame(frame: dict[str, object]) -> None:
            seen[0] += 1
            acknowledged.append(
                asyncio.ensure_future(session.send("Page.screencastFrameAck", {"sessionId": frame["sessionId"]}))
            )

        acknowledged: list[asyncio.Future[object]] = []
        session.on("Page.screencastFrame", on_frame)
        await session.send("Page.startScreencast", {"format": "jpeg", "quality": 60})
        await asyncio.sleep(LOOK_S)
        session.remove_listener("Page.screencastFrame", on_frame)
        await session.send("Page.stopScreencast")
        await asyncio.gather(*acknowledged, return_exceptions=True)
        await browser.close()
        return seen[0] / LOOK_S


async def _crowd() -> tuple[float, float]:
    """Frames a second that a viewer gets when there are 100, and that are said."""
    async with stack_for() as stack, fakes(stack, 1, Habits(jpeg_bytes=JPEG_BYTES)) as nodes:
        task = await start(stack, DIRECTORY_URL)
        url = f"{stack.url}/live_feed/{task}?fps={CROWD_FPS}"
        counted = asyncio.create_task(_bytes_per_s(url, authorized(stack)))
        await until(lambda: any(nodes.pictures.values()))
        began, before = time.monotonic(), sum(nodes.pictures.values())
        per_s = await counted
        return per_s, (sum(nodes.pictures.values()) - before) / (time.monotonic() - began)


async def _bytes_per_s(url: str, headers: dict[str, str]) -> float:
    """Pictures a second of a viewer among CROWD, from the bytes that all of them get."""
    got = [0] * CROWD
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:

        async def look(viewer: int) -> None:
            async with session.get(url, timeout=aiohttp.ClientTimeout(total=None)) as answer:
                async for piece in answer.content.iter_any():
                    got[viewer] += len(piece)

        viewers = [asyncio.create_task(look(viewer)) for viewer in range(CROWD)]
        try:
            await until(lambda: all(got))
            marks = []
            for _ in range(2):
                marks.append((time.monotonic(), sum(got)))
                await asyncio.sleep(LOOK_S / 2)
            marks.append((time.monotonic(), sum(got)))
        finally:
            for viewer in viewers:
                viewer.cancel()
            await asyncio.gather(*viewers, return_exceptions=True)
    rates = [(later[1] - earlier[1]) / (later[0] - earlier[0]) for earlier, later in pairwise(marks)]
    return round(sum(rates) / len(rates) / CROWD / JPEG_BYTES, 2)
