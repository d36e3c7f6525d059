"""A whole stack under faults: clients that write down what they are told, and hands to hurt its parts from outside."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from fleet.cancellation import end_all
from fleet.keys import Keys
from infra.stack.child import Child
from infra.stack.options import Options, Programs
from infra.stack.stack import Stack
from tests.faults.checker import Violation, check
from tests.faults.ledger import (
    Acknowledged,
    Connected,
    Counted,
    Gap,
    Ledger,
    Recovered,
    Refused,
    Run,
    StorePicture,
    Submitted,
    Told,
)
from tests.faults.viewers import Transport, over_socket
from tests.stacks import TERMINAL
from tests.support import wait_until

TERMINAL_EVENTS = {"task_completed", "task_error", "task_stopped"}
TENANT = "default"
ANSWER_S = 10
"""How long a client waits for one answer."""
RETRY_S = 0.1
CHROMELESS = Programs(node=(sys.executable, "-m", "tests.fakes.chromeless_node"))
"""For tests in which the browser is not what fails."""
SLACK = float(os.environ.get("LEADFLEET_FAULT_SLACK", "3"))
"""What the bounds of the design are multiplied with: tests share their two cores with whatever else runs there."""


@dataclass
class FaultyFleet:
    """``stack`` and its clients; all they are told goes to ``ledger``."""

    stack: Stack
    ledger: Ledger
    session: aiohttp.ClientSession
    redis: Redis
    keys: Keys
    connected: dict[str, int] = field(default_factory=dict)
    """The replica of each viewer that is connected."""
    retry_s: dict[str, float] = field(default_factory=dict)
    """When each viewer was told to come back, should it lose its replica."""
    _names: Counter[str] = field(default_factory=Counter)
    _viewers: set[asyncio.Task[Any]] = field(default_factory=set)

    # Clients -------------------------------------------------------------------------------------------------------

    async def ask(self, method: str, path: str, body: Any = None, replica: int = 0, **headers: str) -> tuple[int, Any]:
        """One call: its status and JSON. Raises what aiohttp raises."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        url = self.stack.urls[replica] + path
        async with self.session.request(method, url, json=body, headers=headers, timeout=timeout) as answer:
            return answer.status, await answer.json(content_type=None) | {"headers": dict(answer.headers)}

    async def insist(self, method: str, path: str, body: Any = None, *, limit_s: float = 60, **headers: str) -> Any:
        """The answer of whichever replica gives one; neither 503 nor a dead replica is an answer to this client."""
        replica = 0
        deadline = time.monotonic() + limit_s
        while True:
            try:
                status, answer = await self.ask(method, path, body, replica, **headers)
            except (aiohttp.ClientError, TimeoutError):
                status, answer = 0, None
            if status and status < 500:
                assert status < 400, (method, path, status, answer)
                return answer
            assert time.monotonic() < deadline, f"{method} {path} was not answered in {limit_s:g} s: {status} {answer}"
            replica = (replica + 1) % len(self.stack.urls)
            await asyncio.sleep(RETRY_S)

    async def submit(self, *queries: str, key: str, replica: int = 0, platform: str = "website", **options: Any) -> str:
        """Ask for a task under ``key`` until it is acknowledged, on every replica in turn; its id."""
        body = {"queries": list(queries), "platforms": [platform], **options}
        self.ledger.note(Submitted(TENANT, key, len(queries)))
        headers = {"Idempotency-Key": key}
        answer = await self.insist("POST", "/api/scraper/start", body, **headers)
        task: str = answer["task_id"]
        self.ledger.note(Acknowledged(TENANT, key, task))
        return task

    async def try_to_submit(self, *queries: str, key: str, replica: int = 0, **options: Any) -> tuple[int, Any]:
        """Ask once; the status and the answer, which is written down."""
        body = {"queries": list(queries), "platforms": ["website"], **options}
        self.ledger.note(Submitted(TENANT, key, len(queries)))
        status, answer = await self.ask("POST", "/api/scraper/start", body, replica, **{"Idempotency-Key": key})
        if status < 300:
            self.ledger.note(Acknowledged(TENANT, key, answer["task_id"]))
        else:
            after = answer["headers"].get("Retry-After")
            self.ledger.note(Refused(TENANT, key, status, int(after) if after else None))
        return status, answer

    async def status(self, task: str) -> dict[str, Any]:
        state: dict[str, Any] = await self.insist("GET", f"/api/scraper/status/{task}")
        return state

    async def until(
        self, task: str, predicate: Callable[[dict[str, Any]], bool], what: str, limit_s: float = 90
    ) -> Any:
        """The first state of a task of which ``predicate`` holds."""

        async def reached() -> dict[str, Any] | None:
            state = await self.status(task)
            return state if predicate(state) else None

        found: dict[str, Any] = await wait_until(reached, limit_s, f"{task}: {what}")  # type: ignore[assignment]
        return found

    async def ended(self, *tasks: str, limit_s: float = 150) -> list[dict[str, Any]]:
        """The final states."""
        return [await self.until(task, lambda state: state["status"] in TERMINAL, "its end", limit_s) for task in tasks]

    def watch(
        self, task: str, replica: int = 0, transport: Transport = over_socket, *, patient: bool = False
    ) -> asyncio.Task[list[dict[str, Any]]]:
        """A viewer that sees a task from its first event to its end, over as many connections as it takes.

        It goes to the next replica when one is gone: at once, or when it was told to if ``patient``. The result: all
        events it was told.
        """
        self._names[task] += 1
        name = f"{task}#{self._names[task]}"
        viewer = asyncio.create_task(self._watch(name, task, replica, transport, patient), name=f"watch {name}")
        self._viewers.add(viewer)
        viewer.add_done_callback(self._viewers.discard)
        return viewer

    async def _watch(
        self, stream: str, task: str, replica: int, transport: Transport, patient: bool
    ) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        after = "0-0"
        while not events or events[-1]["type"] not in TERMINAL_EVENTS:
            told = transport(self.session, self.stack.urls[replica], task, after)
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with contextlib.aclosing(told):
                    async for event in told:
                        if event["type"] == "connected":
                            self.ledger.note(Connected(stream, task, after))
                            self.connected[stream] = replica
                            self.retry_s[stream] = event["retry_ms"] / 1000
                        elif event["type"] == "gap":
                            self.ledger.note(Gap(stream))
                        else:
                            self.ledger.note(Told(stream, event["id"], event["type"]))
                            events.append(event)
                            after = event["id"]
                            if event["type"] in TERMINAL_EVENTS:
                                break
            self.connected.pop(stream, None)
            if not events or events[-1]["type"] not in TERMINAL_EVENTS:
                replica = (replica + 1) % len(self.stack.urls)
                await asyncio.sleep(self.retry_s.get(stream, RETRY_S) if patient else RETRY_S)
        return events

    def viewers_of(self, replica: int) -> int:
        """How many viewers are connected to a replica."""
        return sum(at == replica for at in self.connected.values())

    async def leave(self) -> None:
        """End the viewers that a failed test left."""
        await end_all(self._viewers)

    # Hands ---------------------------------------------------------------------------------------------------------

    def pid(self, child: str) -> int:
        """Of a part of the stack that runs."""
        pid = self.stack.children[child].pid
        assert pid is not None, f"{child} does not run"
        return pid

    def browsers(self, node: str, slot: int | None = None) -> list[psutil.Process]:
        """The browser processes of a node (or of a slot), without their children, whoever their parent is by now."""
        mark = f"/{self.stack.state.node(node).name}/" + ("" if slot is None else f"slots/{slot}/")
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                command = " ".join(process.cmdline())
                ours = str(self.stack.state.path) in command and mark in command
                if ours and "--remote-debugging-port" in command and "--type=" not in command:
                    found.append(process)
        return found

    async def at_work(self, node: str | None = None) -> tuple[str, int, str]:
        """A slot that is leased: its node, its index, its unit."""

        async def leased() -> tuple[str, int, str] | None:
            slots = (await self.insist("GET", "/api/fleet/slots"))["slots"]
            for slot in slots:
                if slot["state"] == "leased" and node in (None, slot["node_id"]):
                    name = f"{slot['node_id']}/{slot['index']}" if "index" in slot else slot["slot_id"]
                    fields: Any = await self.redis.hgetall(self.keys.slot(name))  # type: ignore[misc]
                    if b"unit" in fields:
                        return slot["node_id"], int(name.rpartition("/")[2]), fields[b"unit"].decode()
            return None

        found: tuple[str, int, str] = await wait_until(leased, 60, "a slot to be leased")
        return found

    async def fill(self, *queries: str, key: str) -> tuple[str, dict[str, str]]:
        """A task with as many units as the fleet has slots, all of them running: its id, and the unit of each slot."""
        task = await self.submit(*queries, key=key, max_parallel=len(queries))

        async def all_leased() -> dict[str, str] | None:
            slots = (await self.insist("GET", "/api/fleet/slots"))["slots"]
            running = {slot["slot_id"]: slot["unit"] for slot in slots if slot["unit"] and slot["task_id"] == task}
            return running if len(running) == len(queries) else None

        running: dict[str, str] = await wait_until(all_leased, 60, f"{len(queries)} slots to be leased")  # type: ignore[assignment]
        return task, running

    async def unit(self, name: str) -> dict[str, str]:
        """What the store holds of a unit: state, attempts, deliveries, slot, fence."""
        fields: Any = await self.redis.hgetall(self.keys.unit(name))  # type: ignore[misc]
        return {key.decode(): value.decode() for key, value in fields.items()}

    async def until_unit(
        self, name: str, predicate: Callable[[dict[str, str]], bool], what: str, limit_s: float = 90
    ) -> dict[str, str]:
        """The first state of a unit of which ``predicate`` holds."""

        async def reached() -> dict[str, str] | None:
            unit = await self.unit(name)
            return unit if predicate(unit) else None

        found: dict[str, str] = await wait_until(reached, limit_s, f"{name}: {what}")  # type: ignore[assignment]
        return found

    async def node(self, name: str) -> dict[str, Any]:
        """A node as operators see it; state ``down`` when nobody knows it."""
        nodes = (await self.insist("GET", "/api/fleet/nodes"))["nodes"]
        return next((node for node in nodes if node["node_id"] == name), {"state": "down", "generation": 0})

    async def up(self, name: str, above: int = 0, limit_s: float = 180) -> int:
        """Wait until a node is up with a generation above ``above``; its generation."""

        async def is_up() -> int:
            node = await self.node(name)
            return int(node["generation"]) if node["state"] == "up" and node["generation"] > above else 0

        return int(await wait_until(is_up, limit_s, f"{name} to be up"))

    async def stale_writes(self) -> int:
        """How many writes the store has refused because their fence or boot had passed."""
        return int(await self.redis.hget(self.keys.counters(), "stale_writes") or 0)  # type: ignore[misc]

    @contextlib.asynccontextmanager
    async def another_node(self, name: str, **settings: str) -> AsyncIterator[Child]:
        """A node that nobody starts again when it dies, up; gone afterwards. ``settings`` without ``LEADFLEET_``."""
        before = (await self.node(name))["generation"]
        variables = {f"LEADFLEET_{key.upper()}": value for key, value in settings.items()}
        child = await self.stack.add_node(name, settings=variables, supervised=False)
        try:
            await self.up(name, before)
            yield child
        finally:
            await self.remove(name)

    async def remove(self, name: str) -> None:
        """Stop a node for good, and delete what only its next run would: profiles of Chromes whose agent was killed."""
        await self.stack.remove(name)
        await asyncio.to_thread(shutil.rmtree, self.stack.state.node(name) / "slots", ignore_errors=True)

    @contextlib.asynccontextmanager
    async def killed(self, child: str) -> AsyncIterator[None]:
        """kill -9; at the end its supervisor has it running again."""
        part = self.stack.children[child]
        restarts = part.restarts
        part.kill()
        yield
        await wait_until(lambda: part.restarts > restarts and part.ready, 60, f"{child} to be back")

    @contextlib.asynccontextmanager
    async def frozen(self, *pids: int) -> AsyncIterator[None]:
        """SIGSTOP, and SIGCONT at the end, to those that are still there."""
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    async def ready(self, replica: int) -> bool:
        """Whether a replica says that it can serve; one that does not answer at all is not."""
        try:
            status, _ = await self.ask("GET", "/health/ready", replica=replica)
        except (aiohttp.ClientError, TimeoutError):
            return False
        return status == 200

    async def all_back(self, limit_s: float = 60) -> None:
        """Wait until every replica is ready and every node up in its eyes, with all of its slots."""

        async def back() -> bool:
            for replica in range(len(self.stack.urls)):
                if not await self.ready(replica):
                    return False
                status, answer = await self.ask("GET", "/api/fleet/nodes", replica=replica)
                up = [node for node in answer.get("nodes", ()) if node["state"] == "up"]
                if status != 200 or len(up) < self.stack.options.nodes:
                    return False
            return True

        await wait_until(back, limit_s, "all replicas and nodes to be back")

    def said(self, child: str, event: str) -> list[dict[str, Any]]:
        """What a part logged under the name ``event``, in order."""
        lines = self.stack.children[child].spec.log.read_text(errors="replace").splitlines()
        parsed = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in parsed if line.get("event") == event]

    async def fences(self, task: str) -> list[int]:
        """The fences under which units of a task were granted, in order; the log of leases has them."""
        logged: Any = await self.redis.xrange(self.keys.leases())
        return [
            int(fields[b"fence"])
            for _, fields in logged
            if fields[b"k"] == b"granted" and fields[b"unit"].decode().startswith(f"{task}.")
        ]

    async def recovers(self, what: str, bound_s: float, within: Callable[[], Awaitable[Any]]) -> Any:
        """Await ``within``, and write down how long it took; ``bound_s`` is the design's."""
        began = time.monotonic()
        result = await within()
        self.ledger.note(Recovered(what, time.monotonic() - began, bound_s * SLACK))
        return result

    # Afterwards ----------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Write down what was before the faults."""
        self.ledger.note(Counted(await self.stale_writes()))

    async def check(self, take: Callable[[], Awaitable[StorePicture]] | None = None) -> list[Violation]:
        """Wait for quiet, take the store's picture, with ``take`` when given, and ask the checker."""

        async def quiet() -> bool:
            picture = await (take() if take else StorePicture.take(self.redis, self.keys))
            states = {slot.get("state") for slot in picture.slots.values()}
            if not states <= {"free", "broken"} or len(picture.nodes) < self.stack.options.nodes:
                return False
            picture.write(self.ledger.directory)
            return True

        await wait_until(quiet, 60, "all slots to be free again")
        return check(Run.read(self.ledger.directory))


@contextlib.asynccontextmanager
async def faulty_fleet(options: Options, ledger: Path) -> AsyncIterator[FaultyFleet]:
    """A stack that is up, with an empty ledger."""
    async with Stack(options) as stack:
        headers = {"Authorization": f"Bearer {stack.api_key}"}
        connector = aiohttp.TCPConnector(limit=0)
        book = Ledger(ledger)
        # it looks at a store that a test has just ended, and at its successor
        redis = Redis.from_url(stack.redis_url, retry=Retry(ConstantBackoff(RETRY_S), 100))
        try:
            async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
                fleet = FaultyFleet(stack, book, session, redis, Keys(options.fleet))
                try:
                    yield fleet
                finally:
                    await fleet.leave()
        finally:
            book.close()
            await redis.aclose()


def fleet_options(state: Path, allow: Sequence[str], **options: Any) -> Options:
    """Two replicas and two nodes with two Chromes each, unless told otherwise."""
    defaults = {"replicas": 2, "nodes": 2, "slots": 2}
    return Options(state=state, egress_allow=tuple(allow), **(defaults | options))
