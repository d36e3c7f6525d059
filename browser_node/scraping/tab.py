"""One reused tab: opens a page, waits until it is there, reads it, and measures where phones stand.

Everything a page answers is taken as hostile: each call has a deadline of its own, because a page that
spins never answers, and each value is checked.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from html import escape
from typing import Any, TypeVar
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, Dialog, Download, Frame, Page, Response
from playwright.async_api import Error as PlaywrightError

from browser_node.scraping import measuring, page_scripts
from browser_node.scraping.boxes import Box, same_places, scroll_of
from browser_node.scraping.errors import ChromeLost, TabLost, VisitFailed, from_chrome, from_status
from browser_node.scraping.measuring import FRAME_MARK, MAX_FRAME_DEPTH
from browser_node.scraping.sources.base import Link
from browser_node.scraping.types import Stage
from browser_node.scraping.urls import canonical

T = TypeVar("T")

NAVIGATION = timedelta(seconds=15)
"""Until a page has answered, and again until its document is there; then what there is gets read."""

SETTLE = timedelta(milliseconds=1_500)
"""How long data may keep a page busy after its document is there. Scripts fetch contact data in 0.3 to 0.8 s."""

FRAME_SETTLE = timedelta(milliseconds=500)
SLACK = timedelta(seconds=3)
"""What a page may take past its own deadlines before its tab counts as hung."""

MEASURE = timedelta(seconds=3)
PICTURES = 3
"""Pictures that are taken of a page that moves before its boxes are told without one."""

CLOSE = timedelta(seconds=3)
CLOSE_AGAIN = timedelta(milliseconds=700)
"""A close takes about 20 ms; 0.5 s when the page spins, and as long again when it is asked for meanwhile."""

MAX_CHARS = 5_000_000
MAX_FRAME_CHARS = 500_000
MAX_SCRIPTED_REDIRECTS = 10
READ_AGAIN_AFTER = timedelta(milliseconds=20)
"""A reading that a navigation cut off fails at once, and again until the new document is there."""

_PAGE_TYPES = ("text/html", "application/xhtml", "text/plain")
_DESTROYED = ("Execution context was destroyed", "Cannot find context", "frame was detached", "Frame was detached")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a page said: serialised DOM with its frames in place, where the visit ended, its links."""

    url: str
    title: str
    html: str
    links: Sequence[Link] = ()
    banner: str | None = None
    truncated: bool = False


