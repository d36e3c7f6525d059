"""Whole units on a real Chrome: what they visit, tell, survive and leave in their checkpoint."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from aiohttp import web

from browser_node.scraping import tab
from browser_node.scraping.politeness import HostPoliteness
from browser_node.scraping.robots import RobotsCache
from browser_node.scraping.runner import run_unit
from browser_node.scraping.types import UnitControl
from fleet.messages import Run
from fleet.model import Outcome
from tests.integration.scraping.support import UNIT, Bench, RecordingOut

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Turnstile(HostPoliteness):
    """The first who asks for a turn waits until ``open`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.open, self.left = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.turns = 0

    @asynccontextmanager
    async def turn(self, host: str, crawl_delay: timedelta | None = None) -> AsyncIterator[None]:
        self.turns += 1
        self.asked.set()
        await self.open.wait()
        try:
            yield
        finally:
            self.left.set()


HUGE = 320_000_000  # bytes
CONTACT = "<h1>Oak Bakery</h1><p>Phone: <a href='tel:+493023125852'>030 23125852</a></p>"


def shop(bench: Bench, host: str, *, home: str = "", contact: str = CONTACT) -> str:
    """A site of a home page that links to a contact page."""
    bench.site.pages[f"{host}/"] = f"<title>Oak</title>{home}<a href=/contact>Contact</a> <a href=/cakes>Cakes</a>"
    bench.site.pages[f"{host}/contact"] = contact
    return f"http://{host}/"


async def test_the_contact_page_is_found_and_its_phone_told_with_its_place(bench: Bench) -> None:
    result, out = await bench.run(shop(bench, "thin.test"))
    assert result.outcome is Outcome.COMPLETED
    assert out.numbers() == {"+493023125852"}
    assert bench.site.count("thin.test/cakes") == 0
    (lead,) = out.results
    assert (lead.platform, lead.source_url) == ("website", "http://thin.test/contact")
    assert lead.observation_id is not None
    (event,) = out.coordinates()
    box = event["boxes"][0]
    assert (event["unit"], event["url"], box["phone"]) == (
        f"tsk_{'0' * 26}.0", "http://thin.test/contact", "+493023125852",
    )  # fmt: skip
    assert 0 < box["coordinates"]["x"] < 0.5
    assert "Opened contact page http://thin.test/contact: found 1 phone" in out.messages()


async def test_the_same_page_told_again_is_the_same_observation(bench: Bench) -> None:
    url = shop(bench, "again.test")
    first, second = [(await bench.run(url))[1].results[0] for _ in range(2)]
    assert first.observation_id == second.observation_id
    assert first.found_at != second.found_at


async def test_robots_txt_is_obeyed_unless_told_otherwise(bench: Bench) -> None:
    url = shop(bench, "robots.test")
    bench.site.pages["robots.test/robots.txt"] = _plain("User-agent: Leadfleet\nDisallow: /contact\n")
    _, out = await bench.run(url)
    assert bench.site.count("robots.test/contact") == 0
    assert any("robots.txt does not allow" in message for message in out.messages())
    _, out = await bench.run(url, respect_robots=False)
    assert out.numbers() == {"+493023125852"}


async def test_a_seed_robots_forbid_or_cannot_be_asked_for_fails_with_its_reason(bench: Bench) -> None:
    for host, body, status, code in (
        ("closed.test", "User-agent: *\nDisallow: /\n", 200, "robots_disallowed"),
        ("broken.test", "", 500, "robots_unreachable"),
    ):
        url = shop(bench, host)
        bench.site.pages[f"{host}/robots.txt"] = _plain(body, status)
        result, _ = await bench.run(url)
        assert (result.outcome, result.error) == (Outcome.FAILED, code)
        assert bench.site.count(f"{host}/") == 0


async def test_seeds_that_cannot_be_had_fail_with_a_code(bench: Bench) -> None:
    async def moved(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/loop2" if request.path == "/loop" else "/loop")

    async def picture(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"\x89PNG", content_type="image/png")

    async def archive(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"PK", content_type="application/zip")

    bench.site.pages.update(
        {"bad.test/loop": moved, "bad.test/loop2": moved, "bad.test/p": picture, "bad.test/z": archive}
    )
    found = {}
    for path in ("gone", "loop", "p", "z"):
        result, _ = await bench.run(f"http://bad.test/{path}", respect_robots=False)
        found[path] = (result.outcome, result.error, result.retryable)
    assert found == {
        "gone": (Outcome.FAILED, "http_404", False),
        "loop": (Outcome.FAILED, "redirect_loop", False),
        "p": (Outcome.FAILED, "not_html", False),
        "z": (Outcome.FAILED, "not_html", False),
    }
    result, _ = await bench.run("http://no-such-host.invalid/", respect_robots=False)
    assert result.error == "dns"
    result, _ = await bench.run("not an address")
    assert (result.error, result.retryable) == ("bad_query", False)
    result, _ = await bench.run("http://bad.test/", platform="teletext")
    assert result.error == "bad_query"


async def test_a_page_that_sends_itself_on_for_ever_costs_only_itself(bench: Bench) -> None:
    url = shop(bench, "ping.test")
    bench.site.pages["ping.test/"] += "<a href=/about>About</a>"
    for here, there in (("about", "story"), ("story", "about")):
        bench.site.pages[f"ping.test/{here}"] = f"<script>location.replace('/{there}')</script>"
    result, out = await bench.run(url)
    assert (result.outcome, out.numbers()) == (Outcome.COMPLETED, {"+493023125852"})
    assert any("sent itself on" in message for message in out.messages())
    assert (out.pages, out.left_out) == (3, 1)


async def test_a_transient_failure_is_tried_again(bench: Bench) -> None:
    url = shop(bench, "flaky.test")
    answers = iter([503, 503])

    async def flaky(_: web.Request) -> web.StreamResponse:
        status = next(answers, 200)
        return web.Response(status=status, text=CONTACT, content_type="text/html")

    bench.site.pages["flaky.test/contact"] = flaky
    result, out = await bench.run(url)
    assert (result.outcome, out.numbers()) == (Outcome.COMPLETED, {"+493023125852"})
    assert bench.site.count("flaky.test/contact") == 3


async def test_a_navigation_that_is_cut_off_is_tried_again(bench: Bench) -> None:
    """Chrome says of a renderer that dies what it says of an answer without content: the navigation was aborted."""
    url = shop(bench, "cut.test")
    answers = iter([204])

    async def cut(_: web.Request) -> web.StreamResponse:
        return web.Response(status=next(answers, 200), text=CONTACT, content_type="text/html")

    bench.site.pages["cut.test/contact"] = cut
    result, out = await bench.run(url)
    assert (result.outcome, out.numbers()) == (Outcome.COMPLETED, {"+493023125852"})
    assert bench.site.count("cut.test/contact") == 2


async def test_a_warm_tab_that_died_while_it_waited_costs_no_attempt(bench: Bench) -> None:
    url = shop(bench, "warm.test")
    context = await bench.browser.new_context()
    warm = await context.new_page()
    crashed = asyncio.Event()
    warm.on("crash", lambda _: crashed.set())
    session = await context.new_cdp_session(warm)
    crash = asyncio.create_task(session.send("Page.crash"))  # is never answered
    await asyncio.wait_for(crashed.wait(), 10)
    crash.cancel()
    await asyncio.gather(crash, return_exceptions=True)
    out = RecordingOut()
    order = Run("boot", UNIT, 1, 0, "website", url, {}, {})
    result = await run_unit(order, context, out, bench.stage, bench.services, UnitControl())
    await context.close()
    assert (result.outcome, out.numbers()) == (Outcome.COMPLETED, {"+493023125852"})


async def test_pages_that_hang_or_spin_cost_only_themselves(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tab, "NAVIGATION", timedelta(seconds=1))
    monkeypatch.setattr(tab, "SLACK", timedelta(seconds=1))
    monkeypatch.setattr(tab, "SETTLE", timedelta(milliseconds=300))

    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    links = "<a href=/team>Team</a><a href=/about>About</a><script>alert('hello')</script>"
    url = shop(bench, "slow.test", home=links)
    bench.site.pages["slow.test/team"] = hang
    bench.site.pages["slow.test/about"] = "<h1>About</h1><script>while (true) {}</script>"
    result, out = await bench.run(url)
    assert (result.outcome, out.numbers()) == (Outcome.COMPLETED, {"+493023125852"})
    assert any("slow.test/team did not answer" in message for message in out.messages())
    assert any("slow.test/about" in message and "Left out" in message for message in out.messages())


async def test_a_huge_page_is_read_at_its_beginning_only(bench: Bench) -> None:
    sent = 0

    async def huge(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Type": "text/html"})
        await response.prepare(request)
        await response.write(CONTACT.encode())
        while sent < HUGE:
            await response.write(b"<p>" + b"x" * 80_000 + b"</p>\n")
            sent += 80_000
            if sent > 2 * tab.MAX_CHARS:
                await asyncio.sleep(0.005)  # as fast as a network, which a loopback is not: all of it takes 20 s
        return response

    url = shop(bench, "huge.test")
    bench.site.pages["huge.test/contact"] = huge
    _, out = await bench.run(url)
    assert out.numbers() == {"+493023125852"}
    assert any("very large" in message for message in out.messages())
    assert sent < HUGE, "the rest of the page was downloaded as well"


async def test_caps_on_pages_and_results_hold(bench: Bench) -> None:
    url = shop(bench, "caps.test", home="".join(f"<a href=/team/{n}>Team</a>" for n in range(20)))
    for number in range(20):
        bench.site.pages[f"caps.test/team/{number}"] = "<h1>Team</h1>"
    _, out = await bench.run(url, page_cap=4)
    assert out.pages == 4
    people = "".join(f"<a href=/shop/{n}>Shop {n}</a>" for n in range(9))
    bench.site.pages["caps.test/list"] = people
    for number in range(9):
        bench.site.pages[f"caps.test/shop/{number}"] = (
            f"<h1>Shop {number}</h1><a href='tel:+49302312585{number}'>call</a>"
        )
    result, out = await bench.run("http://caps.test/list", "directory", max_results=3)
    assert (result.outcome, len(out.results)) == (Outcome.COMPLETED, 3)


async def test_a_paused_unit_resumes_where_it_was(bench: Bench) -> None:
    bench.site.pages["pause.test/list"] = "".join(f"<a href=/shop/{n}>Shop {n}</a>" for n in range(12))
    for number in range(12):
        bench.site.pages[f"pause.test/shop/{number}"] = (
            f"<h1>Shop {number}</h1><a href='tel:+4930231258{number:02}'>call</a>"
        )
    control, out = UnitControl(), RecordingOut()
    out.on_page = lambda: control.pausing.set() if out.pages >= 5 else None
    result, _ = await bench.run("http://pause.test/list", "directory", out=out, control=control)
    assert result.outcome is Outcome.PAUSED
    assert 5 <= out.pages < 13
    resumed = RecordingOut(out.checkpoint)
    result, _ = await bench.run("http://pause.test/list", "directory", out=resumed)
    assert result.outcome is Outcome.COMPLETED
    assert len({lead.observation_id for lead in (*out.results, *resumed.results)}) == 12
    assert len(out.results) + len(resumed.results) == 12
    assert max(bench.site.count(f"pause.test/shop/{number}") for number in range(12)) == 1


async def test_a_cancelled_unit_lets_go_at_once(bench: Bench) -> None:
    async def hang(_: web.Request) -> web.StreamResponse:
        control.cancelled.set()
        await asyncio.Event().wait()
        raise AssertionError

    control = UnitControl()
    bench.site.pages["cancel.test/"] = hang
    async with asyncio.timeout(5):
        result, _ = await bench.run("http://cancel.test/", control=control)
    assert result.outcome is Outcome.STOPPED


async def test_the_stage_is_one_tab_that_is_at_work(bench: Bench) -> None:
    await bench.run(shop(bench, "stage.test"))
    assert bench.stage.shown
    assert all(name.startswith("tab-") for _, name in bench.stage.shown)


async def test_popups_and_dialogs_hold_nothing_up(bench: Bench) -> None:
    rude = "<script>addEventListener('load', () => { open('/popup'); alert('a'); confirm('b'); })</script>"
    _, out = await bench.run(shop(bench, "rude.test", home=rude, contact=CONTACT + rude))
    assert out.numbers() == {"+493023125852"}


async def test_a_redirect_to_a_site_whose_robots_forbid_it_gives_nothing(bench: Bench) -> None:
    async def elsewhere(_: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("http://target.test/")

    bench.site.pages["source.test/"] = elsewhere
    bench.site.pages["target.test/"] = CONTACT
    bench.site.pages["target.test/robots.txt"] = _plain("User-agent: *\nDisallow: /\n")
    services = dataclasses.replace(bench.services, robots=RobotsCache())
    result, out = await bench.run("http://source.test/", services=services)
    assert (result.error, out.results) == ("robots_disallowed", [])


def _plain(body: str, status: int = 200):
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=body)

    return answer


async def test_a_page_that_waits_for_its_turn_is_not_begun_while_somebody_has_the_wheel(bench: Bench) -> None:
    bench.site.pages["turn.test/"] = CONTACT
    control, turnstile = UnitControl(), Turnstile()
    services = dataclasses.replace(bench.services, politeness=turnstile)
    running = asyncio.create_task(bench.run("http://turn.test/", control=control, services=services, render=False))
    await asyncio.wait_for(turnstile.asked.wait(), 20)
    control.wheel.hold(60, lambda: None)
    turnstile.open.set()
    await asyncio.wait_for(turnstile.left.wait(), 20)
    assert (bench.site.count("turn.test/"), turnstile.turns) == (0, 1), "it gives its turn to others meanwhile"
    control.wheel.give_back()
    result, out = await asyncio.wait_for(running, 60)
    assert result.outcome is Outcome.COMPLETED
    assert out.numbers() == {"+493023125852"}
