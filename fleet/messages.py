"""The messages on the streams: frozen dataclasses, one stream field a member.

A message is a stream entry ``k`` (kind), ``v`` (version) and one field a member: text for scalars, JSON
for the rest. Unknown fields are ignored and absent ones take their default, so that two versions can
share a stream. ``from_fields`` raises BadMessage, never anything else, whatever it is given: the sender may
be hostile. Pictures travel as bytes.

    node → control plane, on ``out``      Register, Heartbeat, Batch, UnitEnd, SlotChange, Goodbye
    node → control plane, on ``join``     Join
    control plane → node, on ``commands`` Accepted, Run, Cancel, Pause, Watch, Steer, Input, Drain, Superseded
    node → control plane, on ``frames``   Frame
"""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from fleet import PROTOCOL_VERSION
from fleet.errors import BadMessage

Json = Any
Fields = dict[bytes, bytes]

_MEMBERS: dict[str, tuple[tuple[str, str], ...]] = {}
"""(name, codec) of the members of a kind: resolving type hints costs more than a message does."""

MAX_FIELD = 4_000_000
"""Longest field in bytes that is parsed; a batch is a few hundred KB at most."""


@dataclass(frozen=True, slots=True)
class Message:
    """Base of all messages; subclasses set ``KIND``."""

    KIND: ClassVar[str] = ""

    def to_fields(self) -> Fields:
        fields = {b"k": self.KIND.encode(), b"v": str(PROTOCOL_VERSION).encode()}
        for name, kind in _members(type(self)):
            fields[name.encode()] = _encode(getattr(self, name), kind)
        return fields

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        values: dict[str, Any] = {}
        for name, kind in _members(cls):
            raw = fields.get(name.encode())
            if raw is None:
                continue
            if len(raw) > MAX_FIELD:
                raise BadMessage(cls.KIND, name, f"{len(raw)} bytes")
            values[name] = _decode(cls.KIND, name, raw, kind)
        try:
            return cls(**values)
        except TypeError as exc:
            raise BadMessage(cls.KIND, "*", str(exc)) from exc


@dataclass(frozen=True, slots=True)
class Join(Message):
    """A node asks to be let in. ``password_sha256`` becomes its ACL user's password hash: the secret
    itself never leaves the node."""

    KIND: ClassVar[str] = "join"
    node: str
    password_sha256: str
    boot: str


@dataclass(frozen=True, slots=True)
class Register(Message):
    """A node and its warm slots. ``slots`` is a list of ``{"index", "port"}``: the debug port (loopback) of
    each Chrome, 0 while no unit may come to it: a SlotChange says when. ``relay`` is the address of the authenticated
    relay for who comes from outside, or empty. ``sandbox`` says how Chrome is contained: ``namespace`` or ``none``."""

    KIND: ClassVar[str] = "register"
    boot: str
    slots: list[Json]
    address: str = ""
    relay: str = ""
    labels: list[Json] = field(default_factory=list)
    version: str = ""
    browser: str = ""
    sandbox: str = ""


