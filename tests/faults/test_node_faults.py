"""Chromes and nodes that die, freeze, leave and come back."""

from __future__ import annotations

import pytest

from tests.faults.fleet import FaultyFleet
from tests.faults.ledger import Fetched
from tests.faults.site import PAGES, Sites

pytestmark = pytest.mark.asyncio(loop_scope="module")

TABS = 3
"""Pages of a unit that may be open at once."""


async def test_01_a_killed_chrome_costs_an_attempt_and_no_page(fleet: FaultyFleet, site: Sites) -> None:
    site.hold()
    task = await fleet.submit("http://chrome-1.site.test/", key="chrome-1")
    watching = fleet.watch(task)
    node, _, unit = await fleet.at_work()
    await fleet.until(task, lambda state: state["pages"] >= 1, "its first page")
    for browser in fleet.browsers(node):
        browser.kill()

    async def on_a_fresh_one() -> None:
        await fleet.until(task, lambda state: state["attempt"] == 2, "its second attempt")

    await fleet.recovers("01 resumed on a fresh Chrome", 2.0, on_a_fresh_one)
    site.let_go()
    (state,) = await fleet.ended(task)
    assert (state["status"], state["attempt"]) == ("completed", 2), state
    events = await watching
    assert any(event["type"] == "log" and event["level"] == "warning" for event in events), "viewers see it"
    assert site.visits["chrome-1.site.test/"] == 1, "the checkpoint has the home page"
    assert site.of("chrome-1.site.test") <= PAGES + TABS
    for page, times in site.visits.items():
        fleet.ledger.note(Fetched(page, times, 2))
    assert unit == f"{task}.0"
