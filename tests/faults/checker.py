"""Decides from a ledger and a picture of the store whether the invariants I1 to I8 held.

``python -m tests.faults.checker DIRECTORY`` prints the violations of a run and ends with 1 when there are any.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.ledger import (
    Acknowledged,
    Connected,
    Counted,
    Fetched,
    Forged,
    Gap,
    Limited,
    Lost,
    Ran,
    Recovered,
    Run,
    Sized,
    Submitted,
    Told,
)

TERMINAL_EVENT = {"completed": "task_completed", "error": "task_error", "stopped": "task_stopped"}
OVER = {"completed", "failed", "stopped"}
"""States of a unit from which it does not come back."""


@dataclass(frozen=True, slots=True)
class Violation:
    """``invariant`` is I1 to I8, or L for limits of tenants."""

    invariant: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.what}"


def check(run: Run) -> list[Violation]:
    """All violations, by invariant."""
    return [Violation(invariant, what) for invariant, look in CHECKS for what in look(run)]


def leases(run: Run) -> Iterator[str]:
    """I1: no two live leases on one slot, nor of one unit; fences only rise; nodes work under granted fences only."""
    by_slot: dict[str, str] = {}
    by_unit: dict[str, str] = {}
    granted: dict[tuple[str, str], str] = {}
    last = 0
    for entry in run.store["leases"]:
        slot, unit, fence, kind = entry["slot"], entry["unit"], entry["fence"], entry["k"]
        if kind == "granted":
            if int(fence) <= last:
                yield f"fence {fence} of {unit} on {slot} was granted after {last}"
            last = max(last, int(fence))
            if slot in by_slot:
                yield f"{slot} was granted to {unit} under {fence} while {by_slot[slot]} held it"
            if unit in by_unit:
                yield f"{unit} was granted {slot} under {fence} while it ran under {by_unit[unit]}"
            by_slot[slot], by_unit[unit] = fence, fence
            granted[unit, fence] = slot
        elif kind == "ended" and by_unit.get(unit) == fence:
            del by_unit[unit]
        elif kind == "freed" and by_slot.get(slot) == fence:
            del by_slot[slot]
    begun = Counter((ran.unit, ran.fence) for ran in run.of(Ran))
    for (unit, fence), times in begun.items():
        if times > 1:
            yield f"{unit} was begun {times} times under fence {fence}"
    for ran in run.of(Ran):
        slot = granted.get((ran.unit, str(ran.fence)))
        if slot != f"{ran.node}/{ran.slot}" and not run.of(Lost):
            yield f"{ran.node}/{ran.slot} worked on {ran.unit} under {ran.fence}, which was granted to {slot}"


def tasks(run: Run) -> Iterator[str]:
    """I2: each acknowledged task is there and ended once, one key is one task; attempts were made."""
    lost_before = max((lost.before for lost in run.of(Lost)), default=0.0)
    by_key: dict[tuple[str, str], str] = {}
    for line in run.lines:
        if not isinstance(line.fact, Acknowledged):
            continue
        told = line.fact
        if line.at > lost_before and by_key.setdefault((told.tenant, told.key), told.task) != told.task:
            yield f"key {told.key} of {told.tenant} is {told.task} and {by_key[told.tenant, told.key]}"
        task = run.store["tasks"].get(told.task)
        if task is None:
            if line.at > lost_before:
                yield f"{told.task} was acknowledged and is gone"
            continue
        if task["state"] not in TERMINAL_EVENT:
            yield f"{told.task} has not ended: {task['state']}"
            continue
        ends = [e["type"] for e in run.store["events"][told.task] if e["type"] in TERMINAL_EVENT.values()]
        if ends != [TERMINAL_EVENT[task["state"]]]:
            yield f"{told.task} is {task['state']}, its events say {ends}"
        for index in range(int(task["units"])):
            unit = run.store["units"][f"{told.task}.{index}"]
            if unit.get("state") not in OVER:
                yield f"unit {index} of {told.task} is {unit.get('state')} although the task ended"
            elif unit["state"] == "completed" and "started" not in unit:
                yield f"unit {index} of {told.task} is completed and was never begun"


def results(run: Run) -> Iterator[str]:
    """I3: an observation is one result event, a result event is one entry for the sink, a page is not fetched again."""
    events = {task: [e for e in found if e["type"] == "result"] for task, found in run.store["events"].items()}
    for task, found in events.items():
        twice = [name for name, n in Counter(e["observation"] for e in found if e["observation"]).items() if n > 1]
        if twice:
            yield f"{task} has results twice: {twice[:3]}"
        if run.store["seen"][task] != len(found):
            yield f"{task} accepted {run.store['seen'][task]} observations and told of {len(found)}"
    told = {"result", "enriched"}  # an answer of the model is for the sink once more, the same observation enriched
    known = {(task, e["id"]) for task, found in run.store["events"].items() for e in found if e["type"] in told}
    entries = Counter((task, event) for task, event in run.store["results"])
    for entry, times in entries.items():
        if times > 1:
            yield f"result {entry} is for the sink {times} times"
        if entry not in known and entry[0] in events:
            yield f"result {entry} is for the sink and no event"
    for page in run.of(Fetched):
        if page.times > page.limit:
            yield f"{page.url} was fetched {page.times} times, {page.limit} were allowed"


def slots(run: Run) -> Iterator[str]:
    """I4: every registered slot is free, leased, releasing, broken or down; a lease and its unit name each other."""
    for name, slot in run.store["slots"].items():
        state = slot.get("state")
        if state not in {"free", "leased", "releasing", "broken", "down"}:
            yield f"{name} is {state}"
        if state in {"leased", "releasing"} and "unit" not in slot:
            yield f"{name} is {state} for nobody"
        if state == "leased" and run.store["units"].get(slot.get("unit", ""), {}).get("slot") != name:
            yield f"{name} is leased to {slot.get('unit')}, which does not run there"
        if state == "free" and "unit" in slot:
            yield f"{name} is free and has {slot['unit']}"
    running = sum(unit.get("state") == "running" for unit in run.store["units"].values())
    held = sum(slot.get("state") == "leased" for slot in run.store["slots"].values())
    if running != held:
        yield f"{running} units run, {held} slots are leased"


def streams(run: Run) -> Iterator[str]:
    """I5: what a viewer was told is a gapless suffix in order, over all its connections, or it was told of a gap."""
    by_stream: dict[str, list[Connected | Told | Gap]] = defaultdict(list)
    for line in run.lines:
        if isinstance(line.fact, Connected | Told | Gap):
            by_stream[line.fact.stream].append(line.fact)
    for stream, facts in by_stream.items():
        (task,) = {fact.task for fact in facts if isinstance(fact, Connected)}
        stored = [e["id"] for e in run.store["events"].get(task, ())]
        place = {event: index for index, event in enumerate(stored)}
        last, at, gap = "0-0", None, False
        for fact in facts:
            if isinstance(fact, Gap):
                gap = True
            elif isinstance(fact, Told):
                if _position(fact.event) <= _position(last):
                    yield f"{stream} was told of {fact.event} after {last}"
                here = place.get(fact.event)
                if here is None and stored and _position(fact.event) >= _position(stored[0]) and not run.of(Lost):
                    yield f"{stream} was told of {fact.event}, which is no event of {task}"
                if here is not None and not gap:
                    missed = stored[(at + 1 if at is not None else 0) : here]
                    if missed and (at is not None or _begins_at_the_first(facts)):
                        yield f"{stream} missed {len(missed)} events before {fact.event}"
                last, at, gap = fact.event, here if here is not None else at, False
        told = [fact for fact in facts if isinstance(fact, Told)]
        if told and told[-1].type not in TERMINAL_EVENT.values():
            yield f"{stream} never saw the end of {task}"


def recovery(run: Run) -> Iterator[str]:
    """I6: recovery is bounded."""
    for fact in run.of(Recovered):
        if fact.seconds > fact.bound_s:
            yield f"{fact.what} took {fact.seconds:.1f} s, {fact.bound_s:g} s are allowed"


def memory(run: Run) -> Iterator[str]:
    """I7: memory is bounded."""
    for fact in run.of(Sized):
        if fact.size > fact.bound:
            yield f"{fact.what} is {fact.size:g}, {fact.bound:g} are allowed"


def stale(run: Run) -> Iterator[str]:
    """I8: what a stale attempt writes is refused and counted."""
    forged = run.of(Forged)
    shown = {e["observation"] for found in run.store["events"].values() for e in found if e["observation"]}
    for fact in forged:
        if fact.observation in shown:
            yield f"the forged observation {fact.observation} is a result"
    before = sum(fact.stale_writes for fact in run.of(Counted)[:1])
    counted = run.store["counters"].get("stale_writes", 0) - before
    if counted < len(forged):
        yield f"{len(forged)} writes were forged, {counted} were counted as refused"


def limits(run: Run) -> Iterator[str]:
    """No tenant runs more at once, or is promised more units, than it may."""
    for limit in run.of(Limited):
        now = 0
        for entry in run.store["leases"]:
            tenant = run.store["tasks"].get(entry["unit"].rpartition(".")[0], {}).get("tenant")
            if tenant == limit.tenant:
                now += {"granted": 1, "ended": -1}.get(entry["k"], 0)
            if now > limit.running:
                yield f"{limit.tenant} ran {now} units at once with {entry['unit']}, {limit.running} are allowed"
                break
        acknowledged = {told.key for told in run.of(Acknowledged) if told.tenant == limit.tenant}
        asked = {wanted.key: wanted.units for wanted in run.of(Submitted) if wanted.tenant == limit.tenant}
        promised = sum(asked[key] for key in acknowledged)
        if promised > limit.units:
            yield f"{limit.tenant} was promised {promised} units, {limit.units} are allowed"


CHECKS: list[tuple[str, Callable[[Run], Iterator[str]]]] = [
    ("I1", leases),
    ("I2", tasks),
    ("I3", results),
    ("I4", slots),
    ("I5", streams),
    ("I6", recovery),
    ("I7", memory),
    ("I8", stale),
    ("L", limits),
]


def _position(event: str) -> tuple[int, int]:
    ms, _, seq = event.partition("-")
    return int(ms), int(seq or 0)


def _begins_at_the_first(facts: list[Connected | Told | Gap]) -> bool:
    """Whether a viewer asked for all there is."""
    return any(isinstance(fact, Connected) and fact.after == "0-0" for fact in facts[:1])


def main() -> int:
    violations = check(Run.read(Path(sys.argv[1])))
    for violation in violations:
        print(violation)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
