"""A line of the bench's table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, slots=True)
class Row:
    """``ratio`` is ours divided by the peer's; which way is better follows from the unit."""

    name: str
    value: float
    unit: str
    ratio: float | None = None
    against: str | None = None


def distribution(name: str, seconds: Sequence[float], bound_s: float) -> list[Row]:
    """Rows of p50, p95 (the value that so many of them do not exceed) and the longest; each names the bound of p95."""
    ordered = sorted(seconds)
    figures = {"p50": ordered[ceil(len(ordered) * 0.5) - 1], "p95": ordered[ceil(len(ordered) * 0.95) - 1]}
    note = f"{len(ordered)} runs; bound {bound_s:g} s, p95"
    figures["max"] = ordered[-1]
    return [Row(f"{name}_{which}_s", round(took, 3), "s", None, note) for which, took in figures.items()]
