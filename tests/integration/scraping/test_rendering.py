"""What one tab reads and measures: data that comes late, in frames, in shadow trees, behind banners."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

from browser_node.scraping import boxes
from browser_node.scraping.errors import VisitFailed
from browser_node.scraping.tab import SETTLE, Tab
from leads.model import Lead, Phone
from tests.integration.scraping.support import Bench

pytestmark = pytest.mark.asyncio(loop_scope="module")

NUMBER = Phone(raw="030 23125852", normalized_e164="+493023125852", international="+49 30 23125852")
QUESTION = boxes.wanted([Lead(phones=[NUMBER])])
SPACER = "<div style='height:3000px'></div>"


@pytest_asyncio.fixture(loop_scope="module")
async def tab(bench: Bench) -> AsyncIterator[Tab]:
    context = await bench.browser.new_context(viewport={"width": 1000, "height": 500})
    yield await Tab.open(context, "tab-0")
    await context.close()


def fetch_after(delay_ms: int) -> str:
    return (
        f"<p id=t></p><script>setTimeout(async () => {{ const answer = await fetch('/data');"
        f" t.textContent = await answer.text(); }}, {delay_ms})</script>"
    )


async def test_a_static_page_is_not_waited_for(bench: Bench, tab: Tab) -> None:
    bench.site.pages["static.test/"] = "<h1>Static</h1>" + "<p>text</p>" * 50
    await tab.load("http://static.test/")
    best = min([await _timed(tab, "http://static.test/") for _ in range(5)])
    assert best < SETTLE.total_seconds() / 3


@pytest.mark.parametrize("delay_ms", [0, 300, 800])
async def test_data_that_is_fetched_late_is_read(bench: Bench, tab: Tab, delay_ms: int) -> None:
    bench.site.pages["late.test/"] = fetch_after(delay_ms)
    bench.site.pages["late.test/data"] = "030 23125852"
    assert "030 23125852" in (await tab.load("http://late.test/")).html


async def test_an_animation_does_not_hold_a_page_up(bench: Bench, tab: Tab) -> None:
    bench.site.pages["moving.test/"] = (
        "<p id=t>0</p><script>const step = () => { t.textContent = Math.random(); setTimeout(step, 30); }; step();"
        "setInterval(() => { t.title = Math.random(); }, 100);</script>"
    )
    assert await _timed(tab, "http://moving.test/") < SETTLE.total_seconds() + 1


async def test_frames_of_any_origin_stand_in_their_place(bench: Bench, tab: Tab) -> None:
    bench.site.pages["frames.test/"] = (
        "<h1>Before</h1><iframe src=/inner></iframe><iframe src=http://other.test/></iframe><h2>After</h2>"
    )
    bench.site.pages["frames.test/inner"] = "<p>same origin</p>"
    bench.site.pages["other.test/"] = "<p>another origin</p>"
    html = (await tab.load("http://frames.test/")).html
    places = [html.index(text) for text in ("Before", "same origin", "another origin", "After")]
    assert places == sorted(places)


async def test_shadow_trees_are_part_of_the_page(bench: Bench, tab: Tab) -> None:
    bench.site.pages["shadow.test/"] = (
        "<x-card></x-card><script>customElements.define('x-card', class extends HTMLElement {"
        " connectedCallback() { this.attachShadow({mode: 'open'}).innerHTML = '<p>030 23125852</p>'; } })</script>"
    )
    snapshot = await tab.load("http://shadow.test/")
    assert "<p>030 23125852</p>" in snapshot.html
    (box,) = await tab.measure(QUESTION)
    assert box.coordinates is not None
    assert box.selector == "x-card >>> p"


@pytest.mark.parametrize(
    ("banner", "pressed"),
    [
        ("<div role=dialog>We use cookies <button>Reject</button><button {}>Accept all</button></div>", True),
        ("<div class=cookie-bar>Wir verwenden Cookies <button {}>Alle akzeptieren</button></div>", True),
        ("<div style='position:fixed'>Ce site utilise des cookies <a href='#' {}>Tout accepter</a></div>", True),
        ("<div><button id=onetrust-accept-btn-handler {}>I Accept</button></div>", True),
        ("<form>Our offer <button type=button {}>Accept all</button></form>", False),
        ("<div role=dialog>cookies <button {}>Accept only necessary cookies settings</button></div>", False),
    ],
)
async def test_cookie_banners_are_accepted_and_nothing_else_is_pressed(
    bench: Bench, tab: Tab, banner: str, *, pressed: bool
) -> None:
    action = "onclick=\"document.getElementById('t').textContent = '030 23125852'\""
    bench.site.pages["banner.test/"] = f"<p id=t></p>{banner.format(action)}"
    snapshot = await tab.load("http://banner.test/")
    assert (snapshot.banner is not None, '<p id="t">030 23125852' in snapshot.html) == (pressed, pressed)


async def test_scripted_redirects_are_followed(bench: Bench, tab: Tab) -> None:
    bench.site.pages["hop.test/"] = "<script>location.href = '/two'</script>"
    bench.site.pages["hop.test/two"] = "<meta http-equiv=refresh content='0;url=/three'>"
    bench.site.pages["hop.test/three"] = "<p>arrived</p>"
    snapshot = await tab.load("http://hop.test/")
    assert (snapshot.url, "arrived" in snapshot.html) == ("http://hop.test/three", True)


async def test_a_page_on_its_way_to_another_is_not_read(bench: Bench, tab: Tab) -> None:
    async def slow(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(SETTLE.total_seconds())  # as a slow site does; far past the quiet that ends a reading
        return web.Response(text="<p>arrived</p>", content_type="text/html")

    bench.site.pages["way.test/"] = (
        "<p>one moment</p><script>setTimeout(() => { location.href = '/slow' }, 100)</script>"
    )
    bench.site.pages["way.test/slow"] = slow
    snapshot = await tab.load("http://way.test/")
    assert (snapshot.url, "arrived" in snapshot.html) == ("http://way.test/slow", True)


async def test_a_page_that_sends_itself_on_for_ever_is_left(bench: Bench, tab: Tab) -> None:
    bench.site.pages["ping.test/"] = "<script>location.replace('/pong')</script>"
    bench.site.pages["ping.test/pong"] = "<script>location.replace('/')</script>"
    with pytest.raises(VisitFailed, match="redirect_loop"):
        await tab.load("http://ping.test/")
    assert tab.spoiled


async def test_a_tab_whose_navigation_was_aborted_is_not_used_again(bench: Bench, tab: Tab) -> None:
    """Chrome says the same of a renderer that dies, and only later that it has crashed."""

    async def nothing(_: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    bench.site.pages["nothing.test/"] = nothing
    with pytest.raises(VisitFailed, match="ABORTED"):
        await tab.load("http://nothing.test/")
    assert tab.spoiled


async def test_a_tab_is_closed_although_its_page_sends_itself_on(bench: Bench) -> None:
    bench.site.pages["ping.test/"] = "<script>location.replace('/pong')</script>"
    bench.site.pages["ping.test/pong"] = "<script>location.replace('/')</script>"
    context = await bench.browser.new_context()
    for _ in range(5):  # Chrome ignores about one close in three
        tab = await Tab.open(context, "tab-0")
        await tab.page.goto("http://ping.test/", wait_until="commit")
        await tab.close()
        assert context.pages == []
    await context.close()


async def test_links_are_canonical_and_nofollow_is_left_out(bench: Bench, tab: Tab) -> None:
    bench.site.pages["links.test/"] = (
        "<base href=/sub/><a href=a#x>A</a><a href=a>A again</a><a href=/b rel='nofollow ugc'>B</a>"
        "<a href=mailto:x@y.example>mail</a><a href=/c><img alt='Contact'></a>"
    )
    snapshot = await tab.load("http://links.test/")
    assert [(link.url, link.text) for link in snapshot.links] == [
        ("http://links.test/sub/a", "A"), ("http://links.test/c", "Contact"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "markup",
    [
        "<p id=want>Phone 030 23125852</p>",
        "<p id=want>Phone <b>030</b> / <i>231</i><span>25852</span></p>",
        "<p id=want>+49 (30) 2312 5852</p>",
        "<a id=want href='tel:+49-30-23125852'>Call us</a>",
        f"{SPACER}<p id=want>030 23125852</p>{SPACER}",
        "<p>Fax 0030 231258521</p><p id=want>030 231 258 52</p>",
    ],
)
async def test_a_box_lies_over_the_number_on_the_picture(bench: Bench, tab: Tab, markup: str) -> None:
    bench.site.pages["box.test/"] = f"<body style='font:20px monospace'>{markup}"
    await tab.load("http://box.test/")
    (box,) = await tab.measure(QUESTION)
    place = await tab.page.evaluate(
        "() => { const b = want.getBoundingClientRect(); return [b.x, b.y, b.right, b.bottom, scrollX, scrollY]; }"
    )
    found = box.coordinates
    assert found is not None
    left, top = found.x * found.viewport_width, found.y * found.viewport_height
    assert place[0] - 1 <= left
    assert left + found.width * found.viewport_width <= place[2] + 1
    assert place[1] - 1 <= top <= place[3]
    assert 0 <= found.y <= 1, "it was scrolled into view"
    assert found.absolute_y == pytest.approx(top + place[5], abs=0.1)
    assert await tab.page.locator(box.selector or "").count() == 1


@pytest.mark.parametrize("origin", ["", "http://other.test"])
async def test_a_number_in_a_frame_is_placed_in_the_tab(bench: Bench, tab: Tab, origin: str) -> None:
    bench.site.pages["outer.test/"] = (
        f"<body style='margin:0'><div style='height:100px'></div>"
        f"<iframe src='{origin}/inner' style='margin-left:200px;border:10px solid;width:400px'></iframe>"
    )
    inner = "<body style='margin:0;font:20px monospace'><p style='margin:0'>030 23125852"
    bench.site.pages.update({"outer.test/inner": inner, "other.test/inner": inner})
    await tab.load("http://outer.test/")
    (box,) = await tab.measure(QUESTION)
    assert box.coordinates is not None
    assert (box.coordinates.absolute_x, box.coordinates.absolute_y) == (
        pytest.approx(210, abs=1),
        pytest.approx(110, abs=6),
    )


async def test_a_number_that_is_not_shown_has_no_box(bench: Bench, tab: Tab) -> None:
    bench.site.pages["hidden.test/"] = "<p style='display:none'>030 23125852</p><p>030 2312585 and 2</p>"
    await tab.load("http://hidden.test/")
    (box,) = await tab.measure(QUESTION)
    assert (box.coordinates, box.selector) == (None, "p:nth-of-type(1)")


async def test_of_two_thousand_numbers_the_first_get_boxes(bench: Bench, tab: Tab) -> None:
    """And measuring ends before its limit, past which there would be none."""
    written = [f"+49 30 2312{number:04}" for number in range(2_000)]
    bench.site.pages["many.test/"] = "".join(f"<p>Call <b>{number}</b> now" for number in written)
    await tab.load("http://many.test/")
    phones = [Phone(raw=raw, normalized_e164=raw.replace(" ", ""), international=raw) for raw in written]
    found = await tab.measure(boxes.wanted([Lead(phones=[phone]) for phone in phones]))
    assert [box.key for box in found if box.coordinates] == [phone.normalized_e164 for phone in phones[:60]]


async def _timed(tab: Tab, url: str) -> float:
    start = time.perf_counter()
    await tab.load(url)
    return time.perf_counter() - start
