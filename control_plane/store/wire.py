"""How the API process and its store worker talk: frames over a socket pair.

A frame is two big-endian 32-bit lengths, a JSON header and a body of bytes. A request is ``{"id", "op", "args"}``;
its reply carries the same id and either ``"ok"`` (with the answer, or its bytes as the body) or ``"problem"``. Several
requests are in flight at once; ``{"cancel": id}`` withdraws one. The body spares the API process from decoding and
encoding again the pages that it only passes on.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field
from typing import Any

import orjson

from control_plane.errors import BadRequest, Conflict, Invalid, NotFound, Problem, Unavailable

_CLASSES = {kind.status: kind for kind in (BadRequest, Conflict, Invalid, NotFound, Unavailable)}

_LENGTHS = struct.Struct("!II")

MAX_HEADER = 16_000_000
MAX_BODY = 256_000_000
"""Both ends are ours: what is longer means that they have lost step, and the connection is given up."""


class OutOfStep(Exception):
    """The peer sent something that is not a frame."""


@dataclass(frozen=True, slots=True)
class Frame:
    header: dict[str, Any]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation returns: JSON members, or bytes that are passed on as they are."""

    members: dict[str, Any] = field(default_factory=dict)
    body: bytes = b""


def encode(frame: Frame) -> bytes:
    header = orjson.dumps(frame.header)
    return _LENGTHS.pack(len(header), len(frame.body)) + header + frame.body


async def read(reader: asyncio.StreamReader) -> Frame:
    """The next frame; ``asyncio.IncompleteReadError`` when the peer has gone."""
    header_length, body_length = _LENGTHS.unpack(await reader.readexactly(_LENGTHS.size))
    if header_length > MAX_HEADER or body_length > MAX_BODY:
        raise OutOfStep(f"a frame of {header_length} + {body_length} bytes")
    header = orjson.loads(await reader.readexactly(header_length))
    return Frame(header, await reader.readexactly(body_length) if body_length else b"")


def problem_members(problem: Problem) -> dict[str, Any]:
    """A Problem as JSON, for the way from the worker to the API process."""
    return {
        "status": problem.status,
        "title": problem.title,
        "detail": problem.detail,
        "errors": problem.errors,
        "headers": problem.headers,
    }


def problem_from(members: dict[str, Any]) -> Problem:
    """The Problem of ``problem_members``, of the class that its status has."""
    problem = Problem.__new__(_CLASSES.get(members["status"], Problem))
    Problem.__init__(
        problem,
        members["detail"],
        status=members["status"],
        title=members["title"],
        errors=members["errors"],
        headers=members["headers"],
    )
    return problem
