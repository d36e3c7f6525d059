"""Scenario 35: hours of tasks, kills, freezes and viewers leave everything as it was.

``make soak MINUTES=60 SEED=7 ARGS=tests/faults/test_soak.py`` runs it alone. What it writes (``samples.jsonl``,
``ledger.jsonl``, ``store.json``, ``report.txt``, ``soak.svg``) is in ``OUT``, else in pytest's temporary folder.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import pytest

from fleet.cancellation import end_all
from tests.faults.chaos import Archive, Clients, Faults, patiently
from tests.faults.fleet import FaultyFleet, faulty_fleet, fleet_options
from tests.faults.ledger import Sized
from tests.faults.plot import Panel, svg
from tests.faults.sampling import EXPORT_RECORDS, Samples, keys_by_kind, sample
from tests.faults.site import Sites
from tests.faults.trend import Bound, Trend, trend
from tests.support import wait_until

EACH_S = 30.0
RETENTION_S = 120
"""Of tasks, idempotency keys and exports: what a task leaves is gone some minutes into the run, and must be."""
WARM_UP = (0.25, 900.0)
"""Share of a run and most seconds that come before the fit: caches fill, pools open, retention passes, the log of
leases is as long as it gets."""
SPARED = ("control-plane-1", "node-1")
LOG_OF_LEASES = 2_000
COMPLETED = 0.8
"""Share of tasks that must come through at least: a unit that loses three Chromes one after another is given up."""

BOUNDS = {
    "processes": Bound(0.2, 10),
    "Chrome processes": Bound(0.2, 10),
    "zombies": Bound(0, 0.5),
    "profile directories": Bound(0.05, 1),
    "fds": Bound(0.05, 3),
    "keys": Bound(0.2, 10),
    "MB": Bound(0.05, 8),
    "MB node-1 driver": Bound(0.2, 8),
    "MB valkey data": Bound(0.1, 1),
}
"""By figure, or by its first word. An hour has some 1,200 tasks and 200 faults: a key a task, a descriptor a fault or
10 KB of memory a task are well above these."""

pytestmark = [pytest.mark.soak, pytest.mark.asyncio(loop_scope="module")]


WORKER = "MB control-plane-1 worker"
WORKER_MOST_MB = 700.0
"""The store worker holds columns of the leads, which become more in a run: bounded by `LEADFLEET_STORE_MEMORY_MB`, not
flat."""
OF_TASKS = {"task", "unit", "events", "found", "seen", "idempotency", "checkpoint", "active", "waiting", "watch"}
"""Kinds of keys that come and go with tasks: as many as the fleet gets done in a retention, and none after it."""

NOT_FLAT = {WORKER, EXPORT_RECORDS, "keys", *(f"keys {kind}" for kind in OF_TASKS)}
"""Figures that follow the load, or the time; each is bounded in another way."""


def bound_of(figure: str) -> Bound:
    return BOUNDS.get(figure) or BOUNDS[figure.partition(" ")[0]]


async def test_35_a_soak_leaves_everything_flat(site: Sites, tmp_path: Path) -> None:
    minutes = float(os.environ.get("LEADFLEET_SOAK_MINUTES") or 30)
    seed = int(os.environ.get("LEADFLEET_SOAK_SEED") or random.SystemRandom().randrange(1 << 32))
    out = Path(os.environ.get("LEADFLEET_SOAK_OUT") or tmp_path / "soak")
    assert not (out / "ledger.jsonl").exists(), f"{out} holds another run: name an empty folder as OUT"
    print(f"\nsoak of {minutes:g} minutes, SEED={seed}, into {out}", flush=True)
    settings = {
        "LEADFLEET_RATE_SCALE": "1000",
        "LEADFLEET_TENANT_DAILY_UNITS": "1000000",
        "LEADFLEET_LEASE_LOG": str(LOG_OF_LEASES),
        "LEADFLEET_RETENTION": str(RETENTION_S),
        "LEADFLEET_IDEMPOTENCY_MEMORY": str(RETENTION_S),
        "LEADFLEET_EXPORT_EXPIRY": str(RETENTION_S),
    }
    options = fleet_options(tmp_path / "state", [f"*.site.test=127.0.0.1:{site.port}"], settings=settings)
    async with faulty_fleet(options, out) as fleet:
        await fleet.begin()
        archive, samples = Archive(fleet), Samples(out)
        lives = {part: fleet.pid(part) for part in SPARED}
        clients = Clients(fleet, archive, seed, count=6, between_s=(12, 24))
        faults = Faults(fleet, seed, between_s=(8, 24))
        until = time.monotonic() + minutes * 60
        helpers = [
            asyncio.create_task(faults.run(until), name="faults"),
            asyncio.create_task(_watch(fleet, lives, archive, samples, clients), name="samples"),
        ]
        try:
            await _unless_one_fails(clients.run(until), helpers)
        finally:
            await end_all(helpers)
            _write(out, samples, faults, clients, seed, minutes)
        for node in ("node-1", "node-2"):
            fleet.ledger.ran(node, fleet.stack.state.logs / f"{node}.log")
        fleet.ledger.note(Sized("35 store worker, MB", max(samples.values[WORKER]), WORKER_MOST_MB))
        assert await fleet.check(archive.complete) == []
        chromes = options.nodes * options.slots
        await wait_until(lambda: _forgotten(fleet), 3 * RETENTION_S, "all keys of tasks to expire")
        records = samples.values[EXPORT_RECORDS][-1]
        assert records <= clients.done["exports asked for"], f"{records:.0f} records of exports"
        await wait_until(lambda: _browsers(fleet) == chromes, 60, f"{chromes} Chromes, one a slot")
        assert {part: fleet.pid(part) for part in SPARED} == lives, "a part that nobody killed has died"
    well = clients.done["completed"] + clients.done["stopped"]
    assert well >= COMPLETED * clients.done["tasks"], f"{well} of {clients.done['tasks']} tasks came through"
    grows = [str(each) for each in trends(samples, minutes) if not each.flat]
    assert not grows, "\n".join(grows)


def trends(samples: Samples, minutes: float) -> list[Trend]:
    """Of all figures, after the warm-up."""
    times, values = samples.since(warm_up_s(minutes))
    return [trend(name, times, values[name], bound_of(name)) for name in sorted(values) if name not in NOT_FLAT]


def warm_up_s(minutes: float) -> float:
    share, most = WARM_UP
    return min(share * minutes * 60, most)


def _browsers(fleet: FaultyFleet) -> int:
    return sum(len(fleet.browsers(node)) for node in ("node-1", "node-2"))


async def _forgotten(fleet: FaultyFleet) -> bool:
    return not OF_TASKS & (await keys_by_kind(fleet.redis, fleet.keys)).keys()


async def _watch(
    fleet: FaultyFleet, lives: dict[str, int], archive: Archive, samples: Samples, clients: Clients
) -> None:
    """A sample each half minute, until cancelled."""
    while True:
        await patiently(archive.follow_leases)
        taken = await patiently(
            lambda: sample(fleet.stack._mark, fleet.stack.state.path, lives, fleet.redis, fleet.keys)
        )
        samples.add(taken)
        told = {name: round(taken[name], 1) for name in ("processes", "keys", "MB node-1", "MB control-plane-1")}
        print(f"{samples.times[-1] / 60:6.1f} min  {clients.done['tasks']} tasks  {told}", flush=True)
        await asyncio.sleep(EACH_S)


async def _unless_one_fails(work: object, helpers: list[asyncio.Task[None]]) -> None:
    """Await ``work``; a helper that fails meanwhile ends it."""
    main = asyncio.ensure_future(work)  # type: ignore[call-overload]
    try:
        running = {main, *helpers}
        while not main.done():
            over, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in over:
                task.result()
    finally:
        await end_all([main])


def _write(out: Path, samples: Samples, faults: Faults, clients: Clients, seed: int, minutes: float) -> None:
    """The report and the plot, of a run that failed too."""
    if len(samples.since(warm_up_s(minutes))[0]) < 2:
        return
    by_kind: dict[str, int] = {}
    for _, what in faults.done:
        by_kind[what] = by_kind.get(what, 0) + 1
    report = [
        f"{minutes:g} minutes, seed {seed}, {len(samples.times)} samples",
        "clients: " + ", ".join(f"{count} {what}" for what, count in sorted(clients.done.items())),
        "faults: " + ", ".join(f"{count} x {what}" for what, count in sorted(by_kind.items())),
        *(str(each) for each in trends(samples, minutes)),
    ]
    (out / "report.txt").write_text("\n".join(report) + "\n")
    print("\n".join(report), flush=True)
    title = f"{samples.times[-1] / 60:.0f} minutes, {clients.done['tasks']} tasks, {len(faults.done)} faults"
    (out / "soak.svg").write_text(plot(title, samples, [at / 60 for at, _ in faults.done], warm_up_s(minutes) / 60))


def plot(title: str, samples: Samples, marks: list[float], warm: float) -> str:
    """Of the figures that matter; ``marks`` and ``warm`` in minutes."""
    panels = [
        ("processes", {"all": "processes", "of Chrome": "Chrome processes"}),
        ("file descriptors", {part: f"fds {part}" for part in SPARED} | {"store worker": "fds control-plane-1 worker"}),
        ("resident MB, replica", {"API": "MB control-plane-1", "store worker": "MB control-plane-1 worker"}),
        (
            "resident MB, node",
            {"agent": "MB node-1", "extractor": "MB node-1 extractor", "driver": "MB node-1 driver"},
        ),
        ("keys in Valkey", {"all": "keys", "tasks": "keys task", "units": "keys unit", "events": "keys events"}),
        ("MB in Valkey", {"data": "MB valkey data"}),
    ]
    drawn = [
        Panel(heading, [(name, samples.values[figure]) for name, figure in lines.items() if figure in samples.values])
        for heading, lines in panels
    ]
    return svg(title, [at / 60 for at in samples.times], drawn, marks, warm)
