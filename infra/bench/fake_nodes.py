"""Nodes without a Chrome: they join, beat, take units and tell of pages as real ones do, as fast as they are told to.

For load that two cores could not make with browsers. The control plane cannot tell them from others.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from redis.exceptions import RedisError

from fleet import ids, messages
from fleet.cancellation import end_all
from fleet.connect import Store, blocking_client, command_client
from fleet.keys import Keys
from fleet.messages import (
    Accepted,
    Batch,
    Cancel,
    Frame,
    Goodbye,
    Heartbeat,
    Join,
    Message,
    Pause,
    Register,
    Run,
    UnitEnd,
    Watch,
)
from fleet.model import HEARTBEAT, Outcome

BLOCK = timedelta(seconds=1)
POLL_S = 0.02
WELCOME_S = 60
"""How long a control plane may take to let a node in."""

RETRY_S = 0.2
PROFILES = 20  # as many as a lead may have
JPEG_END = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class Habits:
    """What a unit says: ``pages`` batches, one every ``page_s`` seconds; None: until ``let_go``."""

    pages: int | None = None
    page_s: float = 0.5
    logs: int = 2
    """Log events of a page."""
    log_bytes: int = 100
    leads: int = 0
    """Leads of a page, each another business."""
    lead_bytes: int = 0
    """What each is padded with, at most 40,000."""
    jpeg_bytes: int = 40_000


@dataclass
class _Unit:
    run: Run
    outcome: Outcome = Outcome.COMPLETED
    ended: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class _Node:
    name: str
    boot: str = field(default_factory=ids.new_boot_id)
    position: str = "0-0"
    accepted: asyncio.Event = field(default_factory=asyncio.Event)
    live: dict[str, _Unit] = field(default_factory=dict)
    work: set[asyncio.Task[None]] = field(default_factory=set)
    watched_until: dict[int, float] = field(default_factory=dict)
    filming: dict[int, asyncio.Task[None]] = field(default_factory=dict)


class FakeNodes:
    """Use as an async context manager: inside, all of ``names`` are registered with ``slots`` slots each.

    ``url`` is Valkey's with all rights. ``pictures``: how many were sent, by unit.
    """

    def __init__(self, url: str, keys: Keys, names: Sequence[str], *, slots: int = 1, habits: Habits) -> None:
        self.habits = habits
        self.pictures: dict[str, int] = {}
        self._keys, self._slots = keys, slots
        self._nodes = {name: _Node(name) for name in names}
        self._client: Store = command_client(url, name="fake-nodes")
        self._blocking: Store = blocking_client(url, name="fake-nodes-commands", block=BLOCK)
        self._roles: list[asyncio.Task[None]] = []
        self._gone = asyncio.Event()

    async def __aenter__(self) -> FakeNodes:
        try:
            await asyncio.gather(*(self._enter(node) for node in self._nodes.values()))
            self._roles = [
                asyncio.create_task(self._hear(), name="fake-nodes-commands"),
                asyncio.create_task(self._beat(), name="fake-nodes-heartbeats"),
            ]
            async with asyncio.timeout(WELCOME_S):
                await asyncio.gather(*(node.accepted.wait() for node in self._nodes.values()))
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Units end completed, then the nodes leave."""
        self.let_go()
        with contextlib.suppress(TimeoutError):
            await until(lambda: not self.units)
        try:
            for node in self._nodes.values():
                await self._say(node, Goodbye(node.boot, "the end"))
        finally:
            await self._close()

    @property
    def units(self) -> list[str]:
        """What runs."""
        return [unit for node in self._nodes.values() for unit in node.live]

    def let_go(self) -> None:
        """Have all units end after their next page, those that come as well."""
        self._gone.set()

    async def _close(self) -> None:
        tasks = [*self._roles]
        for node in self._nodes.values():
            tasks += [*node.work, *node.filming.values()]
        await end_all(tasks)
        await self._blocking.aclose()
        await self._client.aclose()

    async def _enter(self, node: _Node) -> None:
        password = hashlib.sha256(node.boot.encode()).hexdigest()
        await self._client.xadd(self._keys.join(), Join(node.name, password, node.boot).to_fields())
        await until(lambda: self._client.zscore(self._keys.known(), node.name))
        slots = [{"index": index, "port": 9_000 + index} for index in range(self._slots)]
        await self._say(node, Register(node.boot, slots, version="fake"))

    async def _hear(self) -> None:
        by_key = {self._keys.commands(node.name).encode(): node for node in self._nodes.values()}
        while True:
            positions = {key: node.position for key, node in by_key.items()}
            try:
                read = await self._blocking.xread(positions, block=BLOCK // timedelta(milliseconds=1))
            except (RedisError, OSError):
                await asyncio.sleep(RETRY_S)
                continue
            for key, entries in read or ():
                node = by_key[key]
                for entry, fields in entries:
                    self._obey(node, messages.parse(fields, messages.COMMANDS))
                    node.position = entry.decode()

    def _obey(self, node: _Node, command: Message) -> None:
        match command:
            case Accepted():
                node.accepted.set()
            case Run():
                unit = node.live[command.unit] = _Unit(command)
                working = asyncio.create_task(self._work(node, unit), name=command.unit)
                node.work.add(working)
                working.add_done_callback(node.work.discard)
            case Cancel() | Pause() if command.unit in node.live:
                unit = node.live[command.unit]
                unit.outcome = Outcome.PAUSED if isinstance(command, Pause) else Outcome.STOPPED
                unit.ended.set()
            case Watch():
                node.watched_until[command.slot] = time.monotonic() + command.seconds
                if command.slot not in node.filming or node.filming[command.slot].done():
                    filming = self._film(node, command.slot, 1 / command.fps)
                    node.filming[command.slot] = asyncio.create_task(filming, name=f"film {node.name}")
            case _:
                pass

    async def _beat(self) -> None:
        while True:
            for node in self._nodes.values():
                with contextlib.suppress(RedisError, OSError):
                    await self._say(node, _heartbeat(node))
            await asyncio.sleep(HEARTBEAT.total_seconds())

    async def _work(self, node: _Node, unit: _Unit) -> None:
        """A unit from its first page to its end."""
        habits, seq = self.habits, 0
        while not unit.ended.is_set():
            seq += 1
            await self._say(node, _page(node, unit.run, seq, habits))
            if seq == habits.pages or self._gone.is_set():
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(habits.page_s):
                    await unit.ended.wait()
        end = UnitEnd(node.boot, unit.run.unit, unit.run.fence, seq + 1, unit.outcome)
        await self._say(node, end)
        del node.live[unit.run.unit]

    async def _film(self, node: _Node, slot: int, interval_s: float) -> None:
        """Pictures that hold their own number, for as long as the slot is watched."""
        while time.monotonic() < node.watched_until[slot]:
            for unit in [name for name, held in node.live.items() if held.run.slot == slot]:
                seq = self.pictures.get(unit, 0) + 1
                jpeg = picture(seq, self.habits.jpeg_bytes)
                at = time.time_ns() // 1_000
                frame = Frame(node.boot, unit, "tab-1", seq, at, 1280, 720, 0.0, 0.0, jpeg)
                with contextlib.suppress(RedisError, OSError):
                    key = self._keys.frames(node.name, str(slot))
                    await self._client.xadd(key, frame.to_fields(), maxlen=1, approximate=False)
                    self.pictures[unit] = seq
            await asyncio.sleep(interval_s)

    async def _say(self, node: _Node, message: Message) -> None:
        await self._client.xadd(self._keys.out(node.name), message.to_fields())


async def until(holds: Callable[[], Any]) -> None:
    """Poll a predicate, plain or async, until it holds; TimeoutError after WELCOME_S."""
    async with asyncio.timeout(WELCOME_S):
        while True:
            found = holds()
            if await found if isinstance(found, Awaitable) else found:
                return
            await asyncio.sleep(POLL_S)


def _heartbeat(node: _Node) -> Heartbeat:
    return Heartbeat(node.boot, {name: unit.run.fence for name, unit in node.live.items()}, node.position)


def picture(seq: int, size: int) -> bytes:
    """As large as a JPEG, beginning and ending like one, and with its number in it."""
    return b"\xff\xd8%012d" % seq + bytes(max(0, size - 16)) + JPEG_END


def number_of(jpeg: bytes) -> int:
    """The number in a ``picture``."""
    return int(jpeg[2:14])


def _page(node: _Node, run: Run, seq: int, habits: Habits) -> Batch:
    text = "x" * habits.log_bytes
    logs = [{"kind": "log", "data": {"message": f"{seq}.{n} {text}", "level": "info"}} for n in range(habits.logs)]
    leads = [_lead(run.unit, seq, number, habits.lead_bytes) for number in range(habits.leads)]
    return Batch(node.boot, run.unit, run.fence, seq, events=logs, results=leads, pages=1, current=run.query)


def _lead(unit: str, seq: int, number: int, padding: int) -> dict[str, Any]:
    name = hashlib.sha256(f"{unit} {seq} {number}".encode()).hexdigest()[:12]
    lead = {
        "display_name": f"Business {name}",
        "website": f"https://{name}.example/",
        "emails": [f"info@{name}.example"],
    }
    if not padding:
        return lead
    profiles = {str(n): f"https://social.example/{n}/{'x' * (padding // PROFILES)}" for n in range(PROFILES)}
    return lead | {"socials": profiles}
