"""A Chrome, or a tab of it, that dies in the middle of a unit."""

from __future__ import annotations

import contextlib

import psutil
import pytest
from aiohttp import web
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import async_playwright

from browser_node.scraping.types import UnitResult
from fleet.model import Outcome
from tests.integration.scraping.conftest import launch
from tests.integration.scraping.support import Bench, RecordingOut

pytestmark = pytest.mark.asyncio(loop_scope="module")


def pages(bench: Bench, host: str) -> str:
    bench.site.pages[f"{host}/list"] = "".join(f"<a href=/shop/{n}>Shop {n}</a>" for n in range(8))
    for number in range(8):
        bench.site.pages[f"{host}/shop/{number}"] = f"<h1>Shop {number}</h1><a href='tel:+49302312585{number}'>call</a>"
    return f"http://{host}/list"


async def test_a_killed_chrome_is_a_retryable_failure_and_another_goes_on(bench: Bench) -> None:
    url, out = pages(bench, "killed.test"), RecordingOut()
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    async with async_playwright() as playwright:
        browser = await launch(playwright, bench.site.port)
        mine = [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
        chrome = next(
            p for p in mine if "--headless" in " ".join(p.cmdline()) and "--type=" not in " ".join(p.cmdline())
        )

        def kill() -> None:
            if out.pages == 3:
                chrome.kill()

        out.on_page = kill
        doomed = Bench(browser, bench.services, bench.site)
        result, _ = await doomed.run(url, "directory", out=out)
    assert result == UnitResult(Outcome.FAILED, "chrome_lost", result.detail, retryable=True)
    rest = RecordingOut(out.checkpoint)
    result, _ = await bench.run(url, "directory", out=rest)
    assert result.outcome is Outcome.COMPLETED
    told = [lead.observation_id for lead in (*out.results, *rest.results)]
    assert len(told) == len(set(told)) == 8


async def test_a_crashed_tab_is_replaced(bench: Bench) -> None:
    url = pages(bench, "crash.test")
    crashes = iter([True])

    async def crash_once(_: web.Request) -> web.StreamResponse:
        if next(crashes, False):
            pages = [page for context in bench.browser.contexts for page in context.pages]
            session = await pages[0].context.new_cdp_session(pages[0])
            with contextlib.suppress(PlaywrightError):  # the tab dies before it can answer
                await session.send("Page.crash")
        return web.Response(text="<h1>Shop 3</h1><a href='tel:+493023125853'>call</a>", content_type="text/html")

    bench.site.pages["crash.test/shop/3"] = crash_once
    result, out = await bench.run(url, "directory")
    assert result.outcome is Outcome.COMPLETED
    assert len(out.numbers()) == 8, "\n".join(out.messages())