@dataclass(frozen=True, slots=True)
class Heartbeat(Message):
    """A sign of life.

    ``live`` maps unit → fence for all that runs, from the moment its Run was handled until its UnitEnd was
    acknowledged by the store. ``commands_seen`` is the id of the last command handled. So a lease granted up to
    ``commands_seen`` that is not live is lost. ``load`` is for people.
    """

    KIND: ClassVar[str] = "heartbeat"
    boot: str
    live: dict[str, Json]
    commands_seen: str
    draining: bool = False
    load: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch(Message):
    """What a unit produced since its last batch.

    ``seq`` counts from 1 within one fence, over Batch and UnitEnd. ``events`` is a list of ``{"kind": "log" |
    "coordinates", "data": {…}}``, ``results`` a list of leads as JSON, ``set``/``unset`` the change of the
    checkpoint (a map of text to text), ``pages`` the pages visited since the last batch, ``left_out`` those
    of them that could not be had, ``current`` what it is doing (a URL).
    """

    KIND: ClassVar[str] = "batch"
    boot: str
    unit: str
    fence: int
    seq: int
    events: list[Json] = field(default_factory=list)
    results: list[Json] = field(default_factory=list)
    set: dict[str, Json] = field(default_factory=dict)
    unset: list[Json] = field(default_factory=list)
    pages: int = 0
    current: str = ""
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class UnitEnd(Message):
    """A unit is over on this node; its slot is free when this is ingested.

    ``outcome`` is a ``model.Outcome``. ``error`` and ``detail`` say why it failed; ``retryable`` is false for
    what another attempt cannot mend.
    """

    KIND: ClassVar[str] = "unit_end"
    boot: str
    unit: str
    fence: int
    seq: int
    outcome: str
    error: str = ""
    detail: str = ""
    retryable: bool = True


@dataclass(frozen=True, slots=True)
class SlotChange(Message):
    """A slot's Chrome died (``state`` = ``broken``) or a new one is warm (``free``, with its debug port)."""

    KIND: ClassVar[str] = "slot"
    boot: str
    slot: int
    state: str
    port: int = 0


@dataclass(frozen=True, slots=True)
class Goodbye(Message):
    """The node has drained and leaves; ``reason`` is for people."""

    KIND: ClassVar[str] = "goodbye"
    boot: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Accepted(Message):
    """The registration of this boot is in force. ``egress_key`` is what the node's units prove themselves with to an
    egress proxy of its own (``credentials.node_key``), empty where there is none."""

    KIND: ClassVar[str] = "accepted"
    boot: str
    generation: int
    egress_key: str = ""


@dataclass(frozen=True, slots=True)
class Run(Message):
    """Run a unit on a slot. ``options`` are the task's (see ``NodeOptions`` of the control plane),
    ``checkpoint`` what earlier attempts left."""

    KIND: ClassVar[str] = "run"
    boot: str
    unit: str
    fence: int
    slot: int
    platform: str
    query: str
    options: dict[str, Json] = field(default_factory=dict)
    checkpoint: dict[str, Json] = field(default_factory=dict)
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Cancel(Message):
    """Let go of a unit; answer with UnitEnd ``stopped``. What it writes from now on is refused anyway."""

    KIND: ClassVar[str] = "cancel"
    boot: str
    unit: str
    fence: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Pause(Message):
    """Checkpoint a unit and free its slot; answer with UnitEnd ``paused``."""

    KIND: ClassVar[str] = "pause"
    boot: str
    unit: str
    fence: int


@dataclass(frozen=True, slots=True)
class Watch(Message):
    """Send frames of a slot's stage until ``seconds`` have passed since the last such command; 0 stops.

    Each is answered by a picture taken after it, also of a page that stands still.
    """

    KIND: ClassVar[str] = "watch"
    boot: str
    slot: int
    seconds: int
    quality: int = 60
    fps: int = 10


@dataclass(frozen=True, slots=True)
class Steer(Message):
    """A person has the wheel of the unit on a slot: it begins nothing new until ``seconds`` have passed since the last
    such command; 0 gives it back. ``by`` says who, for the task's log."""

    KIND: ClassVar[str] = "steer"
    boot: str
    slot: int
    unit: str
    seconds: int
    by: str = ""


@dataclass(frozen=True, slots=True)
class Input(Message):
    """What a person who has the wheel does to the page on stage. ``data`` by ``what``:

    ``pointer``  ``event`` (move, down, up), ``x`` and ``y`` (fractions of the layout viewport), ``button``, ``clicks``
    ``wheel``    ``x``, ``y``, ``dx`` and ``dy`` (CSS pixels)
    ``key``      ``event`` (down, up, press), ``key`` (a name as of ``KeyboardEvent.key``)
    ``text``     ``text``
    ``paste``    ``text``
    """

    KIND: ClassVar[str] = "input"
    boot: str
    slot: int
    unit: str
    what: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Drain(Message):
    """Take no new units, finish or hand back the running ones, say Goodbye."""

    KIND: ClassVar[str] = "drain"
    boot: str


