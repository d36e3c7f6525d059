"""The rules of scheduling, said plainly: what the Lua scripts do, with lists and dicts instead of a store.

One method a script, with the script's verdict as its result. Times are ms of the store's clock. ``picture`` is what of
it can be compared with a store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from control_plane.scheduling.scripts import ANY, NewTask
from fleet.messages import Batch, Goodbye, Heartbeat, Register, SlotChange, UnitEnd
from tests.integration.control_plane.scheduling.model_records import (
    BACKLOG,
    TERMINAL,
    Command,
    Slot,
    Task,
    Unit,
    position,
)
from tests.integration.control_plane.scheduling.model_rules import Rules

PENDING = ("waiting", "queued")


class Model(Rules):
    """A fleet."""

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
        if verdict == "stale" and not node.boot:
            node.commands = [Command("anew")]  # all that it can be told: no life of it is known
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

    # What can be compared --------------------------------------------------------------------------------------------

    def picture(self) -> dict[str, Any]:
        """The shape is that of ``picture.Picture``."""
        units = {unit.name: unit for task in self.tasks.values() for unit in task.units}
        states = Counter(f"units_{unit.state}" for unit in units.values())
        slots = {slot.name: slot for node in self.nodes.values() for slot in node.slots.values()}
        states.update(f"slots_{slot.state}" for slot in slots.values())
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
            "counters": {name: n for name, n in (self.counters + states).items() if n},
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
