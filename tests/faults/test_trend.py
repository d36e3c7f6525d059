"""What is called flat, and what is not."""

from __future__ import annotations

import random

import pytest

from tests.faults.trend import Bound, slope, trend

EACH_S = 30.0
SAMPLES = 80
RSS = Bound(share=0.05, least=8.0)


def noisy(per_hour: float, seed: int) -> tuple[list[float], list[float]]:
    """Megabytes of a process over 40 minutes: noise, a spike now and then, and a slope."""
    chance = random.Random(seed)
    times = [EACH_S * index for index in range(SAMPLES)]
    values = [120 + per_hour * at / 3600 + chance.gauss(0, 2) + (60 if chance.random() < 0.1 else 0) for at in times]
    return times, values


@pytest.mark.parametrize("seed", range(20))
def test_a_leak_is_seen_through_noise_and_noise_is_no_leak(seed: int) -> None:
    assert trend("flat", *noisy(0, seed), RSS).flat
    assert not trend("leaks", *noisy(20, seed), RSS).flat


def test_a_slope_is_exact_without_noise() -> None:
    assert slope([0, 1, 2, 3], [5, 7, 9, 11]) == 2
    assert slope([0], [5]) == 0


def test_what_shrinks_is_flat() -> None:
    assert trend("shrinks", *noisy(-50, 1), RSS).flat


def test_a_bound_is_a_share_of_the_figure_and_no_less_than_its_least() -> None:
    assert RSS.of(1000) == 50
    assert RSS.of(10) == 8
