"""The rules that the model's methods share: who is served next, what becomes of a unit, when a slot is offered."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from control_plane.scheduling.limits import Limits
from tests.integration.control_plane.scheduling.model_records import (
    BACKLOG,
    TERMINAL,
    Command,
    Node,
    Slot,
    Task,
    Unit,
    position,
)

BROWSER_LOST = {"chrome_died", "chrome_lost", "driver_lost"}

JOINS_A_TURN = 1000


class Rules:
    """The state of a fleet, and how one change of it brings about others. Set ``now_us`` before each call; it must rise
    by more than the grants of one call."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.now_us = 0
        self.nodes: dict[str, Node] = {}
        self.heard: dict[str, int] = {}
        self.tasks: dict[str, Task] = {}
        self.rings: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        self.turns = 0
        self.served: Counter[str] = Counter()
        self.used: Counter[str] = Counter()
        self.idempotency: dict[tuple[str, str], tuple[str, str]] = {}
        self.deadlines: dict[str, int] = {}
        self.retries: dict[str, int] = {}
        self.dead: list[tuple[str, str, int, int]] = []
        self.leases: list[tuple[str, str, str, int, str]] = []
        self.counters: Counter[str] = Counter()
        self.fence = 0

    @property
    def now(self) -> int:
        return self.now_us // 1000

    # Dispatch --------------------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Whose turn is the oldest, of those for whom a slot is free; its first unit; the slot that waits longest."""
        for _ in range(self.limits.dispatch_max):
            turns = [
                (*min(self.rings[label]), label) for label in self.labels if self.rings[label] and self.free(label)
            ]
            if not turns:
                return
            _, tenant, label = min(turns, key=lambda turn: turn[0])
            unit = self._queue(label, tenant)[0]
            self.rings[label].remove(min(self.rings[label]))
            self.turns = (self.turns // JOINS_A_TURN + 1) * JOINS_A_TURN
            self.served[tenant] = self.turns + JOINS_A_TURN - 1
            self.rings[label].append((self.served[tenant], tenant))
            self._grant(self.free(label)[0], unit)

    def _grant(self, slot: Slot, unit: Unit) -> None:
        task, node = unit.task, slot.node
        self.fence = max(self.fence + 1, self.now_us)
        slot.listed, slot.busy = None, True
        self._move(unit, "running")
        self._saw_progress(unit)
        unit.slot, unit.fence, unit.seq = slot, self.fence, 0
        self.deadlines.pop(f"queue|{task.name}", None)
        self._run_clock(task)
        command = Command("run", unit.name, self.fence)
        node.commands.append(command)
        slot.state, slot.unit, slot.fence, slot.granted = "leased", unit, self.fence, command
        self.leases.append(("granted", slot.name, unit.name, self.fence, ""))
        if not task.started:
            task.started = True
            task.told.append("task_started")
        self._derive(task)
        self.counters["grants"] += 1
        self.counters["wait_ms"] += self.now - unit.queued

    def free(self, label: str) -> list[Slot]:
        """The slots that are offered to a label, the first one next."""
        slots = [s for n in self.nodes.values() for s in n.slots.values() if label in n.labels and s.listed is not None]
        return sorted(slots, key=lambda slot: (slot.listed, slot.name))

    def _busy(self, label: str) -> list[str]:
        nodes = [node for node in self.nodes.values() if label in node.labels]
        return sorted(slot.name for node in nodes for slot in node.slots.values() if slot.busy)

    def _queue(self, label: str, tenant: str) -> list[Unit]:
        units = [
            unit
            for task in self.tasks.values()
            if (task.new.label, task.new.tenant) == (label, tenant)
            for unit in task.units
            if unit.state == "queued"
        ]
        return sorted(units, key=lambda unit: unit.order)

    def running(self, tenant: str) -> int:
        return sum(task.count("running") for task in self.tasks.values() if task.new.tenant == tenant)

    def backlog(self, tenant: str, states: Sequence[str] = BACKLOG) -> int:
        return sum(task.count(*states) for task in self.tasks.values() if task.new.tenant == tenant)

    @property
    def labels(self) -> list[str]:
        """In the order in which they were first asked for."""
        return list(dict.fromkeys(task.new.label for task in self.tasks.values()))

    def _ring_update(self, tenant: str) -> None:
        """In a label's ring stands who has something queued for it and may run more. Who joins goes before the one that
        was served last, in order of joining."""
        may_run = self.running(tenant) < self.limits.tenant_max_running
        for label in self.labels:
            stands = any(t == tenant for _, t in self.rings[label])
            belongs = may_run and bool(self._queue(label, tenant))
            if belongs and not stands:
                self.turns += 1
                self.rings[label].append((max(self.turns, self.served[tenant]), tenant))
            elif stands and not belongs:
                self.rings[label] = [each for each in self.rings[label] if each[1] != tenant]

    # Units and tasks -------------------------------------------------------------------------------------------------

    def _move(self, unit: Unit, to: str) -> None:
        unit.state = to
        if to != "retrying":
            self.retries.pop(unit.name, None)
        self._ring_update(unit.task.new.tenant)

    def _enqueue(self, unit: Unit) -> None:
        unit.queued = self.now
        self._move(unit, "queued")

    def _admit(self, task: Task) -> None:
        """At most ``max_parallel`` units of a task are dispatchable or beyond; the others wait with it."""
        while not task.paused and task.waiting and task.count("queued", "running", "retrying") < task.new.max_parallel:
            self._enqueue(task.waiting.pop(0))

    def _left_running(self, unit: Unit, to: str) -> None:
        assert unit.slot is not None
        self.leases.append(("ended", unit.slot.name, unit.name, unit.fence, to))
        unit.slot, unit.fence = None, 0
        self.deadlines.pop(f"idle|{unit.name}", None)
        if to == "queued":
            self._move(unit, "waiting")  # the tenant may run more before this one stands in line again
            self._run_clock(unit.task)
            self._enqueue(unit)
        else:
            self._move(unit, to)
            self._run_clock(unit.task)

    def _give_back(self, unit: Unit, cost: str, error: str, *, retryable: bool = True) -> None:
        """A lost node costs a delivery, a failure an attempt, handing back nothing; the last one makes it fail."""
        task, spent, allowed = unit.task, 0, 1
        if cost == "attempt":
            unit.attempts += 1
            spent, allowed = unit.attempts, self.limits.max_attempts
        elif cost == "delivery":
            unit.deliveries += 1
            spent, allowed = unit.deliveries, self.limits.max_deliveries
        if cost != "none" and (spent >= allowed or not retryable):
            self._left_running(unit, "failed")
            task.first_error = task.first_error or error
            self.dead.append((unit.name, error, unit.attempts, unit.deliveries))
            self.counters["dead_letters"] += 1
            self.counters[f"errors:{error}"] += 1
        elif task.paused:
            self._left_running(unit, "paused")
        elif cost == "attempt" and not (spent == 1 and error in BROWSER_LOST):
            self._left_running(unit, "retrying")
            self.retries[unit.name] = self.now + self.limits.backoff_ms * 2 ** (spent - 1)
            self.counters[f"errors:{error}"] += 1
        else:
            self._left_running(unit, "queued")
            if cost == "attempt":
                self.counters[f"errors:{error}"] += 1
        self._admit(task)
        self._derive(task)

    def _derive(self, task: Task) -> None:
        """A task is what its units are."""
        if task.state in TERMINAL:
            return
        if not task.count(*BACKLOG, "running"):
            failed, completed = task.count("failed"), task.count("completed")
            if completed or not failed:
                self._finish(task, "completed", "partial" if failed else "")
            else:
                self._finish(task, "error", task.first_error)
        elif task.paused:
            task.state = "paused"
        else:
            task.state = "running" if task.count("running") else "queued"

    def _end_task(self, task: Task, units: str, state: str, error: str = "") -> None:
        """Running units are revoked: what they still write is refused, their slots wait for the node's word."""
        for unit in task.units:
            if unit.slot:
                self._reclaim(unit.slot, unit)
                self._left_running(unit, units)
            elif unit.state in BACKLOG:
                self._move(unit, units)
        self._finish(task, state, error)

    def _reclaim(self, slot: Slot, unit: Unit) -> None:
        slot.state = "releasing"
        self.deadlines[f"grace|{slot.name}|{unit.fence}"] = self.now + self.limits.grace_ms
        slot.node.commands.append(Command("cancel", unit.name, unit.fence))

    def _saw_progress(self, unit: Unit) -> None:
        self.deadlines[f"idle|{unit.name}"] = self.now + self.limits.idle_ms

    def _finish(self, task: Task, state: str, error: str) -> None:
        task.state, task.error = state, error
        task.waiting.clear()
        self.deadlines.pop(f"queue|{task.name}", None)
        self.deadlines.pop(f"run|{task.name}", None)
        self.counters[f"tasks_{state}"] += 1
        task.told.append(f"task_{state}")

    def _run_clock(self, task: Task) -> None:
        """``timeout_ms`` bounds the time in which at least one unit runs."""
        running = task.count("running") > 0
        if running and task.run_since is None:
            task.run_since = self.now
            if task.new.timeout_ms:
                self.deadlines[f"run|{task.name}"] = self.now + max(task.new.timeout_ms - task.run_used, 0)
        elif not running and task.run_since is not None:
            task.run_used += self.now - task.run_since
            task.run_since = None
            self.deadlines.pop(f"run|{task.name}", None)

    # Nodes and slots -------------------------------------------------------------------------------------------------

    def _node(self, name: str) -> Node:
        return self.nodes.setdefault(name, Node(name))

    def _unit(self, name: str) -> Unit | None:
        task, _, index = name.rpartition(".")
        return self.tasks[task].units[int(index)] if task in self.tasks else None

    def _passes(self, node: Node, entry: str) -> bool:
        """Each entry counts once, and none after a later one."""
        if node.cursor is not None and position(entry) <= position(node.cursor):
            return False
        node.cursor = entry
        return True

    def _advance(self, node: Node, entry: str, boot: str) -> str:
        if not self._passes(node, entry):
            return "applied"
        if node.boot != boot:
            self.counters["stale_writes"] += 1
            return "stale"
        if node.state != "down":
            self.heard[node.name] = position(entry)[0]
        return "ok"

    def _unread(self, node: Node) -> bool:
        return bool(node.out) and position(node.out[-1]) > position(node.cursor or "0-0")

    def _trim_out(self, node: Node, entry: str) -> None:
        node.out = [each for each in node.out if position(each) >= position(entry)]

    def _holds(self, node: Node, unit: Unit, fence: int) -> bool:
        """Who may write about a unit: the node of its lease, under its fence."""
        return unit.slot is not None and unit.slot.node is node and unit.fence == fence

    def _slot_holding(self, node: Node, unit: str, fence: int) -> Slot | None:
        for slot in node.slots.values():
            if slot.unit and slot.unit.name == unit and slot.fence == fence:
                return slot
        return None

    def _release(self, slot: Slot) -> None:
        """It is offered only when its Chrome lives and its node takes work."""
        if slot.unit:
            self.deadlines.pop(f"grace|{slot.name}|{slot.fence}", None)
            self.leases.append(("freed", slot.name, slot.unit.name, slot.fence, ""))
        slot.unit, slot.fence, slot.granted = None, 0, None
        slot.listed, slot.busy = None, False
        if slot.chrome != "ok":
            slot.state = "broken"
        elif slot.node.state == "down":
            slot.state = "down"
        else:
            slot.state = "free"
            if slot.node.state == "up":
                slot.listed = self.now

    def _drop_leases(self, node: Node, cost: str, error: str) -> None:
        for slot in node.slots.values():
            if slot.unit and self._holds(node, slot.unit, slot.fence):
                self._give_back(slot.unit, cost, error)
            self._release(slot)

    def _draining(self, node: Node) -> None:
        if node.state != "draining":
            node.state = "draining"
            for slot in node.slots.values():
                slot.listed, slot.busy = None, False
