"""A person takes the wheel of a task's browser: one at a time, for a limited time, noticed by the unit within seconds
when the person or this replica is gone."""

from __future__ import annotations

import asyncio
import secrets
import time
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from redis.asyncio import Redis

from control_plane.errors import Conflict
from control_plane.models import Stage
from control_plane.services import Tasks
from control_plane.streams.websockets import POLICY, Socket
from fleet.keys import Keys
from fleet.messages import Input, Message, Steer

RENEW_S = 2.0
HOLD_S = 6
"""How long a unit waits for a replica that does not say any more that somebody is at the wheel."""

OVER, LIMIT, LOST = 4000, 4008, 4009
"""Why a socket was closed: the task runs no more, the time is over, another one has the wheel."""

MAX_TEXT = 16_000
INPUTS_A_S, INPUTS_AT_ONCE, CHARACTERS_AN_INPUT = 200, 256, 1_000
"""How many inputs a socket may bring, and how much text is one more: a hand makes 60 a second. Who brings more loses
the wheel: a node reads its commands in turn, and until then they lie in the store, or in our memory if they waited."""

State = Literal["free", "held", "no_browser"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Pixels = Annotated[float, Field(ge=-10_000, le=10_000)]

_RENEW = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2]) or 0"


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Pointer(_Said):
    """Where the pointer is, as fractions of the picture, and what its button does."""

    type: Literal["pointer"]
    event: Literal["move", "down", "up"]
    x: Fraction
    y: Fraction
    button: Literal["left", "middle", "right"] = "left"
    clicks: Annotated[int, Field(ge=1, le=3)] = 1


class Wheel(_Said):
    """By how many CSS pixels the page is scrolled where the pointer is."""

    type: Literal["wheel"]
    x: Fraction
    y: Fraction
    dx: Pixels = 0.0
    dy: Pixels = 0.0


class Key(_Said):
    """``key`` is a name as of ``KeyboardEvent.key``; for ``press`` also with what is held meanwhile: ``Control+a``."""

    type: Literal["key"]
    event: Literal["down", "up", "press"]
    key: Annotated[str, Field(min_length=1, max_length=32)]


class Text(_Said):
    """Text that is put in where the caret is, as an input method does (``text``) or from a clipboard (``paste``)."""

    type: Literal["text", "paste"]
    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]


_INPUT: TypeAdapter[Pointer | Wheel | Key | Text] = TypeAdapter(
    Annotated[Pointer | Wheel | Key | Text, Field(discriminator="type")]
)


async def wheel_of(client: Redis, keys: Keys, queue: Tasks, tenant: str, task: str) -> tuple[State, str]:
    """Whether the wheel can be taken, and why not. Raises NotFound."""
    if await queue.stage(tenant, task) is None:
        return "no_browser", no_browser(task)
    if await client.exists(keys.wheel(task)):
        return "held", held(task)
    return "free", ""


def no_browser(task: str) -> str:
    return f"no browser works on the task {task} right now; try again when it runs"


def held(task: str) -> str:
    return f"somebody else has the wheel of {task}; try again when they have left"


class Takeover:
    """``async with Takeover(...)``: the wheel is this one's inside.

    Entering raises NotFound, and Conflict when no browser works on the task or another one has the wheel.
    """

    def __init__(self, client: Redis, keys: Keys, queue: Tasks, tenant: str, task: str, by: str) -> None:
        """``by`` says who it is, in the task's log."""
        self._client: Any = client
        self._keys, self._queue = keys, queue
        self._tenant, self._task, self._by = tenant, task, by
        self._token = secrets.token_hex(16)
        self._stage: Stage | None = None
        self._boot = ""
        self._paid_until = 0.0

    async def __aenter__(self) -> Takeover:
        key = self._keys.wheel(self._task)
        if await self._queue.stage(self._tenant, self._task) is None:
            raise Conflict(no_browser(self._task))
        if not await self._client.set(key, self._token, nx=True, px=HOLD_S * 1000):
            raise Conflict(held(self._task))
        await self._look()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._leave()
        finally:
            await self._renew(0)

    async def keep(self, socket: Socket, limit: timedelta) -> None:
        """Keep the wheel until the task runs no more, ``limit`` has passed or another one has it; then close."""
        until = time.monotonic() + limit.total_seconds()
        while time.monotonic() < until:
            await asyncio.sleep(min(RENEW_S, max(0.0, until - time.monotonic())))
            if not await self._renew(HOLD_S):
                await socket.close(LOST, "the wheel is not yours any more")
                return
            await self._look()
            if self._stage is None and (await self._queue.status(self._tenant, self._task)).status.terminal:
                await socket.close(OVER, "the task has ended")
                return
        await socket.close(LIMIT, f"the wheel may be held for {limit.total_seconds():g} s")

    async def input(self, socket: Socket, text: str) -> None:
        """Pass on what the client did; a message that is none is answered with what is wrong with it."""
        if not self._is_a_hand(text):
            await socket.close(POLICY, f"inputs come faster than a hand makes them, {INPUTS_A_S} a second")
            return
        try:
            said = _INPUT.validate_json(text)
        except ValidationError as exc:
            first = exc.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            await socket.send_json({"type": "invalid", "detail": f"{where}: {first['msg']}" if where else first["msg"]})
            return
        if (stage := self._stage) is not None:
            data = said.model_dump(exclude={"type"})
            await self._tell(stage, Input(self._boot, stage.index, stage.unit, said.type, data))

    def _is_a_hand(self, text: str) -> bool:
        now = time.monotonic()
        self._paid_until = max(self._paid_until, now) + (1 + len(text) / CHARACTERS_AN_INPUT) / INPUTS_A_S
        return self._paid_until - now <= INPUTS_AT_ONCE / INPUTS_A_S

    async def _renew(self, seconds: int) -> bool:
        """Keep the wheel for so long, 0 gives it back; False when it is not ours any more."""
        key = self._keys.wheel(self._task)
        return bool(await self._client.eval(_RENEW, 1, key, self._token, seconds * 1000))

    async def _look(self) -> None:
        """Have the unit on stage wait on; a task's stage may have moved to another unit."""
        stage = await self._queue.stage(self._tenant, self._task)
        if stage != self._stage:
            await self._leave()
            self._stage = stage
            if stage is not None:
                self._boot = (await self._client.hget(self._keys.node(stage.node), "boot") or b"").decode()
        if stage is not None:
            await self._tell(stage, Steer(self._boot, stage.index, stage.unit, HOLD_S, self._by))

    async def _leave(self) -> None:
        stage, self._stage = self._stage, None
        if stage is not None:
            await self._tell(stage, Steer(self._boot, stage.index, stage.unit, 0, self._by))

    async def _tell(self, stage: Stage, command: Message) -> None:
        await self._client.xadd(self._keys.commands(stage.node), command.to_fields())
