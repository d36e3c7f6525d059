"""The rules of scheduling, said plainly: what the Lua scripts do, with lists and dicts instead of a store.

One method a script, with the script's verdict as its result. Times are ms of the store's clock. ``picture`` is what of
it can be compared with a store.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from control_plane.scheduling.limits import Limits
from control_plane.scheduling.scripts import ANY, NewTask
from fleet.messages import Batch, Goodbye, Heartbeat, Register, SlotChange, UnitEnd

TERMINAL = {"stopped", "completed", "error"}
BACKLOG = ("waiting", "queued", "retrying", "paused")
PENDING = ("waiting", "queued")
BROWSER_LOST = {"chrome_died", "chrome_lost", "driver_lost"}

JOINS_A_TURN = 1000

Position = tuple[int, int]


def position(entry: str) -> Position:
    """A stream id as it is compared."""
    ms, _, seq = entry.partition("-")
    return int(ms), int(seq)


@dataclass
class Command:
    """``entry`` is the store's to choose; whoever drives the model fills it in."""

    kind: str
    unit: str = ""
    fence: int = 0
    entry: str = ""


@dataclass
class Unit:
    task: Task
    index: int
    state: str = "waiting"
    attempts: int = 0
    deliveries: int = 0
    slot: Slot | None = None
    fence: int = 0
    seq: int = 0
    queued: int = 0

    @property
    def name(self) -> str:
        return f"{self.task.name}.{self.index}"

    @property
    def order(self) -> tuple[int, int, int]:
        """Within one tenant: priority (9 is the most urgent), then arrival, then the index."""
        return -self.task.new.priority, self.task.arrival, self.index


@dataclass
class Task:
    new: NewTask
    arrival: int
    units: list[Unit] = field(default_factory=list)
    waiting: list[Unit] = field(default_factory=list)
    state: str = "queued"
    paused: bool = False
    started: bool = False
    queue_left: int | None = None
    run_since: int | None = None
    run_used: int = 0
    error: str = ""
    first_error: str = ""
    pages: int = 0
    observed: set[str] = field(default_factory=set)
    leads: dict[str, str] = field(default_factory=dict)
    """Identifier → lead id."""
    found: int = 0
    told: list[str] = field(default_factory=list)
    """Kinds of the events its clients were sent, but for the log's lines."""

    @property
    def name(self) -> str:
        return self.new.task

    def count(self, *states: str) -> int:
        return sum(unit.state in states for unit in self.units)


@dataclass
class Slot:
    node: Node
    index: int
    chrome: str = "ok"
    state: str = "free"
    listed: int | None = None
    """Since when it is offered, None when it is not."""
    busy: bool = False
    """It runs a unit and serves on after it."""
    unit: Unit | None = None
    fence: int = 0
    granted: Command | None = None

    @property
    def name(self) -> str:
        return f"{self.node.name}/{self.index}"


@dataclass
class Node:
    name: str
    state: str | None = None
    boot: str | None = None
    password: str | None = None
    cursor: str | None = None
    labels: list[str] = field(default_factory=list)
    slots: dict[int, Slot] = field(default_factory=dict)
    out: list[str] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)


