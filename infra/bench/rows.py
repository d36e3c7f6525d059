"""A line of the bench's table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """``ratio`` is ours divided by the peer's; which way is better follows from the unit."""

    name: str
    value: float
    unit: str
    ratio: float | None = None
    against: str | None = None
