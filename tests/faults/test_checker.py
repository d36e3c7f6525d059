"""The checker passes what really happened, and names each invariant that is broken by hand afterwards."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from tests.faults.checker import check
from tests.faults.fleet import TENANT, FaultyFleet
from tests.faults.ledger import (
    Acknowledged,
    Connected,
    Fact,
    Fetched,
    Forged,
    Gap,
    Limited,
    Line,
    Ran,
    Recovered,
    Run,
    Sized,
    Told,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def happened(running_fleet: FaultyFleet) -> Run:
    """Two tasks of several units, each with a viewer of all and one of the later half."""
    fleet = running_fleet
    tasks = [
        await fleet.submit(*(f"http://{name}-{n}.site.test/" for n in range(3)), key=name) for name in ("red", "blue")
    ]
    watching = [fleet.watch(task) for task in tasks]
    await fleet.ended(*tasks)
    for viewer in watching:
        await viewer
    for node in ("node-1", "node-2"):
        fleet.ledger.ran(node, fleet.stack.children[node].spec.log)
    fleet.ledger.note(Limited(TENANT, running=4, units=6))
    assert await fleet.check() == []
    return Run.read(fleet.ledger.directory)


@pytest.fixture
def run(happened: Run) -> Run:
    """A copy to be spoiled."""
    return Run(list(happened.lines), copy.deepcopy(happened.store))


def broken(run: Run) -> set[str]:
    return {violation.invariant for violation in check(run)}


def some(run: Run, kind: type[Any], number: int = 0) -> int:
    """Where in the ledger the fact of a kind with this number is."""
    return [index for index, line in enumerate(run.lines) if isinstance(line.fact, kind)][number]


def changed(run: Run, index: int, **fields: Any) -> None:
    run.lines[index] = replace(run.lines[index], fact=replace(run.lines[index].fact, **fields))


def said(run: Run, fact: Fact) -> None:
    run.lines.append(Line(run.lines[-1].at, fact))


def a_slot_leased_twice(run: Run) -> None:
    log = run.store["leases"]
    first, second = [entry for entry in log if entry["k"] == "granted"][:2]
    second["slot"] = first["slot"]


def a_lease_that_was_never_freed(run: Run) -> None:
    log = run.store["leases"]
    log.remove(next(entry for entry in log if entry["k"] == "freed"))


def a_fence_that_fell(run: Run) -> None:
    last = [entry for entry in run.store["leases"] if entry["k"] == "granted"][-1]
    last["fence"] = "17"


def a_unit_begun_twice(run: Run) -> None:
    said(run, run.lines[some(run, Ran)].fact)


def work_without_a_lease(run: Run) -> None:
    changed(run, some(run, Ran), fence=17)


def a_task_that_vanished(run: Run) -> None:
    del run.store["tasks"][run.lines[some(run, Acknowledged)].fact.task]


def a_task_that_never_ends(run: Run) -> None:
    run.store["tasks"][run.lines[some(run, Acknowledged)].fact.task]["state"] = "running"


def a_task_that_ended_twice(run: Run) -> None:
    events = run.store["events"][run.lines[some(run, Acknowledged)].fact.task]
    events.append(events[-1] | {"type": "task_error"})


def one_key_two_tasks(run: Run) -> None:
    first, second = some(run, Acknowledged), some(run, Acknowledged, 1)
    changed(run, second, key=run.lines[first].fact.key)


def a_unit_left_behind(run: Run) -> None:
    next(iter(run.store["units"].values()))["state"] = "queued"


def _results(run: Run) -> tuple[str, list[dict[str, str]]]:
    return next(
        (task, events)
        for task, events in run.store["events"].items()
        if sum(event["type"] == "result" for event in events) > 1
    )


def an_observation_told_twice(run: Run) -> None:
    first, second = [event for event in _results(run)[1] if event["type"] == "result"][:2]
    second["observation"] = first["observation"]


def an_observation_that_was_lost(run: Run) -> None:
    _, events = _results(run)
    events.remove(next(event for event in events if event["type"] == "result"))


def a_result_for_the_sink_twice(run: Run) -> None:
    task, events = _results(run)
    result = next(event for event in events if event["type"] == "result")
    run.store["results"] += [[task, result["id"]]] * 2


def a_page_fetched_too_often(run: Run) -> None:
    said(run, Fetched("http://red-0.site.test/", times=3, limit=2))


def a_slot_that_is_nothing(run: Run) -> None:
    next(iter(run.store["slots"].values()))["state"] = "lost"


def a_lease_without_a_unit(run: Run) -> None:
    next(iter(run.store["slots"].values()))["state"] = "leased"


def an_event_missed(run: Run) -> None:
    del run.lines[some(run, Told, 2)]


def events_out_of_order(run: Run) -> None:
    stream = run.lines[some(run, Connected)].fact.stream
    first, second, *_ = [
        index for index, line in enumerate(run.lines) if isinstance(line.fact, Told) and line.fact.stream == stream
    ]
    run.lines[first], run.lines[second] = run.lines[second], run.lines[first]


def an_event_nobody_wrote(run: Run) -> None:
    stream = run.lines[some(run, Connected)].fact.stream
    told = [line.fact for line in run.lines if isinstance(line.fact, Told) and line.fact.stream == stream]
    ms, _, seq = told[-1].event.partition("-")
    said(run, replace(told[-1], event=f"{int(ms) + 1}-{seq}"))


def a_viewer_left_in_the_dark(run: Run) -> None:
    stream = run.lines[some(run, Connected)].fact.stream
    last = max(i for i, line in enumerate(run.lines) if isinstance(line.fact, Told) and line.fact.stream == stream)
    del run.lines[last]


def a_slow_recovery(run: Run) -> None:
    said(run, Recovered("Chrome", seconds=3.0, bound_s=2.0))


def a_queue_without_bounds(run: Run) -> None:
    said(run, Sized("bytes of a viewer", size=6e6, bound=5e6))


def a_stale_write_that_counts(run: Run) -> None:
    run.store["counters"]["stale_writes"] = 10
    result = next(event for event in _results(run)[1] if event["type"] == "result")
    said(run, Forged(result["observation"]))


def a_stale_write_that_nobody_counted(run: Run) -> None:
    said(run, Forged())


def a_tenant_above_its_limit(run: Run) -> None:
    changed(run, some(run, Limited), running=0)


def a_tenant_above_its_quota(run: Run) -> None:
    changed(run, some(run, Limited), units=5)


SEEDED: dict[str, list[Callable[[Run], None]]] = {
    "I1": [
        a_slot_leased_twice,
        a_lease_that_was_never_freed,
        a_fence_that_fell,
        a_unit_begun_twice,
        work_without_a_lease,
    ],
    "I2": [
        a_task_that_vanished,
        a_task_that_never_ends,
        a_task_that_ended_twice,
        one_key_two_tasks,
        a_unit_left_behind,
    ],
    "I3": [
        an_observation_told_twice,
        an_observation_that_was_lost,
        a_result_for_the_sink_twice,
        a_page_fetched_too_often,
    ],
    "I4": [a_slot_that_is_nothing, a_lease_without_a_unit],
    "I5": [an_event_missed, events_out_of_order, an_event_nobody_wrote, a_viewer_left_in_the_dark],
    "I6": [a_slow_recovery],
    "I7": [a_queue_without_bounds],
    "I8": [a_stale_write_that_counts, a_stale_write_that_nobody_counted],
    "L": [a_tenant_above_its_limit, a_tenant_above_its_quota],
}


_SEEDS = [
    pytest.param(invariant, seed, id=f"{invariant}-{seed.__name__}")
    for invariant, seeds in SEEDED.items()
    for seed in seeds
]


async def test_what_really_happened_is_well(run: Run) -> None:
    assert check(run) == []
    assert {line.fact.KIND for line in run.lines} >= {"acknowledged", "told", "ran", "limited"}
    assert json.dumps(run.store["leases"]).count("granted") == 6


@pytest.mark.parametrize(("invariant", "seed"), _SEEDS)
async def test_a_seeded_violation_is_named(run: Run, invariant: str, seed: Callable[[Run], None]) -> None:
    seed(run)
    assert invariant in broken(run)


async def test_a_gap_that_was_told_of_is_none(run: Run) -> None:
    index = some(run, Told, 2)
    run.lines[index] = replace(run.lines[index], fact=Gap(run.lines[index].fact.stream))
    assert check(run) == []
