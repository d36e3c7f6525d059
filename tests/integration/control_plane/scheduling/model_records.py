"""What the model of scheduling is made of: tasks, units, nodes and slots as plain records."""

from __future__ import annotations

from dataclasses import dataclass, field

from control_plane.scheduling.scripts import NewTask

TERMINAL = {"stopped", "completed", "error"}
BACKLOG = ("waiting", "queued", "retrying", "paused")

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
