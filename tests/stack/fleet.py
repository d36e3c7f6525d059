"""A fleet of containers for the clients, the ledger and the checker of the fault tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from fleet.keys import Keys
from infra.containers.project import Project, docker_output
from infra.stack.stack import Stack
from tests.faults.checker import Violation, check
from tests.faults.fleet import RETRY_S, FaultyFleet
from tests.faults.ledger import Ledger, Run, StorePicture
from tests.support import wait_until

READY_S = 240
"""Everything is healthy again this long after anything, with other work on the same two cores."""


@dataclass
class ContainerFleet(FaultyFleet):
    """``project`` behind its one address; what `FaultyFleet` asks of a stack of processes, asked of containers."""

    project: Project = field(kw_only=True)
    _noted: dict[str, int] = field(default_factory=dict)
    """How many lines of each container's log are in the ledger."""

    def names(self, service: str) -> list[str]:
        """The containers of a service that exist, by number."""
        found = [
            (int(labels["com.docker.compose.container-number"]), container["Name"].lstrip("/"))
            for container in self.project.containers()
            if (labels := container["Config"]["Labels"])["com.docker.compose.service"] == service
            and labels.get("com.docker.compose.oneoff") != "True"
        ]
        return [name for _, name in sorted(found)]

    def inspected(self, name: str) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads(docker_output("inspect", name))[0])

    def node_id(self, name: str) -> str:
        """A node's name in the fleet, which is its host name."""
        return str(self.inspected(name)["Config"]["Hostname"])

    def address(self, name: str, network: str) -> str:
        """Of a container in a network of the project; empty when it is not there."""
        attached = self.inspected(name)["NetworkSettings"]["Networks"].get(f"{self.project.name}_{network}")
        return str(attached["IPAddress"]) if attached else ""

    def python(self, name: str, program: str, timeout: float = 60) -> Any:
        """Run a program in a container with an interpreter of its own; the JSON that it prints."""
        return json.loads(docker_output("exec", name, "python", "-c", program, timeout=timeout))

    async def healthy(self) -> None:
        """Wait until every container is healthy and the API ready."""
        await asyncio.to_thread(self.project.wait)
        await wait_until(lambda: self.ready(0), READY_S, "the API to be ready")

    async def scale(self, nodes: int) -> None:
        """As a person does; returns when the nodes that are left are up."""
        await asyncio.to_thread(self.note_what_nodes_ran)  # the logs of those that leave go with them
        await asyncio.to_thread(
            self.project.compose, "up", "-d", "--no-recreate", "--scale", f"node={nodes}", timeout=READY_S
        )
        self.stack.options.nodes = nodes  # type: ignore[misc]
        await self.all_nodes_up()

    async def all_nodes_up(self) -> None:
        """Wait until the nodes that run are up in the fleet's eyes, by what runs now, and no other."""
        started_ms = {
            self.node_id(name): datetime.fromisoformat(self.inspected(name)["State"]["StartedAt"]).timestamp() * 1000
            for name in self.names("node")
        }

        async def registered_since() -> bool:
            """One that was killed a moment ago is up until its session is over, and takes work that is then lost."""
            for node, began_ms in started_ms.items():
                if int(await self.redis.hget(self.keys.node(node), "registered") or 0) < began_ms:  # type: ignore[misc]
                    return False
            return True

        async def up() -> bool:
            try:
                status, answer = await self.ask("GET", "/api/fleet/nodes")
            except (aiohttp.ClientError, TimeoutError):
                return False
            found = {node["node_id"] for node in answer.get("nodes", ()) if node["state"] == "up"}
            return status == 200 and found == set(started_ms) and await registered_since()

        await wait_until(up, READY_S, f"the nodes {sorted(started_ms)} to be up")

    def note_what_nodes_ran(self) -> None:
        """Write down from the logs of nodes that still exist what they worked on since the last time."""
        for name in self.names("node"):
            lines = docker_output("logs", name).splitlines()
            log = self.ledger.directory / f"{name}.log"
            log.write_text("\n".join(lines[self._noted.get(name, 0) :]))
            self._noted[name] = len(lines)
            self.ledger.ran(self.node_id(name), log)

    async def check(self, take: Any = None) -> list[Violation]:
        """Wait for quiet, and ask the checker. Slots of nodes that were killed or scaled away are down."""

        async def quiet() -> bool:
            picture = await StorePicture.take(self.redis, self.keys)
            states = {slot.get("state") for slot in picture.slots.values()}
            if not states <= {"free", "broken", "down"} or "free" not in states:
                return False
            picture.write(self.ledger.directory)
            return True

        await wait_until(quiet, READY_S, "all slots to be free again")
        await asyncio.to_thread(self.note_what_nodes_ran)
        return check(Run.read(self.ledger.directory))


@contextlib.asynccontextmanager
async def container_fleet(project: Project, ledger: Path) -> AsyncIterator[ContainerFleet]:
    """Clients of a project that is up, with an empty ledger."""
    stack = cast("Stack", SimpleNamespace(urls=[project.url], options=SimpleNamespace(nodes=1)))
    headers = {"Authorization": f"Bearer {project.api_key}"}
    book = Ledger(ledger)
    try:
        async with (
            aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session,
            store(project) as redis,
        ):
            fleet = ContainerFleet(stack, book, session, redis, Keys("local"), project=project)
            try:
                await fleet.begin()
                yield fleet
            finally:
                await fleet.leave()
    finally:
        book.close()


@contextlib.asynccontextmanager
async def store(project: Project) -> AsyncIterator[Redis]:
    """Valkey with all rights, from this machine: by the address of its container, since it has no port here."""
    url = (project.secrets / "redis_url").read_text()
    (server,) = [c for c in project.containers() if c["Config"]["Labels"]["com.docker.compose.service"] == "valkey"]
    address = server["NetworkSettings"]["Networks"][f"{project.name}_control"]["IPAddress"]
    redis = Redis.from_url(re.sub(r"@valkey:", f"@{address}:", url), retry=Retry(ConstantBackoff(RETRY_S), 100))
    try:
        yield redis
    finally:
        await redis.aclose()


@contextlib.contextmanager
def running(project: Project) -> Iterator[None]:
    """The project built and up with one node, and gone with all it kept afterwards."""
    project.build()
    try:
        project.up()
        yield
    finally:
        project.down(volumes=True)
