"""Whether a figure grows: the slope of its samples by Theil and Sen, and how much of it is still called flat."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

HOUR = 3600.0
POINTS = 400
"""Samples that a slope is fitted to, spread over all there are: pairs grow with their square."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Growth an hour that is flat: ``share`` of the median, at least ``least`` of the figure's own unit."""

    share: float
    least: float

    def of(self, median: float) -> float:
        return max(self.least, self.share * median)


@dataclass(frozen=True, slots=True)
class Trend:
    """``per_hour`` is the slope, ``allowed`` what it may be at most; a figure that shrinks is flat."""

    name: str
    median: float
    least: float
    most: float
    per_hour: float
    allowed: float

    @property
    def flat(self) -> bool:
        return self.per_hour <= self.allowed

    def __str__(self) -> str:
        verdict = "flat" if self.flat else "GROWS"
        return (
            f"{self.name:<34} median {self.median:>9.1f}  {self.least:>9.1f} to {self.most:>9.1f}"
            f"  {self.per_hour:>+8.2f} an hour of {self.allowed:>7.2f}  {verdict}"
        )


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """The median of the slopes between all pairs: a third of the samples may be outliers and change it little."""
    step = max(1, len(times) // POINTS)
    points = list(zip(times, values, strict=True))[::step]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.combinations(points, 2) if b[0] > a[0]]
    return statistics.median(slopes) if slopes else 0.0


def trend(name: str, times: Sequence[float], values: Sequence[float], bound: Bound) -> Trend:
    """Of samples ``values`` at ``times`` (seconds)."""
    median = statistics.median(values)
    per_hour = slope(times, values) * HOUR
    return Trend(name, median, min(values), max(values), per_hour, bound.of(median))
