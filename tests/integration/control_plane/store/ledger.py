"""A producer that writes down every observation, two sinks that are killed again and again, and the reckoning.

The sinks are real worker processes; each believes that it holds the lease whenever it can get it, and the lease is
taken away from whoever has it at random instants, so that two hold it at once.
"""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from redis.asyncio import Redis

from control_plane.store import wire
from control_plane.store.options import StoreOptions
from control_plane.store.schema import Position
from control_plane.store.table import ObservationLog
from control_plane.store.wire import Frame
from fleet.cancellation import to_the_end
from fleet.keys import Keys
from tests.integration.control_plane.store.sample import found, lead
from tests.support import POLL_S, wait_until

WORKER = "control_plane.store.worker"
KILLED_AT = "tests.integration.control_plane.store.killed_at"

AT_RANDOM = "at random"
INSTANTS = (
    AT_RANDOM,
    AT_RANDOM,
    "before the commit",
    "in the commit",
    "in the commit",
    "after the commit",
    "after the cursor",
    "in the tidying",
    "after the joining",
)

READY_S = 60  # importing Polars, with every core taken
REACHED_S = 4
"""After this a sink that did not come to its instant is killed where it is."""


class SinkProcess:
    """A store worker without an API process: its sink runs, and it is asked nothing but whether it is there."""

    def __init__(self, options: StoreOptions, *instant: str) -> None:
        ours, its = socket.socketpair()
        module = KILLED_AT if instant else WORKER
        command = [sys.executable, "-m", module, str(its.fileno()), *instant]
        self._process = subprocess.Popen(command, pass_fds=(its.fileno(),), stderr=subprocess.DEVNULL)
        its.close()
        self._socket, self._options = ours, options
        self._writer: asyncio.StreamWriter | None = None

    async def ready(self) -> None:
        """Wait until it works, or has met its end."""
        reader, self._writer = await asyncio.open_connection(sock=self._socket)
        self._writer.write(wire.encode(Frame({"options": self._options.to_json()})))
        self._writer.write(wire.encode(Frame({"id": 1, "op": "health", "args": {}})))
        try:
            async with asyncio.timeout(READY_S):
                await wire.read(reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            assert self._process.wait(READY_S) == -signal.SIGKILL

    async def died(self, within_s: float) -> bool:
        """Whether it met the end that it was told to meet; the other sink may have all the work meanwhile."""
        deadline = time.monotonic() + within_s
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_S)
        assert self._process.returncode == -signal.SIGKILL
        return True

    @property
    def is_dead(self) -> bool:
        return self._process.poll() is not None

    def close(self) -> bool:
        """End it; whether it had met its end by itself."""
        dead = self.is_dead
        if not dead:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        if self._writer is not None:
            self._writer.close()
        else:
            self._socket.close()
        return dead


@dataclass
class Ledger:
    """What was appended, and which ends the sinks met."""

    options: StoreOptions
    redis: Redis
    keys: Keys
    dice: random.Random
    appended: list[str] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    leases_taken: int = 0

    async def run(self, kills: int, instants: Sequence[str] = INSTANTS) -> None:
        """Produce, and kill sinks ``kills`` times; then let one store the rest."""
        ends = [self.dice.choice(instants) for _ in range(kills)]
        async with self._meanwhile(self._produce()), self._meanwhile(self._take_leases()):
            await asyncio.gather(*(self._seat(ends) for _ in range(2)))
        last = SinkProcess(self.options)
        try:
            await last.ready()
            await wait_until(self._is_stored, 120, "the last sink to store what is left")
        finally:
            last.close()

    def stored(self) -> Counter[str]:
        """How often each observation stands in the log, as a reader of its own sees it."""
        log = ObservationLog.of(self.options)
        log.stored()
        rows = log.read(after=Position())
        assert rows.select("stream_ms", "stream_seq").is_unique().all(), "an entry of the stream was stored twice"
        return Counter(rows["observation_id"].to_list())

    async def _seat(self, ends: list[str]) -> None:
        """One sink after the other, each with its end, until no end is left."""
        while ends:
            end = ends.pop()
            chosen = () if end == AT_RANDOM else (end, str(self.dice.randint(0, 2)), str(self.dice.uniform(0, 40)))
            sink = SinkProcess(self.options, *chosen)
            try:
                await sink.ready()
                if end == AT_RANDOM:
                    await asyncio.sleep(self.dice.uniform(0, 0.7))  # the instant of death, no wait
                elif not await sink.died(REACHED_S):
                    end = AT_RANDOM
            finally:
                sink.close()
            self.kills[end] += 1
            if self.kills.total() % 20 == 0:
                print(f"{self.kills.total()} kills, {len(self.appended)} observations", flush=True)

    async def _produce(self) -> None:
        while True:
            burst = range(len(self.appended), len(self.appended) + self.dice.randint(1, 30))
            self.appended += [f"obs_{number:06d}" for number in burst]
            tenant = self.dice.choice(["acme", "globex"])
            # what is written down is on the stream, also when the end comes in between
            await to_the_end(found(self.redis, self.keys, *(lead(number) for number in burst), tenant=tenant))
            await asyncio.sleep(0.05)  # the pace of arrivals

    async def _take_leases(self) -> None:
        while True:
            self.leases_taken += await self.redis.delete(self.keys.sink_lease())
            await asyncio.sleep(self.dice.uniform(0, 0.3))  # the pace of mishaps

    async def _is_stored(self) -> bool:
        await self.redis.delete(self.keys.sink_lease())  # of one that was killed last
        return await self.redis.xlen(self.keys.results()) == 0

    @staticmethod
    @asynccontextmanager
    async def _meanwhile(work: object) -> AsyncIterator[None]:
        task = asyncio.create_task(work)  # type: ignore[arg-type]
        try:
            yield
        finally:
            assert not task.done(), task
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
