"""What a fault test wrote down: what clients were told, what the store says afterwards, what nodes did.

Two files a run. ``ledger.jsonl`` is appended to while things happen, one JSON object a line, by whoever was told
something and at once, so that a line means that it was really told. ``store.json`` is what Valkey holds when all is
quiet again. ``checker.py`` reads both and nothing else.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, get_args

import orjson
from redis.asyncio import Redis

from fleet.keys import Keys


@dataclass(frozen=True, slots=True)
class Submitted:
    """A client is about to ask for a task under an Idempotency-Key."""

    KIND: ClassVar[str] = "submitted"
    tenant: str
    key: str
    units: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """It was told the id of its task."""

    KIND: ClassVar[str] = "acknowledged"
    tenant: str
    key: str
    task: str


@dataclass(frozen=True, slots=True)
class Refused:
    """It was told that there is no task; ``retry_after`` as the answer said, None without one."""

    KIND: ClassVar[str] = "refused"
    tenant: str
    key: str
    status: int
    retry_after: int | None


@dataclass(frozen=True, slots=True)
class Connected:
    """A viewer (``stream``) connected, to go on behind the event ``after``."""

    KIND: ClassVar[str] = "connected"
    stream: str
    task: str
    after: str


@dataclass(frozen=True, slots=True)
class Told:
    """The viewer got an event."""

    KIND: ClassVar[str] = "told"
    stream: str
    event: str
    type: str


@dataclass(frozen=True, slots=True)
class Gap:
    """The viewer was told that it missed something."""

    KIND: ClassVar[str] = "gap"
    stream: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The store lost what was acknowledged before ``before`` (Unix seconds), and said so with a new epoch."""

    KIND: ClassVar[str] = "lost"
    before: float


@dataclass(frozen=True, slots=True)
class Recovered:
    """Something was as it should be so many seconds after a fault; ``bound_s`` is what it may take."""

    KIND: ClassVar[str] = "recovered"
    what: str
    seconds: float
    bound_s: float


@dataclass(frozen=True, slots=True)
class Sized:
    """What a process, a stream or a queue held, and what it may hold (bytes or entries)."""

    KIND: ClassVar[str] = "sized"
    what: str
    size: float
    bound: float


@dataclass(frozen=True, slots=True)
class Forged:
    """A write was made that must be refused; ``observation`` is what would be seen of it, empty when nothing."""

    KIND: ClassVar[str] = "forged"
    observation: str = ""


@dataclass(frozen=True, slots=True)
class Counted:
    """The store's count of refused writes before the faults."""

    KIND: ClassVar[str] = "counted"
    stale_writes: int


@dataclass(frozen=True, slots=True)
class Ran:
    """A node's own word that it worked on a unit under a fence, in Unix seconds; ``over`` is 0 when it never said."""

    KIND: ClassVar[str] = "ran"
    node: str
    slot: int
    unit: str
    fence: int
    begun: float
    over: float


@dataclass(frozen=True, slots=True)
class Fetched:
    """A site was asked for a page; ``limit`` is how often that may happen."""

    KIND: ClassVar[str] = "fetched"
    url: str
    times: int
    limit: int


@dataclass(frozen=True, slots=True)
class Limited:
    """What a tenant may run at once and submit a day."""

    KIND: ClassVar[str] = "limited"
    tenant: str
    running: int
    units: int


Fact = (
    Submitted
    | Acknowledged
    | Refused
    | Connected
    | Told
    | Gap
    | Lost
    | Recovered
    | Sized
    | Forged
    | Counted
    | Ran
    | Fetched
    | Limited
)
_KINDS: dict[str, Any] = {kind.KIND: kind for kind in get_args(Fact)}


MEASURED: list[Recovered | Sized] = []
"""What all ledgers of this process were told of times and sizes, for the table that ``make faults`` ends with."""


@dataclass(frozen=True, slots=True)
class Line:
    """One fact and when it was written down, in Unix seconds."""

    at: float
    fact: Fact


class Ledger:
    """Appends facts to the file of a run."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._file = (directory / "ledger.jsonl").open("a", buffering=1)

    def note(self, fact: Fact) -> None:
        """Write it down, now."""
        if isinstance(fact, Recovered | Sized):
            MEASURED.append(fact)
        self._file.write(json.dumps({"at": time.time(), "kind": fact.KIND, **asdict(fact)}) + "\n")

    def ran(self, node: str, log: Path) -> None:
        """Take over from a node's log which units it worked on."""
        begun: dict[tuple[str, int], Ran] = {}
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        for line in lines:
            if not line.startswith("{"):
                continue
            said = json.loads(line)
            if said.get("event") not in {"unit_begun", "unit_over"}:
                continue
            at, lease = datetime.fromisoformat(said["timestamp"]).timestamp(), (said["unit"], said["fence"])
            if said["event"] == "unit_begun":
                begun[lease] = Ran(node, said["slot"], *lease, begun=at, over=0)
            elif lease in begun:
                self.note(Ran(**asdict(begun.pop(lease)) | {"over": at}))
        for run in begun.values():
            self.note(run)

    def close(self) -> None:
        self._file.close()