class Tab:
    """A page of a slot's Chrome that is used again for visit after visit."""

    def __init__(self, page: Page, name: str) -> None:
        self.page = page
        self.name = name
        self.spoiled = False
        """Close this tab, open another: the page that is open keeps navigating and would interrupt the next visit, or
        the renderer may be dying, which would cost the same visit its second try."""
        self._crashed = False
        self._documents = 0
        self._posing = asyncio.Lock()
        page.on("crash", self._on_crash)
        page.on("framenavigated", self._on_navigated)
        page.on("dialog", _dismiss)
        page.on("popup", _close_popup)
        page.on("download", _refuse_download)

    @classmethod
    async def open(cls, context: BrowserContext, name: str, warm: Page | None = None) -> Tab:
        """A new tab, or ``warm`` made one, if it still lives. ChromeLost when there is no browser to open it in."""
        if warm is not None:
            try:
                return await cls._prepared(warm, name)
            except (PlaywrightError, TimeoutError):
                pass  # a renderer may die while it waits to be used; the browser is then asked for another
        try:
            return await cls._prepared(await _within(NAVIGATION, context.new_page()), name)
        except (PlaywrightError, TimeoutError) as exc:
            raise ChromeLost(_first_line(exc)) from exc

    @classmethod
    async def _prepared(cls, page: Page, name: str) -> Tab:
        tab = cls(page, name)
        await _within(CLOSE, page.add_init_script(page_scripts.WATCH))
        return tab

    async def load(self, url: str, *, render: bool = True) -> Snapshot:
        """Open ``url`` and read it; without ``render`` as soon as its document is there.

        VisitFailed, TabLost (open a new tab), ChromeLost.
        """
        response = await self._navigate(url)
        if response is not None:
            try:
                self._check(response, url)
            except VisitFailed:
                await self._finish_loading()
                raise
        return await self.read(render=render)

    async def read(self, *, render: bool = True) -> Snapshot:
        """Read the page that is open. Raises what ``load`` does."""
        answer = await self._read_main(SETTLE if render else timedelta())
        final = canonical(answer["url"])
        if final is None:
            raise VisitFailed("bad_scheme", f"the tab is at {answer['url'][:100]}, which is no web page")
        html = answer["html"]
        if answer["frames"]:
            html = await self._with_frames(self.page.main_frame, html, depth=1)
        return Snapshot(final, answer["title"], html, _links(answer["links"]), answer["banner"], answer["truncated"])

    async def measure(self, wanted: list[dict[str, Any]], *, scroll: bool = True) -> list[Box]:
        """Where phones stand on the page that is open, which is scrolled when none of them can be seen.

        Empty when the page does not answer.
        """
        if not wanted:
            return []
        try:
            return await _within(MEASURE, measuring.measure(self.page, wanted, scroll=scroll))
        except (PlaywrightError, TimeoutError):
            return []

    async def measure_on_picture(
        self, wanted: list[dict[str, Any]], stage: Stage, *, scroll: bool = True
    ) -> tuple[list[Box], int]:
        """The boxes and the sequence of a picture they lie on, 0 when there is none.

        A page moves when a banner or an image comes late. So boxes are measured before and after a picture is
        taken: when they agree, the picture shows them there.
        """
        async with self._posing:
            found = await self.measure(wanted, scroll=scroll)
            for _ in range(PICTURES):
                if not any(box.seen for box in found):
                    break
                seq = await stage.picture(self.page, scroll_of(found))
                if seq == 0:
                    break
                before, found = found, await self.measure(wanted, scroll=False)
                if same_places(before, found):
                    return found, seq
            return found, 0

    async def close(self) -> None:
        """Close the tab; a browser that does not answer is the node's to kill."""
        closing = asyncio.ensure_future(self.page.close())
        try:
            await asyncio.wait({closing}, timeout=CLOSE_AGAIN.total_seconds())
            if not closing.done():
                await _within(2 * CLOSE, self._insist_on(closing))
        except (PlaywrightError, TimeoutError):
            return
        finally:
            _abandon(closing)

    async def _insist_on(self, closing: asyncio.Future[None]) -> None:
        """Ask Chrome for the close until it is done.

        It ignores one that meets a navigation about to commit, as of a page that sends itself on for ever, and
        Playwright asks once.
        """
        browser = self.page.context.browser
        assert browser is not None  # only contexts that outlive their browser have none
        page = await self.page.context.new_cdp_session(self.page)
        target = (await page.send("Target.getTargetInfo"))["targetInfo"]["targetId"]
        session = await browser.new_browser_cdp_session()
        try:
            while not closing.done():
                await session.send("Target.closeTarget", {"targetId": target})
                await asyncio.wait({closing}, timeout=CLOSE_AGAIN.total_seconds())
        finally:
            await session.detach()

    async def _navigate(self, url: str) -> Response | None:
        if urlsplit(url).scheme not in {"http", "https"}:
            raise VisitFailed("bad_scheme", f"{url[:100]} is no web address")
        try:
            timeout_ms = NAVIGATION.total_seconds() * 1_000
            return await _within(NAVIGATION + SLACK, self.page.goto(url, wait_until="commit", timeout=timeout_ms))
        except TimeoutError as exc:
            raise TabLost(self.name, "it does not react") from exc
        except PlaywrightError as exc:
            self._raise_if_lost(exc)
            if "Timeout" in exc.message and "exceeded" in exc.message:
                seconds = NAVIGATION.total_seconds()
                raise VisitFailed("page_timeout", f"{url} did not answer in {seconds:g} s", retryable=True) from exc
            self.spoiled = "ERR_ABORTED" in exc.message  # all that is said when a renderer dies, before it has crashed
            raise from_chrome(exc.message, url) from exc

    def _check(self, response: Response, url: str) -> None:
        headers = response.headers
        failure = from_status(response.status, headers, url, response.url)
        if failure is not None:
            raise failure
        content_type = headers.get("content-type", "").lower()
        if content_type and not content_type.startswith(_PAGE_TYPES):
            raise VisitFailed("not_html", f"{url} is {content_type[:60]}, not a page")

    async def _finish_loading(self) -> None:
        """Leave no page half loaded: Chrome was seen to ignore a close while a navigation commits."""
        try:
            await self.page.wait_for_load_state("domcontentloaded", timeout=CLOSE.total_seconds() * 1_000)
        except PlaywrightError:
            return

    async def _read_main(self, settle: timedelta) -> dict[str, Any]:
        """The answer of ``snapshot.js``, after the redirects that the page's own scripts make."""
        options = _options(settle, MAX_CHARS, is_frame=False)
        limit = NAVIGATION + 2 * SETTLE + SLACK
        loop = asyncio.get_running_loop()
        until = loop.time() + limit.total_seconds()
        hops, seen = 0, self._documents
        while hops <= MAX_SCRIPTED_REDIRECTS and loop.time() < until:
            try:
                return _checked(await _within(limit, self.page.evaluate(page_scripts.SNAPSHOT, options)))
            except TimeoutError as exc:
                raise TabLost(self.name, "a page keeps it busy") from exc
            except PlaywrightError as exc:
                self._raise_if_lost(exc)
                if not any(sign in exc.message for sign in _DESTROYED):
                    raise VisitFailed("navigation", f"the page could not be read: {_first_line(exc)}") from exc
            await asyncio.sleep(READ_AGAIN_AFTER.total_seconds())
            hops, seen = hops + (self._documents != seen), self._documents
        self.spoiled = True
        raise VisitFailed("redirect_loop", f"the page sent itself on {hops} times and never stayed to be read")

    async def _with_frames(self, parent: Frame, html: str, depth: int) -> str:
        """``html`` with every marked iframe replaced by what it shows, whatever its origin."""
        for frame in parent.child_frames:
            try:
                mark, inner = await _within(FRAME_SETTLE * 3, self._read_frame(frame, depth))
            except (PlaywrightError, TimeoutError, VisitFailed):
                continue  # a frame that does not answer costs its text only
            if mark is not None:
                html = _replace_frame(html, mark, f'<div data-frame-url="{escape(frame.url[:2_000])}">{inner}</div>')
        return html

    async def _read_frame(self, frame: Frame, depth: int) -> tuple[str | None, str]:
        element = await frame.frame_element()
        mark = await element.get_attribute(FRAME_MARK)
        if mark is None or not mark.isdecimal():
            return None, ""
        options = _options(FRAME_SETTLE, MAX_FRAME_CHARS, is_frame=depth >= MAX_FRAME_DEPTH)
        answer = _checked(await frame.evaluate(page_scripts.FRAME_SNAPSHOT, options))
        inner: str = answer["html"]
        if answer["frames"]:
            inner = await self._with_frames(frame, inner, depth + 1)
        return mark, re.sub(r"</?(?:html|head|body)\b[^>]*>", "", inner)

    def _raise_if_lost(self, exc: PlaywrightError) -> None:
        browser = self.page.context.browser
        if browser is not None and not browser.is_connected():
            raise ChromeLost(_first_line(exc)) from exc
        if self._crashed or "crashed" in exc.message:
            raise TabLost(self.name, "its renderer crashed") from exc
        if self.page.is_closed():
            raise TabLost(self.name, "it was closed") from exc

    def _on_crash(self, _: Page) -> None:
        self._crashed = True

    def _on_navigated(self, frame: Frame) -> None:
        if frame == self.page.main_frame:
            self._documents += 1


