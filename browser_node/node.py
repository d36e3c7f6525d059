"""The agent: composes the egress proxy, the Chromes and a session, one after the other, until it is told to leave."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import structlog

from browser_node import processes, status
from browser_node.capture import SlotCapture
from browser_node.chrome import ChromeSpec, delete
from browser_node.chrome_binary import ChromeBinary, chrome_version
from browser_node.driver import Driver
from browser_node.membership import Membership, own_password
from browser_node.pool import Pool, RecycleAfter, Slot
from browser_node.sandbox import Sandbox, SandboxMissing, probe
from browser_node.scraping.types import Services
from browser_node.session import Place, Session
from browser_node.settings import Settings
from browser_node.units import RunUnit
from browser_node.way_out import WayOut
from fleet import ids
from fleet.addresses import Allowance
from fleet.clock import Clock, SystemClock
from fleet.errors import FleetError
from fleet.keys import Keys
from fleet.messages import Register
from fleet.model import SlotState

WARM_WITHIN = timedelta(seconds=60)
"""Slots that are not warm by then are left out of the registration; a cold disk takes seconds, not minutes."""

AGAIN_AFTER = timedelta(milliseconds=500)
"""Between two sessions, so that a store which refuses us is not asked in a loop."""


class OpenServices(Protocol):
    """Makes what units share: ``scraping.services.open_services``."""

    def __call__(self, is_ours: Callable[[str], bool]) -> AbstractAsyncContextManager[Services]: ...


TEMPORARY = "tmp"
"""In the state directory: temporary files of the node's children, such as Playwright's driver, which leaves them behind
when it is killed with its agent."""

log = structlog.get_logger(__name__)


class StateInUse(FleetError):
    """Another agent runs with the same state directory."""

    def __init__(self, state: Path) -> None:
        super().__init__(f"another node runs with the state directory {state}: give each node its own LEADFLEET_STATE")


class NoChromeStarts(FleetError):
    """Not one slot got warm."""

    def __init__(self) -> None:
        super().__init__(
            f"no Chrome was ready within {WARM_WITHIN.total_seconds():g} s: the log says why each launch failed"
        )


class Node:
    """One agent. `run` returns when it was told to `leave` and has drained."""

    def __init__(
        self,
        settings: Settings,
        chrome: ChromeBinary,
        run_unit: RunUnit,
        open_services: OpenServices,
        clock: Clock | None = None,
    ) -> None:
        self._settings, self._chrome = settings, chrome
        self._run_unit, self._open_services = run_unit, open_services
        self._clock = clock or SystemClock()
        self._keys = Keys(settings.fleet)
        self._leaving = asyncio.Event()
        self._session: Session | None = None
        self._slots: list[Slot] = []

    def leave(self) -> None:
        """Drain and end; harmless when called again."""
        self._leaving.set()
        if self._session is not None:
            self._session.drain()

    async def run(self) -> None:
        """Serve until `leave`. Raises StateInUse, SandboxMissing, NoChromeStarts and session.SupersededError."""
        state = self._settings.state.absolute()
        self._sandbox = await asyncio.to_thread(self._examined)
        with own_state(state):
            left = await asyncio.to_thread(_clean, state)
            if left:
                log.warning("leftovers_killed", processes=left)
            membership = Membership(self._settings.join_url, self._keys, self._settings.node_id, self._password(state))
            allowance = Allowance.parse(self._settings.egress_allow)
            way_out = WayOut(self._settings)
            try:
                await way_out.start()
                pool = self._pool(state, [listener.address for listener in way_out.slots])
                self._slots = pool.slots
                try:
                    pool.start()  # Chromes warm up while the extraction worker does
                    async with (
                        status.telling(state, self._status),
                        self._open_services(allowance.names) as services,
                    ):
                        await self._serve(membership, services, pool, way_out)
                finally:
                    await pool.stop()
            finally:
                await way_out.stop()

    def _status(self) -> status.Status:
        return {
            "ports": [slot.port for slot in self._slots if slot.port],
            "registered": self._session is not None and self._session.serves,
            "sandbox": self._sandbox.name,
        }

    def _password(self, state: Path) -> str:
        given = self._settings.node_password
        return own_password(state / "password") if given is None else given.get_secret_value()

    def _examined(self) -> Sandbox:
        sandbox = probe()
        if not sandbox.works and self._settings.require_sandbox:
            raise SandboxMissing(sandbox.why)
        say = log.info if sandbox.works else log.warning
        say("sandbox", sandbox=sandbox.name, why=sandbox.why)
        return sandbox

    def _pool(self, state: Path, proxies: Sequence[str]) -> Pool:
        """``proxies`` are the egress proxy's ``host:port`` for each slot."""
        settings = self._settings
        recycle = RecycleAfter(settings.recycle_units, settings.recycle_mb << 20)

        def make(index: int, driver: Driver) -> Slot:
            directory = state / "slots" / str(index)
            spec = ChromeSpec(self._chrome.path, proxies[index], self._sandbox.works, str(state))
            return Slot(index, directory, spec, driver, recycle, self._slot_changed, settings.user_agent)

        return Pool(make, settings.slots, state, settings.chrome_mb << 20)

    async def _serve(self, membership: Membership, services: Services, pool: Pool, way_out: WayOut) -> None:
        """Sessions, one after the other, over Chromes that stay warm between them."""
        captures = [SlotCapture() for _ in pool.slots]
        browser = await asyncio.to_thread(chrome_version, self._chrome)
        while await self._unless_leaving(self._warm(pool)):
            boot = ids.new_boot_id()
            if not await self._unless_leaving(membership.enter(boot)):
                return
            place = Place(
                membership.url, self._keys, self._settings.node_id, pool.slots, captures, services,
                way_out, self._run_unit, self._clock,
            )  # fmt: skip
            self._session = session = Session(place, boot, self._settings.drain_limit)
            try:
                reason = await session.run(self._register(boot, browser, pool.slots, offered=not way_out.needs_proof))
            finally:
                self._session = None
            log.info("session_over", reason=reason)
            if session.drained:
                return
            await asyncio.sleep(AGAIN_AFTER.total_seconds())

    def _register(self, boot: str, browser: str, slots: list[Slot], *, offered: bool) -> Register:
        return Register(
            boot=boot,
            slots=[{"index": slot.index, "port": slot.port if offered else 0} for slot in slots if slot.port],
            address=self._settings.address,
            labels=list(self._settings.labels),
            version=_version(),
            browser=browser,
            sandbox=self._sandbox.name,
        )

    def _slot_changed(self, index: int, state: SlotState, port: int) -> None:
        if self._session is not None:
            self._session.slot_changed(index, state, port)

    async def _warm(self, pool: Pool) -> None:
        """All slots warm, or as many as are after `WARM_WITHIN`."""
        waits = [asyncio.create_task(slot.warm()) for slot in pool.slots]
        try:
            await asyncio.wait(waits, timeout=WARM_WITHIN.total_seconds())
        finally:
            for wait in waits:
                wait.cancel()
        if not any(slot.port for slot in pool.slots):
            raise NoChromeStarts

    async def _unless_leaving(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do ``work``; False as soon as the node is told to leave."""
        task = asyncio.create_task(work)
        leaving = asyncio.create_task(self._leaving.wait())
        try:
            await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            return not self._leaving.is_set()
        finally:
            for each in (task, leaving):
                each.cancel()
            await asyncio.gather(task, leaving, return_exceptions=True)


@contextlib.contextmanager
def own_state(state: Path) -> Iterator[None]:
    """The state directory, private and ours alone: what carries its mark belongs to no other live agent."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (state / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise StateInUse(state) from exc
        yield


def _clean(state: Path) -> list[int]:
    """End and delete what an earlier run of this very node left; returns the processes killed."""
    killed = processes.kill_leftovers(state)
    for directory in (*(state / "slots").glob("*"), state / TEMPORARY):
        delete(directory)
    (state / TEMPORARY).mkdir(mode=0o700)
    return killed


def _version() -> str:
    try:
        return metadata.version("leadfleet")
    except metadata.PackageNotFoundError:  # run from a checkout that was not installed
        return "checkout"
