"""Frames between the agent and its extraction worker: 4 bytes of length, then JSON.

Not pickle: the worker parses hostile pages, and what it says must stay data.
"""

from __future__ import annotations

import json
import struct
from typing import Any

LENGTH = struct.Struct(">I")
MAX_FRAME = 64 * 1024 * 1024


def encode(message: object) -> bytes:
    body = json.dumps(message, ensure_ascii=True, separators=(",", ":")).encode("ascii")
    return LENGTH.pack(len(body)) + body


def body_length(head: bytes) -> int:
    """The length of the frame that ``head`` announces; ValueError past ``MAX_FRAME``."""
    (length,) = LENGTH.unpack(head)
    if length > MAX_FRAME:
        raise ValueError(f"a frame of {length} bytes, more than {MAX_FRAME}")
    return int(length)


def decode(body: bytes) -> Any:
    return json.loads(body)