@dataclass(frozen=True, slots=True)
class Superseded(Message):
    """Another process registered under this node's id; ``by`` is its boot. Stop at once."""

    KIND: ClassVar[str] = "superseded"
    boot: str
    by: str


@dataclass(frozen=True, slots=True)
class Anew(Message):
    """The store does not know this registration any more. Give up what runs, and come in anew."""

    KIND: ClassVar[str] = "anew"
    boot: str


@dataclass(frozen=True, slots=True)
class Frame(Message):
    """One picture of a slot's stage tab.

    ``seq`` counts per boot and slot. ``captured_us`` is the node's wall clock at the arrival of the picture, in
    µs. ``viewport_*`` are CSS pixels of the layout viewport that the picture shows, ``scroll_*`` its offset.
    """

    KIND: ClassVar[str] = "frame"
    boot: str
    unit: str
    tab: str
    seq: int
    captured_us: int
    viewport_width: int
    viewport_height: int
    scroll_x: float
    scroll_y: float
    jpeg: bytes


OUT = (Register, Heartbeat, Batch, UnitEnd, SlotChange, Goodbye)
COMMANDS = (Accepted, Run, Cancel, Pause, Watch, Steer, Input, Drain, Superseded, Anew)


def parse(fields: Fields, known: tuple[type[Message], ...]) -> Message:
    """The message in a stream entry, one of ``known`` by its kind. BadMessage when it is none of them."""
    kind = fields.get(b"k", b"")[:40].decode("utf-8", "replace")
    for cls in known:
        if kind == cls.KIND:
            return cls.from_fields(fields)
    raise BadMessage(kind, "k", "a kind this version does not know")


def _members(cls: type[Message]) -> tuple[tuple[str, str], ...]:
    known = _MEMBERS.get(cls.KIND)
    if known is None:
        known = _MEMBERS[cls.KIND] = _inspect(cls)
    return known


def _inspect(cls: type[Message]) -> tuple[tuple[str, str], ...]:
    hints = typing.get_type_hints(cls)
    return tuple((f.name, _codec(hints[f.name])) for f in dataclasses.fields(cls))


def _codec(hint: Any) -> str:
    plain = {str: "str", bytes: "bytes", bool: "bool", int: "int", float: "float"}
    if hint in plain:
        return plain[hint]
    return {list: "list", dict: "dict"}[typing.get_origin(hint)]


def _encode(value: Any, kind: str) -> bytes:
    if kind == "bytes":
        return bytes(value)
    if kind == "bool":
        return b"1" if value else b"0"
    if kind in {"list", "dict"}:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    return str(value).encode("utf-8", "replace")  # a lone surrogate from a page must not stop a batch


def _decode(message: str, name: str, raw: bytes, kind: str) -> Any:
    try:
        if kind == "bytes":
            return raw
        text = raw.decode("utf-8")
        if kind == "str":
            return text
        if kind == "bool":
            return {"1": True, "0": False}[text]
        if kind == "int":
            return _bounded_int(text)
        if kind == "float":
            return _finite(float(text))
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, KeyError, RecursionError) as exc:
        raise BadMessage(message, name, raw[:80]) from exc
    if not isinstance(value, list if kind == "list" else dict):
        raise BadMessage(message, name, raw[:80])
    return value


def _bounded_int(text: str) -> int:
    """Streams carry counters and µs timestamps: 19 digits hold them; int() of a megabyte is an attack."""
    if len(text) > 19:
        raise ValueError(text[:20])
    return int(text)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(str(value))
    return value


def _no_constant(text: str) -> None:
    raise ValueError(text)
