"""The embedded stack: every part of Leadfleet on this machine, supervised, and gone when it is left.

valkey ┬─ control-plane-1 … N      each in a session of its own, tied to this one (`launcher.py`), restarted when
s3     ┤                           it crashes (`child.py`); logs and data under one state directory (`state.py`)
town   └─ node-1 … M
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from control_plane.local_state import REPOSITORY
from fleet.files import write_whole
from infra.stack import ports, probes, valkey
from infra.stack.child import Child, ChildSpec
from infra.stack.errors import NotReady, StackError
from infra.stack.options import STACK_MARK, Environments, Options, Ports
from infra.stack.state import StateDirectory

READY_TIMEOUT_S = 60.0  # Chrome's first launch from a cold disk takes seconds, on two busy cores several times that
POLL_S = 0.05

NODE_GRACE = timedelta(seconds=15)  # it checkpoints what runs, publishes it and closes its Chromes
CONTROL_PLANE_GRACE = timedelta(seconds=10)  # it drains connections for 3 s and waits for its worker's commit
VALKEY_GRACE = timedelta(seconds=5)  # it writes its log out
NO_GRACE = timedelta(0)  # moto and the town keep nothing, and take most of a second to end in order
SWEEP_TIMEOUT_S = 5.0  # what was sent SIGKILL is gone within milliseconds


class Stack:
    """``async with Stack(options) as stack``: up and ready inside, no process of it left after.

    Children by name: ``valkey``, ``s3``, ``town``, ``control-plane-1`` …, ``node-1`` …
    """

    def __init__(self, options: Options, *, hurry: asyncio.Event | None = None) -> None:
        self.options = options
        self.state = StateDirectory(options.state)
        self.children: dict[str, Child] = {}
        self.hurry = hurry or asyncio.Event()
        """Set it to end all grace: what still runs is killed."""
        self._mark = secrets.token_hex(8)
        self._ports: Ports | None = None
        self._environments: Environments | None = None
        self._api_key = ""

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def urls(self) -> list[str]:
        """Base addresses of the API, one a replica."""
        return [f"http://127.0.0.1:{port}" for port in self.ports.http]

    @property
    def url(self) -> str:
        """Base address of the first replica."""
        return self.urls[0]

    @property
    def ports(self) -> Ports:
        assert self._ports is not None, "the stack has not been started"
        return self._ports

    @property
    def api_key(self) -> str:
        """A key of the tenant ``default`` with all scopes."""
        return self._api_key

    @property
    def redis_url(self) -> str:
        """Valkey with all rights; holds a password."""
        return self._environment.control_url

    @property
    def s3_endpoint(self) -> str:
        return self._environment.s3_endpoint

    @property
    def _environment(self) -> Environments:
        assert self._environments is not None, "the stack has not been started"
        return self._environments

    async def start(self) -> None:
        """Start Valkey, then all other parts; returns when the API answers and every node is UP.

        Raises a `StackError` that names the part that failed and shows the end of its log.
        """
        self.state.acquire()
        known = self.state.secrets()
        self._api_key = known.api_key
        self._ports = self._choose_ports()
        self._environments = Environments(self.options, self.state, known, self._ports, self._mark)
        acl = valkey.acl(self.options.fleet, control_password=known.control_password, join_password=known.join_password)
        write_whole(self.state.acl_file, acl)
        store, *servers = self._servers()
        await store.start()
        replicas = [self._control_plane(index) for index in range(self.options.replicas)]
        nodes = [self._node(f"node-{index + 1}") for index in range(self.options.nodes)]
        # all of them spend their first seconds importing, none needs another one before it is ready
        await _start_together(servers + replicas + nodes)
        await self.wait_for_nodes()
        for child in self.children.values():
            child.supervise()
        self._describe()

    async def stop(self) -> None:
        """End all parts, whoever needs another one first. May be called again, and after a failed `start`."""
        for prefix in ("node-", "control-plane-", ""):
            await asyncio.gather(*(child.stop(self.hurry) for child in self._named(prefix)))
        await asyncio.to_thread(self._sweep)
        self.children.clear()
        self.state.release()

    async def wait_for_nodes(self) -> None:
        """Return when all nodes of the options are UP in the eyes of the first replica."""
        nodes = self._named("node-")
        if nodes:
            await self._until(self._all_nodes_up, nodes[0], "the fleet")

    def kill(self, name: str) -> None:
        """SIGKILL one child, as a crash; its supervisor starts it again."""
        self.children[name].kill()

    async def remove(self, name: str) -> None:
        """Stop one child for good."""
        await self.children.pop(name).stop(self.hurry)

    async def lose(self, name: str) -> None:
        """SIGKILL one child, as a crash of a machine that does not come back: what it started stays."""
        await self.children.pop(name).lose()

    async def renew(self, name: str, directory: Path, leave: Callable[[], Awaitable[None]] | None = None) -> None:
        """End one child in order and start it again with the code in ``directory``; returns once it is ready.

        It is asked to end with SIGTERM, or by ``leave``, after which it is waited for, for `LEAVE_WITHIN`.
        """
        await self.children[name].renew(directory, self.hurry, leave)

    async def add_node(self, node: str, *, settings: Mapping[str, str] | None = None, supervised: bool = True) -> Child:
        """Start one more node and return once its process runs.

        ``settings`` are further variables of its environment. One that is not ``supervised`` stays dead when it dies.
        """
        child = self._node(node, settings)
        await child.start()
        if supervised:
            child.supervise()
        return child

    def _choose_ports(self) -> Ports:
        first, *others = ports.free_ports(self.options.replicas + 3)
        if self.options.http_port is not None:
            ports.require_free(self.options.http_port)
            first = self.options.http_port
        valkey_port, s3_port, town = others.pop(), others.pop(), others.pop()
        return Ports(
            valkey=self.options.valkey_port or valkey_port,
            s3=self.options.s3_port or s3_port,
            town=town,
            http=(first, *others),
        )

    def _servers(self) -> list[Child]:
        servers = [
            self._child(
                "valkey",
                valkey.command(self.state.valkey, self.ports.valkey, acl_file=self.state.acl_file),
                self._environment.server(),
                VALKEY_GRACE,
                lambda: probes.valkey_answers(self.redis_url),
            ),
            self._child(
                "s3",
                _at_port(self.options.programs.s3, self.ports.s3),
                self._environment.server(),
                NO_GRACE,
                lambda: probes.s3_answers(self.s3_endpoint),
            ),
        ]
        if self.options.town:
            town = _at_port(self.options.programs.town, self.ports.town)
            environment = self._environment.server()
            servers.append(self._child("town", town, environment, NO_GRACE, lambda: ports.accepts(self.ports.town)))
        return servers

    def _control_plane(self, index: int) -> Child:
        return self._child(
            f"control-plane-{index + 1}",
            self.options.programs.control_plane,
            self._environment.control_plane(index),
            CONTROL_PLANE_GRACE + timedelta(seconds=self.options.stop_delay_s),
            lambda: probes.api_ready(self.urls[index], self.api_key),
        )

    def _node(self, node: str, settings: Mapping[str, str] | None = None) -> Child:
        self.state.node(node).mkdir(exist_ok=True, mode=0o700)
        environment = {**self._environment.node(node), **(settings or {})}
        # whether it was let in is the control plane's to say: `wait_for_nodes`
        return self._child(node, self.options.programs.node, environment, NODE_GRACE, _at_once)

    def _child(
        self,
        name: str,
        command: Sequence[str],
        environment: dict[str, str],
        grace: timedelta,
        is_ready: Callable[[], Awaitable[bool]],
    ) -> Child:
        async def wait_until_ready() -> None:
            await self._until(is_ready, child, name)

        log = self.state.logs / f"{name}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        child = Child(ChildSpec(name, tuple(command), environment, log, grace, wait_until_ready, REPOSITORY))
        self.children[name] = child
        return child

    async def _until(self, is_ready: Callable[[], Awaitable[bool]], child: Child, what: str) -> None:
        """Poll ``is_ready``; `ChildFailed` when ``child`` ends before, `NotReady` at the deadline."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not await is_ready():
            child.check()
            if time.monotonic() > deadline:
                raise NotReady(what, READY_TIMEOUT_S, child.spec.log)
            await asyncio.sleep(POLL_S)

    async def _all_nodes_up(self) -> bool:
        for node in self._named("node-"):
            node.check()
        return await probes.nodes_up(self.url, self.api_key) >= self.options.nodes

    def _named(self, prefix: str) -> list[Child]:
        return [child for name, child in self.children.items() if name.startswith(prefix)]

    def _describe(self) -> None:
        """``stack.json``: where everything is, for the CLI and for people. No secret is in it."""
        description = {
            "urls": self.urls,
            "fleet": self.options.fleet,
            "valkey_port": self.ports.valkey,
            "s3_endpoint": self.s3_endpoint,
            "town_port": self.ports.town if self.options.town else None,
            "processes": {name: child.pid for name, child in self.children.items()},
        }
        self.state.description.write_text(json.dumps(description, indent=2) + "\n")

    def _sweep(self) -> None:
        """Kill what the parts left: a Chrome whose agent was killed, a worker of a replica that crashed."""
        left = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(STACK_MARK) == self._mark:
                    process.kill()
                    left.append(process)
        _, alive = psutil.wait_procs(left, timeout=SWEEP_TIMEOUT_S)
        if alive:
            raise StackError(f"processes that even SIGKILL did not end: {[process.pid for process in alive]}")


async def _start_together(children: Sequence[Child]) -> None:
    """Start them at once; the first failure ends the wait for the others and is raised."""
    starts = [asyncio.create_task(child.start(), name=f"start {child.name}") for child in children]
    try:
        await asyncio.gather(*starts)
    finally:
        for start in starts:
            start.cancel()
        await asyncio.gather(*starts, return_exceptions=True)


async def _at_once() -> bool:
    return True


def _at_port(command: Sequence[str], port: int) -> list[str]:
    return [part.replace("{port}", str(port)) for part in command]
