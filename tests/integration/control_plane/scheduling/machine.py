"""A Hypothesis machine that plays clients, operators, nodes, replicas and accidents against the scripts and the model.

After each step the verdict, the whole state, and the order of grants must be what the model says, and the invariants
must hold. The clock is the machine's: ``CLOCK`` stands in front of each script and answers for ``TIME``, so the scripts
themselves run as they are.
"""

from __future__ import annotations

import asyncio
import copy
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from redis.asyncio import Redis

from control_plane.scheduling.limits import Limits
from control_plane.scheduling.scripts import NewTask, Refused, Result, Scripts
from fleet.keys import Keys
from fleet.messages import Batch, Goodbye, Heartbeat, Message, Register, SlotChange, UnitEnd
from tests.integration.control_plane.scheduling.model import Model
from tests.integration.control_plane.scheduling.model_records import Node
from tests.integration.control_plane.scheduling.picture import Picture

T = TypeVar("T")

CLOCK = """
local server = redis
local redis = setmetatable({ call = function(name, ...)
  if name ~= 'TIME' then return server.call(name, ...) end
  local now = server.call('GET', KEYS[1] .. ':test-clock')
  return { string.sub(now, 1, -7), string.sub(now, -6) }
end }, { __index = server })
"""

KEYS = Keys("test")
# Small, so that an example of a few dozen steps reaches each of them.
LIMITS = Limits(
    queue_cap=14, tenant_max_queued=11, tenant_daily_units=30, tenant_max_running=3, idle_ms=40_000, max_attempts=2,
    max_deliveries=2, dispatch_max=2,
)  # fmt: skip
START_MS = 1_767_607_200_000  # a noon: no example lasts until midnight

NODES = {"red": ["gpu"], "green": [], "blue": []}
TENANTS = st.sampled_from(["acme", "zeta"])
NODE = st.sampled_from(list(NODES))
RECENT = st.integers(0, 5)
"""Which of the things that were made, counted from the newest."""
MOSTLY = st.sampled_from([True, True, True, True, True, False])
RARELY = MOSTLY.map(lambda usual: not usual)
WRONG = st.sampled_from(["", "", "", "", "", "fence", "node", "boot"])

TASK = st.fixed_dictionaries({
    "tenant": TENANTS,
    "units": st.integers(1, 4),
    "label": st.sampled_from(["any", "any", "gpu"]),
    "priority": st.sampled_from([5, 5, 9]),
    "max_parallel": st.integers(1, 3),
    "max_results": st.sampled_from([0, 0, 2]),
    "timeout_ms": st.sampled_from([0, 30_000]),
    "queue_timeout_ms": st.sampled_from([0, 20_000]),
    "idempotency": st.sampled_from(["", "", "", "one", "two"]),
    "body": st.sampled_from(["same", "same", "other"]),
})  # fmt: skip


def now_and_then(fleet: Fleet) -> bool:
    """Accidents leave room for work between them."""
    return fleet.steps > 6 * fleet.accidents


@dataclass
class Driver:
    """What all examples share: one loop, one server, the scripts as two replicas have them loaded."""

    loop: asyncio.AbstractEventLoop
    client: Redis
    sources: Mapping[str, str]

    def __post_init__(self) -> None:
        self.replicas = [Scripts(self.client, KEYS, LIMITS, sources=self.sources) for _ in range(2)]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)


@dataclass(frozen=True)
class Lease:
    node: str
    boot: str
    unit: str
    fence: int


