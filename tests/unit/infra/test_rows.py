"""Distributions as the bench prints them."""

from __future__ import annotations

from infra.bench.rows import Row, distribution


def test_one_slow_run_of_twenty_is_the_longest_and_not_the_95th_percentile() -> None:
    seconds = [9.0, *(number / 10 for number in range(1, 20))]
    note = "20 runs; bound 2 s, p95"
    assert distribution("death", seconds, 2.0) == [
        Row("death_p50_s", 1.0, "s", None, note),
        Row("death_p95_s", 1.9, "s", None, note),
        Row("death_max_s", 9.0, "s", None, note),
    ]


def test_of_one_run_all_figures_are_its_own() -> None:
    assert [row.value for row in distribution("death", [0.25], 2.0)] == [0.25] * 3