class Model:
    """A fleet. Set ``now_us`` before each call; it must rise by more than the grants of one call."""

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

    # What clients ask ------------------------------------------------------------------------------------------------

    def submit(self, new: NewTask) -> tuple[str, ...]:
        """A repetition of a request is answered with its task; the queue and the tenant's day have room or not."""
        known = self.idempotency.get((new.tenant, new.idempotency)) if new.idempotency else None
        if known:
            return ("replayed", known[1]) if known[0] == new.body else ("mismatch",)
        if sum(task.count(*BACKLOG) for task in self.tasks.values()) + len(new.units) > self.limits.queue_cap:
            return ("queue_full",)
        if self.backlog(new.tenant) + len(new.units) > self.limits.tenant_max_queued:
            return ("tenant_queue_full",)
        if self.used[new.tenant] + len(new.units) > self.limits.tenant_daily_units:
            return ("quota",)
        self.used[new.tenant] += len(new.units)
        if new.idempotency:
            self.idempotency[new.tenant, new.idempotency] = new.body, new.task
        task = self.tasks[new.task] = Task(new, arrival=len(self.tasks))
        task.units = [Unit(task, index) for index in range(len(new.units))]
        task.waiting = list(task.units)
        if new.queue_timeout_ms:
            self.deadlines[f"queue|{task.name}"] = self.now + new.queue_timeout_ms
        self.counters["tasks_submitted"] += 1
        self._admit(task)
        self._dispatch()
        return ("ok", new.task)

    def stop(self, tenant: str, name: str) -> str:
        task = self.tasks.get(name)
        if task is None or task.new.tenant != tenant:
            return "unknown"
        if task.state in TERMINAL:
            return "terminal"
        self._end_task(task, "stopped", "stopped")
        self._dispatch()
        return "ok"

    def pause(self, tenant: str, name: str) -> str:
        """Nothing of it is dispatched any more, running units are asked to stop; its queue timeout stands still."""
        task = self.tasks.get(name)
        if task is None or task.new.tenant != tenant:
            return "unknown"
        if task.state in TERMINAL:
            return "terminal"
        if task.paused:
            return "ok"
        task.paused = True
        due = self.deadlines.pop(f"queue|{name}", None)
        task.queue_left = None if due is None else max(0, due - self.now)
        for unit in task.units:
            if unit.state in {"queued", "retrying"}:
                self._move(unit, "paused")
            elif unit.slot:
                unit.slot.node.commands.append(Command("pause", unit.name, unit.fence))
        self._derive(task)
        task.told.append("task_paused")
        self._dispatch()
        return "ok"

    def resume(self, tenant: str, name: str) -> str:
        """Paused units come in front of those that never ran."""
        task = self.tasks.get(name)
        if task is None or task.new.tenant != tenant:
            return "unknown"
        if task.state in TERMINAL:
            return "terminal"
        if task.paused:
            task.paused = False
            if task.queue_left is not None:
                self.deadlines[f"queue|{name}"] = self.now + task.queue_left
                task.queue_left = None
            paused = [unit for unit in task.units if unit.state == "paused"]
            task.waiting[:0] = paused
            for unit in paused:
                self._move(unit, "waiting")
            self._admit(task)
            self._derive(task)
            task.told.append("task_resumed")
            self._dispatch()
        return "ok"

    def position(self, tenant: str, name: str) -> int | None:
        """Take turns until the task's first unit comes up."""
        task = self.tasks.get(name)
        label = task.new.label if task else ""
        ring = [t for _, t in sorted(self.rings[label])]
        queues = {t: self._queue(label, t) for t in dict.fromkeys([*ring, tenant])}
        if not any(unit.task is task for unit in queues[tenant]):
            return None
        ahead = 0
        while True:
            for queue in queues.values():
                if queue:
                    unit = queue.pop(0)
                    if unit.task is task:
                        return ahead
                    ahead += 1

    # What nodes say --------------------------------------------------------------------------------------------------

    def join(self, name: str, password: str) -> bool:
        """A name belongs to who holds it, until its session has ended."""
        node = self._node(name)
        if node.password not in {None, password} and name in self.heard:
            self.counters["joins_refused"] += 1
            return False
        node.password = password
        node.state = node.state or "down"
        return True

    def write(self, name: str, entry: str) -> None:
        """A node appends to its stream; nobody has read it yet."""
        self._node(name).out.append(entry)

    def register(self, name: str, entry: str, message: Register) -> str:
        """A new life of a node: what the earlier one held goes back, at the cost of a delivery."""
        node = self._node(name)
        if not self._passes(node, entry):
            return "applied"
        if node.boot is not None:
            node.state = "down"
            self._drop_leases(node, "delivery", "node_restarted")
            node.commands.clear()
            if node.boot != message.boot:
                node.commands.append(Command("superseded"))
        node.boot, node.state = message.boot, "up"
        node.labels = list(dict.fromkeys([ANY, *message.labels]))
        self.heard[name] = self.now
        node.slots = {slot["index"]: Slot(node, slot["index"]) for slot in message.slots}
        for slot in node.slots.values():
            self._release(slot)
        node.commands.append(Command("accepted"))
        self.counters["registrations"] += 1
        self._trim_out(node, entry)
        self._dispatch()
        return "ok"

    def heartbeat(self, name: str, entry: str, message: Heartbeat) -> str:
        """A sign of life; what node and store think of its leases is made the same."""
        node = self._node(name)
        verdict = self._advance(node, entry, message.boot)
        if verdict != "ok":
            return verdict
        seen = position(message.commands_seen)
        self._trim_out(node, entry)
        node.commands = [command for command in node.commands if position(command.entry) >= seen]
        if node.state == "down":
            node.state = "up"
            self.heard[name] = position(entry)[0]
            for slot in node.slots.values():
                self._release(slot)
            self.counters["nodes_revived"] += 1
        if message.draining:
            self._draining(node)
        for unit, fence in message.live.items():
            if self._slot_holding(node, unit, fence) is None:
                node.commands.append(Command("cancel", unit, fence))
        for slot in node.slots.values():
            if slot.unit and slot.granted and message.live.get(slot.unit.name) != slot.fence:
                # It has handled the command, and nothing of it runs.
                if position(slot.granted.entry) > seen:
                    continue
                if self._holds(node, slot.unit, slot.fence):
                    self._give_back(slot.unit, "delivery", "unit_lost")
                self._release(slot)
        self._dispatch()
        return "ok"

    def ingest(self, name: str, entry: str, batch: Batch, leads: Sequence[str]) -> tuple[str, int]:
        """``leads`` are observations named by a letter and a digit; the letter is what makes two the same lead."""
        node = self._node(name)
        verdict = self._advance(node, entry, batch.boot)
        if verdict != "ok":
            return verdict, 0
        unit = self._unit(batch.unit)
        if unit is None or not self._holds(node, unit, batch.fence):
            self.counters["stale_writes"] += 1
            return "refused", 0
        if batch.seq <= unit.seq:
            return "repeated", 0
        unit.seq = batch.seq
        self._saw_progress(unit)
        task, accepted, full = unit.task, 0, False
        most = task.new.max_results
        for observation in leads:
            if observation in task.observed:
                continue
            task.observed.add(observation)
            new = observation[0] not in task.leads
            if new and 0 < most <= task.found:
                full = True
                continue
            task.leads.setdefault(observation[0], observation)
            if new:
                task.found += 1
                self.counters["leads"] += 1
                full = 0 < most <= task.found
            task.told.append("result")
            accepted += 1
        task.pages += batch.pages
        self.counters["pages"] += batch.pages
        if batch.pages or accepted:
            task.told.append("progress")
        if full:
            self._end_task(task, "completed", "completed")
            self._dispatch()
        return "ok", accepted

    def unit_end(self, name: str, entry: str, message: UnitEnd) -> str:
        node = self._node(name)
        verdict = self._advance(node, entry, message.boot)
        if verdict != "ok":
            return verdict
        slot = self._slot_holding(node, message.unit, message.fence)
        if slot is None or slot.unit is None:
            self.counters["stale_writes"] += 1
            return "refused"
        unit = slot.unit
        if self._holds(node, unit, message.fence):
            if message.outcome == "completed":
                self._left_running(unit, "completed")
                self._admit(unit.task)
                unit.task.told.append("progress")
                self._derive(unit.task)
            elif message.outcome == "failed":
                self._give_back(unit, "attempt", message.error, retryable=message.retryable)
            else:
                self._give_back(unit, "none", "returned")
        self._release(slot)
        self._dispatch()
        return "ok"

    def slot_change(self, name: str, entry: str, message: SlotChange) -> str:
        node = self._node(name)
        verdict = self._advance(node, entry, message.boot)
        if verdict != "ok":
            return verdict
        slot = node.slots.get(message.slot)
        if slot is None:
            return "refused"
        slot.chrome = "ok" if message.state == "free" else "broken"
        if slot.chrome == "broken":
            self.counters["chromes_lost"] += 1
        if slot.unit is None:
            self._release(slot)
        self._dispatch()
        return "ok"

    def goodbye(self, name: str, entry: str, message: Goodbye) -> str:
        node = self._node(name)
        verdict = self._advance(node, entry, message.boot)
        if verdict != "ok":
            return verdict
        node.state = "down"
        self.heard.pop(name, None)
        self._drop_leases(node, "none", "returned")
        self._trim_out(node, entry)
        self._dispatch()
        return "ok"

    def skip(self, name: str, entry: str) -> str:
        if not self._passes(self._node(name), entry):
            return "applied"
        self.counters["malformed_entries"] += 1
        return "ok"

    def drain(self, name: str) -> str:
        node = self.nodes.get(name)
        if node is None or node.state is None:
            return "unknown"
        if node.state != "up":
            return node.state
        self._draining(node)
        node.commands.append(Command("drain"))
        return "ok"

    # What time brings about ------------------------------------------------------------------------------------------

    def reap(self) -> tuple[int, int, int]:
        reaped = retried = passed = 0
        ttl = self.limits.session_ttl_ms
        for name, heard in sorted(self.heard.items(), key=_by_due):
            if heard > self.now - ttl:
                continue
            node = self.nodes[name]
            written = position(node.out[-1])[0] if node.out else 0
            if written > self.now - ttl:
                self.heard[name] = written
            elif not self._unread(node) or written < self.now - 2 * ttl:
                node.state = "down"
                del self.heard[name]
                self._drop_leases(node, "delivery", "node_lost")
                self.counters["nodes_lost"] += 1
                reaped += 1
        for name, due in sorted(self.retries.items(), key=_by_due):
            if due <= self.now:
                unit = self._unit(name)
                assert unit is not None
                self._enqueue(unit)
                self._derive(unit.task)
                retried += 1
        for name, due in sorted(self.deadlines.items(), key=_by_due):
            if due <= self.now:
                self.deadlines.pop(name, None)
                self._pass(*name.split("|"))
                passed += 1
        self._dispatch()
        return reaped, retried, passed

    def _pass(self, kind: str, name: str, fence: str = "") -> None:
        if kind == "grace":
            node, _, index = name.partition("/")
            slot = self.nodes[node].slots.get(int(index))
            if slot and slot.state == "releasing" and slot.fence == int(fence):
                slot.chrome = "broken"
                self._release(slot)
                self.counters["grace_exceeded"] += 1
        elif kind == "idle":
            unit = self._unit(name)
            if unit and unit.slot and self._unread(unit.slot.node):
                # What would count as progress may stand there.
                self.deadlines[f"idle|{name}"] = self.now + self.limits.idle_again_ms
            elif unit and unit.slot:
                self._reclaim(unit.slot, unit)
                self._give_back(unit, "attempt", "idle_timeout")
        elif self.tasks[name].state not in TERMINAL:
            self._end_task(self.tasks[name], "stopped", "error", f"{'queue' if kind == 'queue' else 'task'}_timeout")

    def _unread(self, node: Node) -> bool:
        return bool(node.out) and position(node.out[-1]) > position(node.cursor or "0-0")

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

    # What can be compared --------------------------------------------------------------------------------------------

    def picture(self) -> dict[str, Any]:
        """The shape is that of ``picture.Picture``."""
        units = {unit.name: unit for task in self.tasks.values() for unit in task.units}
        states = Counter(f"units_{unit.state}" for unit in units.values())
        slots = {slot.name: slot for node in self.nodes.values() for slot in node.slots.values()}
        held = Counter(f"slots_{slot.state}" for slot in slots.values())
        tenants = dict.fromkeys(task.new.tenant for task in self.tasks.values())
        return {
            "tasks": {
                t.name: (t.state, t.paused, t.error, t.found, t.pages, t.told, [u.index for u in t.waiting])
                for t in self.tasks.values()
            },
            "units": {
                u.name: (u.state, u.attempts, u.deliveries, u.slot.name if u.slot else "", u.fence)
                for u in units.values()
            },
            "slots": {s.name: (s.state, s.chrome, s.unit.name if s.unit else "", s.fence) for s in slots.values()},
            "nodes": {n.name: (n.state, n.boot, n.cursor) for n in self.nodes.values() if n.cursor or n.state},
            "heard": dict(self.heard),
            "busy": _filled(
                (n, sorted(s.name for s in slots.values() if s.busy and n in s.node.labels)) for n in ("any", "gpu")
            ),
            "free": _filled((label, [s.name for s in self.free(label)]) for label in ("any", "gpu")),
            "rings": _filled((label, [t for _, t in sorted(ring)]) for label, ring in self.rings.items()),
            "queues": _filled((f"{n}:{t}", [u.name for u in self._queue(n, t)]) for n in self.labels for t in tenants),
            "tenants": {t: (self.running(t), self.backlog(t), self.backlog(t, PENDING)) for t in tenants},
            "counters": {name: n for name, n in (self.counters + states + held).items() if n},
            "deadlines": dict(self.deadlines),
            "retries": dict(self.retries),
            "dead": list(self.dead),
            "leases": list(self.leases),
            "commands": _filled((n.name, [(c.kind, c.unit, c.fence) for c in n.commands]) for n in self.nodes.values()),
            "out": _filled((n.name, list(n.out)) for n in self.nodes.values()),
        }


def _by_due(pair: tuple[str, int]) -> tuple[int, str]:
    return pair[1], pair[0]


def _filled(pairs: Iterator[tuple[str, list[Any]]]) -> Mapping[str, list[Any]]:
    return {name: values for name, values in pairs if values}