class Fleet(RuleBasedStateMachine):
    """Two tenants, three nodes of two slots, two replicas."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self.driver, self.model = driver, Model(LIMITS)
        self.now_ms, self.entries = START_MS, 0
        self.steps, self.accidents = 0, 0
        self.boots = dict.fromkeys(NODES, 0)
        self.said: defaultdict[str, list[tuple[str, Message | None, list[str]]]] = defaultdict(list)
        self.undelivered: defaultdict[str, list[int]] = defaultdict(list)
        self.sequences: defaultdict[Lease, int] = defaultdict(int)
        self.granted: list[Lease] = []
        self.tasks: list[tuple[str, str]] = []
        self.saved: tuple[list[tuple[bytes, int, bytes]], Model] | None = None
        driver.run(driver.client.flushall())
        self._tick(0)

    @initialize(nodes=st.sampled_from([3, 3, 3, 1]), tasks=st.lists(TASK, min_size=1, max_size=4))
    def begin(self, nodes: int, tasks: list[dict[str, Any]]) -> None:
        for node in list(NODES)[:nodes]:
            self._start(node)
        for fields in tasks:
            self._submit(**fields)

    # What clients ask ------------------------------------------------------------------------------------------------

    @rule(fields=TASK)
    def submit(self, fields: dict[str, Any]) -> None:
        self._submit(**fields)

    def _submit(self, *, tenant: str, units: int, **fields: Any) -> None:
        self._tick()
        self.entries += 1
        addresses = [("website", f"http://{i}.test/") for i in range(units)]
        new = NewTask(tenant, f"tsk_{self.entries}", addresses, options="{}", spec="{}", **fields)
        answer = self.driver.run(self.driver.replicas[0].submit(new))
        if isinstance(answer, Refused):
            said: tuple[str, ...] = (answer.reason,)
        else:
            said = ("replayed" if answer.replayed else "ok", answer.task)
            self.tasks.append((tenant, answer.task))
        self._same(said, self.model.submit(new))

    @rule(which=RECENT, order=st.sampled_from(["stop", "pause", "pause", "resume", "resume"]), other=RARELY)
    def control(self, which: int, order: str, other: bool) -> None:
        self._tick()
        tenant, name = self._recent(self.tasks, which) or ("acme", "tsk_0")
        tenant = "somebody" if other else tenant
        answer = self.driver.run(getattr(self.driver.replicas[0], order)(tenant, name))
        self._same(answer.verdict, getattr(self.model, order)(tenant, name))

    @rule(which=RECENT)
    def position(self, which: int) -> None:
        found = self._recent(self.tasks, which)
        if found:
            self._same(self.driver.run(self.driver.replicas[0].position(*found)), self.model.position(*found))

    # What operators and time do --------------------------------------------------------------------------------------

    @precondition(now_and_then)
    @rule(node=NODE)
    def drain(self, node: str) -> None:
        self.accidents += 1
        self._tick()
        self._same(self.driver.run(self.driver.replicas[0].drain(node)), self.model.drain(node))

    @rule(seconds=st.sampled_from([1, 3, 10, 21, 45]), reaps=st.integers(1, 2))
    def time_passes(self, seconds: int, reaps: int) -> None:
        self._tick(seconds * 1000)
        for _ in range(reaps):
            done = self.driver.run(self.driver.replicas[0].reap())
            self._same((done.nodes, done.retries, done.deadlines), self.model.reap())

    @rule()
    def save(self) -> None:
        """A copy of the data, as the store's own files are one."""
        self.saved = self.driver.run(self._dump()), copy.deepcopy(self.model)

    @precondition(now_and_then)
    @rule(rewound=MOSTLY, noticed=MOSTLY)
    def store_loses_data(self, rewound: bool, noticed: bool) -> None:
        """All of it, or what was written since a copy was made. Nodes that have ``noticed`` register again."""
        self.accidents += 3
        before = [] if self.saved is None or not rewound else self.saved[0]
        self.model = copy.deepcopy(self.saved[1]) if self.saved is not None and rewound else Model(LIMITS)
        self.driver.run(self._restore(before))
        self._tick()
        self._same(None, None)
        for node in NODES if noticed else ():
            self._start(node, again=True)

    # What nodes say --------------------------------------------------------------------------------------------------

    @precondition(now_and_then)
    @rule(node=NODE, again=RARELY, impostor=RARELY, slots=st.sampled_from([1, 2, 2]))
    def start(self, node: str, again: bool, impostor: bool, slots: int) -> None:
        """A node process begins; ``again``: its registration is repeated, as after the loss of the store."""
        self.accidents += 1
        self._start(node, again=again, password="stolen" if impostor else "own", slots=slots)

    def _start(self, node: str, *, again: bool = False, password: str = "own", slots: int = 2) -> None:
        self._tick()
        joined = self.driver.run(self.driver.replicas[0].join(node, password, "0-1"))
        self._same(joined, self.model.join(node, password))
        if joined:
            self.boots[node] += not again
            ports = [{"index": i, "port": 9000 + i} for i in range(slots)]
            self._say(node, Register(self._boot(node), ports, labels=NODES[node]))
            self._deliver(node)

    @rule(node=NODE, forgets=RARELY, invents=RECENT, behind=st.integers(0, 2), old=RARELY, draining=RARELY, read=MOSTLY)
    def heartbeat(self, node: str, forgets: bool, invents: int, behind: int, old: bool, draining: bool,
                  read: bool) -> None:  # fmt: skip
        """``behind``: commands it has not handled yet; ``forgets``: it lost what it should run."""
        self._tick()
        known = self._node(node)
        commands = known.commands[: len(known.commands) - behind]
        seen = commands[-1].entry if commands else "0-0"
        live = {} if forgets else {c.unit: c.fence for c in commands if c.kind == "run"}
        live |= {s.unit.name: s.fence for s in known.slots.values() if s.unit and not forgets}
        invented = self._recent(self.granted, invents)
        if invented and invents == 0:
            live[invented.unit] = invented.fence
        self._say(node, Heartbeat(self._boot(node, old=old), live, seen, draining=draining))
        if read:
            self._deliver(node)

    @rule(which=RECENT, letters=st.lists(st.sampled_from(["a1", "a2", "b1", "c1", "c2"]), max_size=3, unique=True),
          pages=st.integers(0, 2), again=RARELY, wrong=WRONG, read=MOSTLY)  # fmt: skip
    def batch(self, which: int, letters: list[str], pages: int, again: bool, wrong: str, read: bool) -> None:
        lease = self._lease(which)
        if lease:
            self._tick()
            self.sequences[lease] += not again
            node, boot, fence = self._writer(lease, wrong)
            self._say(node, Batch(boot, lease.unit, fence, self.sequences[lease], pages=pages), letters)
            if read:
                self._deliver(node)

    @rule(which=RECENT, outcome=st.sampled_from(["completed", "completed", "failed", "failed", "paused", "returned"]),
          reason=st.sampled_from(["page_failed", "chrome_died"]), final=RARELY, wrong=WRONG, read=MOSTLY)  # fmt: skip
    def unit_end(self, which: int, outcome: str, reason: str, final: bool, wrong: str, read: bool) -> None:
        lease = self._lease(which)
        if lease:
            self._tick()
            node, boot, fence = self._writer(lease, wrong)
            error = reason if outcome == "failed" else ""
            self._say(node, UnitEnd(boot, lease.unit, fence, 99, outcome, error=error, retryable=not final))
            if read:
                self._deliver(node)

    @rule(node=NODE, slot=st.sampled_from([0, 1, 0, 1, 7]), lives=st.booleans(), old=RARELY)
    def chrome(self, node: str, slot: int, lives: bool, old: bool) -> None:
        self._tick()
        self._say(node, SlotChange(self._boot(node, old=old), slot, "free" if lives else "broken", 9001))
        self._deliver(node)

    @precondition(now_and_then)
    @rule(node=NODE, old=RARELY)
    def goodbye(self, node: str, old: bool) -> None:
        self.accidents += 1
        self._tick()
        self._say(node, Goodbye(self._boot(node, old=old), "bye"))
        self._deliver(node)

    @precondition(now_and_then)
    @rule(node=NODE)
    def garbage(self, node: str) -> None:
        self.accidents += 1
        self._tick()
        self._say(node, None)
        self._deliver(node)

    # What replicas do with it ----------------------------------------------------------------------------------------

    @rule(node=NODE, which=RECENT, racing=st.booleans())
    def read(self, node: str, which: int, racing: bool) -> None:
        """An entry is applied that was not yet, in order or not, by one replica or by two at once."""
        waiting = self.undelivered[node]
        if waiting:
            self._tick()
            self._apply(node, waiting.pop(which % len(waiting) if which > 3 else 0), 2 if racing else 1)

    @rule(node=NODE, which=RECENT)
    def read_again(self, node: str, which: int) -> None:
        """A replica that was late applies what another one applied long ago."""
        if self.said[node]:
            self._tick()
            self._apply(node, max(0, len(self.said[node]) - 1 - which), 1)

    # The machine -----------------------------------------------------------------------------------------------------

    def _say(self, node: str, message: Message | None, leads: list[str] | None = None) -> None:
        self.entries += 1
        entry = f"{self.now_ms}-{self.entries}"
        self.driver.run(self.driver.client.xadd(KEYS.out(node), {"k": "any"}, id=entry))
        self.model.write(node, entry)
        self.undelivered[node].append(len(self.said[node]))
        self.said[node].append((entry, message, leads or []))

    def _deliver(self, node: str) -> None:
        """All that waits, in order, as a replica reads it."""
        while self.undelivered[node]:
            self._apply(node, self.undelivered[node].pop(0), 1)

    def _apply(self, node: str, index: int, replicas: int) -> None:
        entry, message, leads = self.said[node][index]

        async def race() -> list[Any]:
            return list(
                await asyncio.gather(
                    *(_said(each, node, entry, message, leads) for each in self.driver.replicas[:replicas])
                )
            )

        verdicts = self.driver.run(race())
        expected = [_modelled(self.model, node, entry, message, leads) for _ in range(replicas)]
        # Which of two that race comes first is not decided; that the other one does nothing is.
        self._same(sorted(map(str, verdicts)), sorted(map(str, expected)))

    def _same(self, answer: object, expected: object) -> None:
        """The answer, and all that stands in the store, is what the model says."""
        self.steps += 1
        assert answer == expected, f"the store says {answer}, the model {expected}"
        picture = self.driver.run(Picture.take(self.driver.client, KEYS, without={"test-clock"}))
        stored, modelled = picture.comparable(), self.model.picture()
        different = {part: (stored[part], modelled[part]) for part in modelled if stored[part] != modelled[part]}
        assert not different, f"stored, modelled: {different}"
        violations = list(picture.violations())
        assert not violations, violations
        self._learn(picture)

    def _learn(self, picture: Picture) -> None:
        """Ids of commands are the store's; what was granted, nodes will speak about. No fence comes twice, ever."""
        for name, node in self.model.nodes.items():
            for command, (entry, _) in zip(node.commands, picture.streams.get(f"n:{name}:commands", []), strict=True):
                if command.entry:
                    continue
                command.entry = entry
                if command.kind == "run":
                    last = self.granted[-1].fence if self.granted else 0
                    fences = [lease.fence for lease in self.granted]
                    assert command.fence not in fences, f"fence {command.fence} was issued before {last}"
                    self.granted.append(Lease(name, node.boot or "", command.unit, command.fence))

    def _tick(self, milliseconds: int = 1) -> None:
        self.now_ms += milliseconds
        self.model.now_us = self.now_ms * 1000
        self.driver.run(self.driver.client.set(f"{KEYS.root}:test-clock", self.now_ms * 1000))

    def _lease(self, which: int) -> Lease | None:
        """One that lives, mostly; else one that was granted some time."""
        live = [
            Lease(node.name, node.boot or "", slot.unit.name, slot.fence)
            for node in self.model.nodes.values()
            for slot in node.slots.values()
            if slot.unit
        ]
        return live[which % len(live)] if live and which < 5 else self._recent(self.granted, which)

    def _writer(self, lease: Lease, wrong: str) -> tuple[str, str, int]:
        """Node, boot and fence of who writes about a lease, with one of them ``wrong`` (or none)."""
        names = list(NODES)
        node = names[names.index(lease.node) - 1] if wrong == "node" else lease.node
        return node, self._boot(node, old=wrong == "boot"), lease.fence + (wrong == "fence")

    def _boot(self, node: str, *, old: bool = False) -> str:
        return f"{node}-{self.boots[node] - old}"

    def _node(self, name: str) -> Node:
        return self.model.nodes.get(name) or Node(name)

    def _recent(self, made: list[T], which: int) -> T | None:
        return made[-1 - which % len(made)] if made else None

    async def _dump(self) -> list[tuple[bytes, int, bytes]]:
        """Each key with its time to live (ms, 0 for none) and its value."""
        client = self.driver.client
        names = [name async for name in client.scan_iter()]
        return [(name, max(0, await client.pttl(name)), await client.dump(name)) for name in names]

    async def _restore(self, data: list[tuple[bytes, int, bytes]]) -> None:
        await self.driver.client.flushall()
        for name, ttl, value in data:
            await self.driver.client.restore(name, ttl, value)


async def _said(
    scripts: Scripts, node: str, entry: str, message: Message | None, leads: list[str]
) -> str | tuple[str, int]:
    if message is None:
        return await scripts.skip(node, entry)
    if isinstance(message, Batch):
        found = [Result(f"obs_{lead}", f"led_{lead}", [f"phone:{lead[0]}"], b'{"name":"x"}') for lead in leads]
        return await scripts.ingest(node, entry, message, [], found)
    call: Callable[..., Coroutine[Any, Any, str]] = getattr(scripts, _method(message))
    return await call(node, entry, message)


def _modelled(model: Model, node: str, entry: str, message: Message | None, leads: list[str]) -> str | tuple[str, int]:
    if message is None:
        return model.skip(node, entry)
    if isinstance(message, Batch):
        return model.ingest(node, entry, message, leads)
    call: Callable[..., str] = getattr(model, _method(message))
    return call(node, entry, message)


def _method(message: Message) -> str:
    return {"register": "register", "heartbeat": "heartbeat", "unit_end": "unit_end", "slot": "slot_change",
            "goodbye": "goodbye"}[message.KIND]  # fmt: skip
