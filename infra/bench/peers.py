"""What we measure ourselves against, as bare as it can be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from playwright.async_api import async_playwright

from browser_node.chrome_binary import find_chrome
from infra.bench.child import serving

_BARE_QUART = """
import socket
from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart
import asyncio
app = Quart("bare")
@app.get("/")
async def root():
    return {"status": "running", "progress": {"website": 1}}
listener = socket.socket(); listener.bind(("127.0.0.1", 0)); listener.listen(256)
print(listener.getsockname()[1], flush=True)
config = Config(); config.bind = [f"fd://{listener.fileno()}"]; config.worker_class = "uvloop"
asyncio.run(serve(app, config))
"""


@asynccontextmanager
async def bare_quart() -> AsyncIterator[str]:
    """The URL of a Quart on Hypercorn that answers one small JSON and does nothing else."""
    async with serving(_BARE_QUART) as port:
        yield f"http://127.0.0.1:{port}/"


async def bare_pages_per_minute(urls: Sequence[str], town_port: int, tabs: int) -> float:
    """A Playwright loop over ``urls`` with reused tabs, which loads the pages and looks at nothing."""
    chrome = find_chrome()
    assert chrome is not None, "no Chromium: `leadfleet doctor` says how to get one"
    queue = list(urls)
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=str(chrome.path),
            args=[f"--host-resolver-rules=MAP *.town.test 127.0.0.1:{town_port}", "--no-sandbox"],
        )
        pages = [await browser.new_page() for _ in range(tabs)]
        began = time.perf_counter()

        async def work(page: object) -> None:
            while queue:
                await page.goto(queue.pop(), wait_until="domcontentloaded")  # type: ignore[attr-defined]

        await asyncio.gather(*(work(page) for page in pages))
        took = time.perf_counter() - began
        await browser.close()
    return 60 * len(urls) / took
