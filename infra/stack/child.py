"""One supervised process: tied to its supervisor, restarted when it crashes, ended with everything it started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from browser_node.launcher import tied
from infra.stack.errors import ChildFailed, StackError

RESTART_FIRST_S = 0.2  # a crash is usually alone: be back before anybody has noticed
RESTART_LIMIT_S = 30.0  # a part that cannot start must not keep a core busy with trying
RESTART_FORGET_S = 60.0  # having run this long, the next crash counts as the first
LEAVE_WITHIN = timedelta(seconds=60)  # a node's units have 30 s to end, and seconds more to be handed back


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What to run. ``environment`` is the whole of it, not an addition to ours."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    grace: timedelta
    """From SIGTERM to SIGKILL; how long this program may take to end in order."""
    on_start: Callable[[], Awaitable[None]]
    """Runs after every start, the restarts included: what has to be there before others may use the child."""
    directory: Path
    """Where it runs; our packages are found from there even when they are not installed."""


class Child:
    """A process of the stack. `start`, then `supervise`, then `stop`; `kill` is a crash made on purpose."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.restarts = 0
        self.ready = False
        """Whether it runs and ``on_start`` is through."""
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the process and return when ``on_start`` is through; raises what ``on_start`` raises."""
        self.ready = False
        # a session of its own: the terminal's Ctrl-C reaches the supervisor alone, which knows the order
        with self.spec.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *tied(self.spec.command, signal.SIGTERM),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.spec.environment),
                cwd=self.spec.directory,
                start_new_session=True,
            )
        await self.spec.on_start()
        self.ready = True

    def supervise(self) -> None:
        """From now on start the process again whenever it ends by itself."""
        self._supervisor = asyncio.create_task(self._keep_running(), name=f"supervise {self.name}")

    def check(self) -> None:
        """Raise `ChildFailed` when it has ended; for whoever waits until it is ready."""
        if not self.running:
            status = None if self._process is None else self._process.returncode
            raise ChildFailed(self.name, status, self.spec.log)

    def kill(self) -> None:
        """SIGKILL to the process alone, as a crash: what it started stays, and `supervise` brings it back."""
        if self._process is not None and self.running:
            self._process.kill()

    async def lose(self) -> None:
        """SIGKILL to the process alone, and no supervisor that brings it back."""
        await self._leave_alone()
        self.kill()
        if self._process is not None:
            await self._process.wait()

    async def crash(self) -> None:
        """SIGKILL to the process alone, and at once a new start; returns once it is ready, and supervised.

        For crashes that follow each other: a supervisor waits longer before each.
        """
        await self.lose()
        await self.start()
        self.supervise()

    async def renew(
        self, directory: Path, hurry: asyncio.Event, leave: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """End it in order and start it again with the code in ``directory``. ``leave`` asks it to end by itself."""
        supervised = self._supervisor is not None
        await self._leave_alone()
        if leave is not None and self._process is not None:
            await leave()
            await _first_of(self._process.wait(), hurry.wait(), timeout=LEAVE_WITHIN)
        await self.stop(hurry)
        self.spec = replace(self.spec, directory=directory)
        await self.start()
        if supervised:
            self.supervise()

    async def stop(self, hurry: asyncio.Event) -> None:
        """End it for good: SIGTERM; SIGKILL to its whole group after its grace, or once ``hurry`` is set."""
        await self._leave_alone()
        if self._process is None:
            return
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            await _first_of(self._process.wait(), hurry.wait(), timeout=self.spec.grace)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        self._process = None

    async def _leave_alone(self) -> None:
        """Supervise it no longer."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor
            self._supervisor = None

    async def _keep_running(self) -> None:
        delay = RESTART_FIRST_S
        while True:
            assert self._process is not None
            started = time.monotonic()
            await self._process.wait()
            self.ready = False
            if time.monotonic() - started > RESTART_FORGET_S:
                delay = RESTART_FIRST_S
            await asyncio.sleep(delay)
            delay = min(delay * 2, RESTART_LIMIT_S)
            self.restarts += 1
            # a failed restart is in the child's log, and is tried again after the next, longer delay
            with contextlib.suppress(StackError, OSError):
                await self.start()


async def _first_of(*waits: Awaitable[object], timeout: timedelta) -> None:
    """Return when any of ``waits`` is through or ``timeout`` has passed."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=timeout.total_seconds(), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
