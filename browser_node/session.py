"""One registration of the node, from its Register to its end: commands in, messages out, signs of life.

A session that ends for any reason but a drain has lost its units: they are stopped, nothing more is said about
them, and the next session registers under a new boot. Where an egress proxy has to know the node, units come only once
it does: a session that it does not know drains at once and is followed by another one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import redis
import structlog

from browser_node.capture import SlotCapture
from browser_node.commands import BLOCK, read_commands
from browser_node.heartbeat import HeartbeatThread, Liveness
from browser_node.outbox import Outbox
from browser_node.pool import Slot
from browser_node.scraping.types import Services
from browser_node.units import CANCEL, FENCE, HAND_BACK, NO_WAY_OUT, PAUSE, LiveUnit, RunUnit, Stop
from browser_node.way_out import WayOut
from fleet import connect
from fleet.cancellation import end_all
from fleet.clock import Clock
from fleet.errors import FleetError
from fleet.keys import Keys
from fleet.messages import (
    Accepted,
    Anew,
    Cancel,
    Drain,
    Goodbye,
    Heartbeat,
    Input,
    Message,
    Pause,
    Register,
    Run,
    SlotChange,
    Steer,
    Superseded,
    Watch,
)  # fmt: skip
from fleet.model import Outcome, SlotState

ACCEPTED_WITHIN = timedelta(seconds=60)
"""Longer than a control plane takes to start; a registration that a store lost is made again after it."""

GOODBYE_WITHIN = timedelta(seconds=3)
"""A store that is away does not hold up a node that leaves: its session ends by itself."""

REGISTER_AGAIN = timedelta(seconds=5)
"""After a key that the egress proxy does not take: a person who changes its secret takes minutes for it."""

STOPPED_WITHIN = timedelta(seconds=5)
"""FENCE kills after 1 s; closing what is left takes less than this."""

DRAINED = "drained"

log = structlog.get_logger(__name__)


class SupersededError(FleetError):
    """Another process has registered under this node's id."""

    def __init__(self, node: str, by: str) -> None:
        super().__init__(
            f"another process (boot {by}) has registered as node {node!r}: this one stops; "
            "give each node its own LEADFLEET_NODE_ID and state directory"
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where the session takes place: what outlives it."""

    url: str
    keys: Keys
    node: str
    slots: list[Slot]
    captures: list[SlotCapture]
    services: Services
    way_out: WayOut
    run_unit: RunUnit
    clock: Clock


class Session:
    """``run`` returns the reason when the session is over; ``drained`` is set when that was asked for."""

    def __init__(self, place: Place, boot: str, drain_limit: timedelta) -> None:
        self.boot = boot
        self.drained = False
        self.accepted = asyncio.Event()
        self._place, self._drain_limit = place, drain_limit
        self._liveness = Liveness()
        self._units: dict[int, LiveUnit] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._draining = False
        self._offered = not place.way_out.needs_proof
        self._free = asyncio.Event()
        self._free.set()
        self._client = connect.command_client(place.url, name=f"{place.node}-out", max_connections=4)
        self._outbox = Outbox(self._client, place.keys.out(place.node), self._liveness.remove)

    async def run(self, register: Register) -> str:
        """Register, serve, and stop everything that was started. Raises SupersededError."""
        place = self._place
        block = connect.blocking_client(place.url, name=f"{place.node}-commands", block=BLOCK)
        frames = connect.command_client(place.url, name=f"{place.node}-frames", max_connections=len(place.slots) + 1)
        heartbeat = self._heartbeat()
        try:
            self._outbox.send(register)
            self._spawn("outbox", self._write())
            await self._until_over_or(self._outbox.flushed())
            if not self._over.done():
                log.info("registered", node=place.node, boot=self.boot, slots=len(register.slots))
                heartbeat.start()
                self._spawn("commands", self._obey(block))
                self._spawn("accepted", self._insist())
                for slot, capture in zip(place.slots, place.captures, strict=True):
                    self._spawn("capture", capture.run(
                        frames, place.keys.frames(place.node, str(slot.index)), self.boot))  # fmt: skip
            return await self._over
        finally:
            await self._end_units()
            await asyncio.to_thread(heartbeat.stop)
            await end_all(self._tasks)
            for client in (self._client, block, frames):
                with contextlib.suppress(redis.RedisError, OSError):
                    await client.aclose()

    def slot_changed(self, index: int, state: SlotState, port: int) -> None:
        """A slot's Chrome died or is warm again."""
        if self._offered:
            self._outbox.send(SlotChange(self.boot, index, state.value, port))

    @property
    def serves(self) -> bool:
        """Whether units may come."""
        return self.accepted.is_set() and self._offered

    def drain(self) -> None:
        """Take no new units; end the session when the running ones are over or handed back."""
        self._leave(DRAINED, self._drain_limit, HAND_BACK)

    def _leave(self, reason: str, limit: timedelta, stop: Stop) -> None:
        if not self._draining:
            self._draining = True
            self._liveness.drain()
            self._spawn("drain", self._drain(reason, limit, stop))

    def _heartbeat(self) -> HeartbeatThread:
        place, loop = self._place, asyncio.get_running_loop()

        def fenced(reason: str) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the node is gone anyway
                loop.call_soon_threadsafe(self._fenced, reason)

        return HeartbeatThread(
            connect.thread_client(place.url, name=f"{place.node}-heartbeat"),
            place.keys.out(place.node),
            self._beat,
            fenced,
            place.clock,
        )

    def _beat(self) -> Heartbeat:
        return self._liveness.message(self.boot, {"units": len(self._units)})

    def _fenced(self, reason: str) -> None:
        log.error("fenced", reason=reason, units=[unit.order.unit for unit in self._units.values()])
        self._stop_all(FENCE, reason)
        self._end(reason)

    def _end(self, reason: str) -> None:
        if not self._over.done():
            self._over.set_result(reason)

    async def _until_over_or(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        ends: set[asyncio.Future[Any]] = {task, self._over}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        task.cancel()

    def _stop_all(self, stop: Stop, reason: str) -> None:
        for unit in list(self._units.values()):
            unit.stop(stop, reason)

    async def _end_units(self) -> None:
        self._stop_all(FENCE, "the session is over")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._free.wait(), STOPPED_WITHIN.total_seconds())

    async def _write(self) -> None:
        try:
            await self._outbox.run()
        except redis.RedisError as exc:
            self._fenced(f"the store does not know this node any more: {exc}")

    async def _insist(self) -> None:
        try:
            await asyncio.wait_for(self.accepted.wait(), ACCEPTED_WITHIN.total_seconds())
        except TimeoutError:
            self._fenced("the registration was not accepted")

    async def _obey(self, client: redis.asyncio.Redis) -> None:
        try:
            async for position, command in read_commands(
                client, self._place.keys.commands(self._place.node), self.boot
            ):
                self._handle(command)
                self._liveness.seen(position)
        except redis.RedisError as exc:
            self._fenced(f"the store does not know this node any more: {exc}")

    def _handle(self, command: Message) -> None:
        match command:
            case Run() | Cancel() | Pause() | Steer() | Input():
                self._handle_of_unit(command)
            case Accepted():
                log.info("accepted", generation=command.generation)
                self.accepted.set()
                self._spawn("way-out", self._go_out(command.egress_key))
            case Watch(slot=slot):
                if 0 <= slot < len(self._place.captures):
                    self._place.captures[slot].watch(command.seconds, command.quality, command.fps)
            case Drain():
                log.info("drain_commanded")
                self.drain()
            case Anew():
                self._fenced("the store does not know this registration any more")
            case Superseded():
                if not self._over.done():
                    self._stop_all(FENCE, "superseded")
                    self._over.set_exception(SupersededError(self._place.node, command.by))

    def _handle_of_unit(self, command: Message) -> None:
        match command:
            case Run():
                self._run(command)
            case Cancel(unit=unit, fence=fence):
                self._stop_unit(unit, fence, CANCEL)
            case Pause(unit=unit, fence=fence):
                self._stop_unit(unit, fence, PAUSE)
            case Steer(slot=slot, unit=unit):
                if (steered := self._unit_on(slot, unit)) is not None:
                    steered.steer(command.seconds, command.by)
            case Input(slot=slot, unit=unit):
                if (steered := self._unit_on(slot, unit)) is not None:
                    steered.input(command.what, command.data)

    def _run(self, order: Run) -> None:
        self._liveness.add(order.unit, order.fence)
        out = self._outbox.writer(order)
        if not self._offered:  # a control plane of a version that does not know slots which are not offered yet
            self._outbox.send(SlotChange(self.boot, order.slot, SlotState.BROKEN.value))
        free = self._offered and not self._draining and order.slot not in self._units
        if not free or not 0 <= order.slot < len(self._place.slots):
            log.warning("run_returned", unit=order.unit, slot=order.slot)
            out.end(Outcome.RETURNED, "slot_not_free", "the node cannot run the unit on this slot")
            return
        place = self._place
        unit = LiveUnit(
            order, place.slots[order.slot], place.captures[order.slot], place.way_out.slots[order.slot], out,
            place.services, place.run_unit,
        )  # fmt: skip
        self._units[order.slot] = unit
        self._free.clear()
        self._spawn(f"unit-{order.unit}", unit.run(lambda: self._unit_over(order.slot)))

    def _unit_over(self, slot: int) -> None:
        del self._units[slot]
        if not self._units:
            self._free.set()

    def _stop_unit(self, name: str, fence: int, stop: Stop) -> None:
        """What is not running has ended already: its UnitEnd is on the way or the lease was never ours."""
        for unit in self._units.values():
            if (unit.order.unit, unit.order.fence) == (name, fence):
                unit.stop(stop)

    def _unit_on(self, slot: int, name: str) -> LiveUnit | None:
        unit = self._units.get(slot)
        return unit if unit is not None and unit.order.unit == name else None

    async def _go_out(self, key: str) -> None:
        """Offer the slots once the egress proxy knows this node; come in anew, for another key, when it does not, or
        does not any more."""
        way_out = self._place.way_out
        if await way_out.prove(key):
            self._offer()
            await way_out.lost()
        else:
            log.error(
                "unknown_to_egress_proxy", again_in_s=REGISTER_AGAIN.total_seconds(),
                hint="the control plane and the egress proxy need the same LEADFLEET_EGRESS_SECRET",
            )  # fmt: skip
            await asyncio.sleep(REGISTER_AGAIN.total_seconds())
        self._leave("the egress proxy does not know this node, or is away", timedelta(0), NO_WAY_OUT)

    def _offer(self) -> None:
        if not (self._offered or self._draining):
            self._offered = True
            for slot in self._place.slots:
                if slot.port:
                    self.slot_changed(slot.index, SlotState.FREE, slot.port)

    async def _drain(self, reason: str, limit: timedelta, stop: Stop) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._free.wait(), limit.total_seconds())
        self._stop_all(stop, reason)
        await self._free.wait()
        self._outbox.send(Goodbye(self.boot, reason))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._outbox.flushed(), GOODBYE_WITHIN.total_seconds())
        self.drained = reason == DRAINED
        self._end(reason)

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._reap)

    def _reap(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task_failed", task=task.get_name(), error=repr(error), exc_info=error)
            self._fenced(f"a fault of this node's own: {error!r}")
