"""The control plane as a node sees it, and nothing behind it: lets nodes in, accepts, gives orders, reads `out`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from redis.asyncio import Redis

from fleet import messages
from fleet.keys import Keys, join_acl
from fleet.messages import Accepted, Batch, Frame, Heartbeat, Join, Message, Register, Run, UnitEnd
from tests.support import wait_until

M = TypeVar("M", bound=Message)


class FakeControl:
    """`serve` lets every node in and accepts every registration; the rest is what a test says and sees."""

    def __init__(self, client: Redis, fleet: str = "local") -> None:
        self.client: Any = client
        self.keys = Keys(fleet)
        self.said: list[Message] = []
        self.joins = 0
        self.fence = 1000
        self.egress_key = ""
        """Told to every node that registers."""
        self._task: asyncio.Task[None] | None = None
        self._cursors: dict[str, str] = {}
        self._leaving = asyncio.Event()

    async def __aenter__(self) -> FakeControl:
        await self._set_user("join", "nopass", *join_acl(self.keys))
        self._task = asyncio.create_task(self._serve())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._leaving.set()  # a cancellation in the middle of a command is not always passed on by the client
        await self._task
        users = [user for user in await self.client.execute_command("ACL", "USERS") if user != b"default"]
        if users:
            await self.client.execute_command("ACL", "DELUSER", *users)

    def of(self, kind: type[M], which: Callable[[M], bool] = lambda _: True) -> list[M]:
        """Everything of one kind that nodes have said."""
        return [message for message in self.said if isinstance(message, kind) and which(message)]

    async def hear(self, kind: type[M], which: Callable[[M], bool] = lambda _: True, timeout: float = 30) -> M:
        """The first message of a kind for which ``which`` holds, waiting for it."""
        found = await wait_until(lambda: self.of(kind, which), timeout, f"a {kind.__name__}")
        return found[0]

    async def registered(self, boot_is_not: str = "") -> Register:
        register = await self.hear(Register, lambda m: m.boot != boot_is_not, 90)
        await self.hear(Heartbeat, lambda m: m.boot == register.boot)
        return register

    async def tell(self, node: str, command: Message) -> str:
        raw: bytes = await self.client.xadd(self.keys.commands(node), command.to_fields())
        return raw.decode()

    async def run(self, node: str, query: str, *, slot: int = 0, boot: str = "", **more: Any) -> Run:
        """Order a unit and return the order."""
        self.fence += 1
        boot = boot or self.of(Register)[-1].boot
        order = Run(boot, f"tsk_{'0' * 26}.{self.fence}", self.fence, slot, "website", query, **more)
        await self.tell(node, order)
        return order

    async def ended(self, order: Run, timeout: float = 30) -> UnitEnd:
        return await self.hear(UnitEnd, lambda m: (m.unit, m.fence) == (order.unit, order.fence), timeout)

    def batches(self, order: Run) -> list[Batch]:
        return self.of(Batch, lambda m: (m.unit, m.fence) == (order.unit, order.fence))

    async def frame(self, node: str, slot: int = 0) -> Frame | None:
        """The newest frame of a slot."""
        entries = await self.client.xrevrange(self.keys.frames(node, str(slot)), count=1)
        return Frame.from_fields(entries[0][1]) if entries else None

    async def _serve(self) -> None:
        """Poll, so that a test may stop, empty or pause the store at any moment."""
        while not self._leaving.is_set():
            try:
                for _, fields in await self.client.xrange(self.keys.join(), f"({self._cursor('join')}", "+"):
                    await self._let_in(Join.from_fields(fields))
                for node in [name for name in self._cursors if name != "join"]:
                    await self._read(node)
            except (ConnectionError, OSError, TimeoutError):
                pass
            await asyncio.sleep(0.01)

    async def _let_in(self, join: Join) -> None:
        self.joins += 1
        await self._set_user(f"node-{join.node}", f"#{join.password_sha256}", *self.keys.node_acl(join.node))
        self._cursors.setdefault(join.node, "0-0")
        await self.client.delete(self.keys.join())

    async def _read(self, node: str) -> None:
        for raw, fields in await self.client.xrange(self.keys.out(node), f"({self._cursors[node]}", "+"):
            self._cursors[node] = raw.decode()
            message = messages.parse(fields, messages.OUT)
            self.said.append(message)
            if isinstance(message, Register):
                await self.tell(node, Accepted(message.boot, len(self.of(Register)), self.egress_key))

    def _cursor(self, name: str) -> str:
        return self._cursors.get(name, "0-0")

    async def _set_user(self, user: str, *rules: str) -> None:
        await self.client.execute_command("ACL", "SETUSER", user, "reset", "on", *rules)