async def _within(limit: timedelta, work: Coroutine[Any, Any, T]) -> T:
    """``asyncio.wait_for`` that does not wait for the cancelled call to give up: a hung page never does."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=limit.total_seconds())
    except asyncio.CancelledError:
        _abandon(task)
        raise
    if not done:
        _abandon(task)
        raise TimeoutError
    return task.result()


def _abandon(task: asyncio.Future[Any]) -> None:
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    task.cancel()


def _options(settle: timedelta, max_chars: int, *, is_frame: bool) -> dict[str, Any]:
    load = NAVIGATION if max_chars == MAX_CHARS else FRAME_SETTLE
    return {
        "loadMs": load.total_seconds() * 1_000,
        "settleMs": settle.total_seconds() * 1_000,
        "maxChars": max_chars,
        "isFrame": is_frame,
    }


def _checked(answer: object) -> dict[str, Any]:
    """An answer of ``snapshot.js`` with every field of the type it should have."""
    if not isinstance(answer, dict):
        raise VisitFailed("navigation", "the page answered nonsense")
    texts = {name: answer[name] if isinstance(answer.get(name), str) else "" for name in ("url", "title", "html")}
    banner, links, frames = answer.get("banner"), answer.get("links"), answer.get("frames")
    return {
        **texts,
        "banner": banner[:60] if isinstance(banner, str) else None,
        "links": links if isinstance(links, list) else [],
        "frames": frames if isinstance(frames, int) else 0,
        "truncated": answer.get("truncated") is True,
    }


def _links(raw: list[Any]) -> tuple[Link, ...]:
    found: dict[str, Link] = {}
    for entry in raw:
        if isinstance(entry, list) and len(entry) == 2 and all(isinstance(part, str) for part in entry):
            url = canonical(entry[0])
            if url is not None and (url not in found or not found[url].text):
                found[url] = Link(url, entry[1])
    return tuple(found.values())


def _replace_frame(html: str, mark: str, inner: str) -> str:
    pattern = re.compile(rf'<iframe\b[^>]*\b{FRAME_MARK}="{mark}"[^>]*>.*?</iframe>', re.IGNORECASE | re.DOTALL)
    return pattern.sub(lambda _: inner, html, count=1)


def _first_line(exc: BaseException) -> str:
    return str(exc).partition("\n")[0][:200] or type(exc).__name__


async def _dismiss(dialog: Dialog) -> None:
    await _quietly(dialog.dismiss())


async def _close_popup(page: Page) -> None:
    await _quietly(page.close())


async def _refuse_download(download: Download) -> None:
    await _quietly(download.cancel())


async def _quietly(work: Coroutine[Any, Any, Any]) -> None:
    """For answers to events of a page that may be gone by now."""
    try:
        await work
    except PlaywrightError:
        return