@dataclass
class Run:
    """A finished run, read back."""

    lines: list[Line]
    store: dict[str, Any]

    @classmethod
    def read(cls, directory: Path) -> Run:
        return cls(cls.told(directory), json.loads((directory / "store.json").read_text()))

    @staticmethod
    def told(directory: Path) -> list[Line]:
        """What was written down, without the store's picture."""
        lines = []
        for text in (directory / "ledger.jsonl").read_text().splitlines():
            fields = json.loads(text)
            at, kind = fields.pop("at"), fields.pop("kind")
            lines.append(Line(at, _KINDS[kind](**fields)))
        return lines

    def of(self, kind: type[Any]) -> list[Any]:
        """The facts of one kind, in the order they were written."""
        return [line.fact for line in self.lines if isinstance(line.fact, kind)]


@dataclass
class StorePicture:
    """What Valkey holds of a fleet; see ``take``."""

    tasks: dict[str, dict[str, str]] = field(default_factory=dict)
    """Members of each task."""
    units: dict[str, dict[str, str]] = field(default_factory=dict)
    events: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """By task: id, type, observation (of results) of each event that is still there."""
    seen: dict[str, int] = field(default_factory=dict)
    """By task: how many observations were accepted."""
    results: list[tuple[str, str]] = field(default_factory=list)
    """(task, event) of each entry for the sink that is still there."""
    leases: list[dict[str, str]] = field(default_factory=list)
    """The log of leases."""
    nodes: dict[str, dict[str, str]] = field(default_factory=dict)
    slots: dict[str, dict[str, str]] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)

    @classmethod
    async def take(cls, redis: Redis, keys: Keys) -> StorePicture:
        """Everything, as of about now: take it when all is quiet."""
        picture = cls()
        picture.counters = {name: int(value) for name, value in (await _hash(redis, keys.counters())).items()}
        async for key in redis.scan_iter(match=keys.task("*"), count=1000):
            await picture.add_task(redis, keys, key.decode().rpartition(":")[2])
        found: Any = await redis.xrange(keys.results())
        picture.results = [(fields[b"task"].decode(), fields[b"event"].decode()) for _, fields in found]
        logged: Any = await redis.xrange(keys.leases())
        picture.leases = [lease_entry(entry, fields) for entry, fields in logged]
        for node in await redis.zrange(keys.nodes(), 0, -1):
            name = node.decode()
            picture.nodes[name] = await _hash(redis, keys.node(name))
            for index in picture.nodes[name].get("slots", "").split(","):
                picture.slots[f"{name}/{index}"] = await _hash(redis, keys.slot(f"{name}/{index}"))
        return picture

    async def add_task(self, redis: Redis, keys: Keys, task: str) -> None:
        """One task with its units and events, as it is now."""
        self.tasks[task] = await _hash(redis, keys.task(task))
        for index in range(int(self.tasks[task].get("units", 0))):
            unit = f"{task}.{index}"
            self.units[unit] = await _hash(redis, keys.unit(unit))
        raw: Any = await redis.xrange(keys.events(task))
        self.events[task] = [_event(entry.decode(), fields) for entry, fields in raw]
        self.seen[task] = int(await redis.scard(keys.seen(task)))  # type: ignore[misc]

    def write(self, directory: Path) -> None:
        (directory / "store.json").write_text(json.dumps(asdict(self)))


async def _hash(redis: Redis, key: str | bytes) -> dict[str, str]:
    fields: Any = await redis.hgetall(key)  # type: ignore[misc]
    return {name.decode(): value.decode(errors="replace") for name, value in fields.items()}


def lease_entry(entry: bytes, fields: dict[bytes, bytes]) -> dict[str, str]:
    """An entry of the log of leases, as the picture holds it."""
    return {"id": entry.decode(), **{name.decode(): value.decode() for name, value in fields.items()}}


def _event(entry: str, fields: dict[bytes, bytes]) -> dict[str, str]:
    kind = fields[b"k"].decode()
    observation = orjson.loads(fields[b"d"]).get("observation_id") or "" if kind == "result" else ""
    return {"id": entry, "type": kind, "observation": observation}
