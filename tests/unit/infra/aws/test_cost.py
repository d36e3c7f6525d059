"""The estimate of what a fleet costs: its arithmetic, and that the page shows it."""

from __future__ import annotations

import dataclasses

import pytest

from infra.aws.cost import DAYS, HOURS, Assumptions, Prices, estimate, table
from tests.support import REPOSITORY

FREE = Prices(**{field.name: 0.0 for field in dataclasses.fields(Prices)})


def test_the_page_shows_what_the_formulas_give() -> None:
    assert table() in (REPOSITORY / "docs" / "aws.md").read_text(encoding="utf-8")


def test_every_price_counts() -> None:
    for field in dataclasses.fields(Prices):
        priced = dataclasses.replace(FREE, **{field.name: 1.0})
        assert estimate(100_000, priced).total > 0, field.name


def test_every_assumption_counts() -> None:
    for field in dataclasses.fields(Assumptions):
        doubled = dataclasses.replace(Assumptions(), **{field.name: 2 * getattr(Assumptions(), field.name)})
        assert estimate(50_000_000, assumed=doubled).total != estimate(50_000_000).total, field.name


def test_an_idle_fleet_pays_for_one_node() -> None:
    by_the_hour = 4 * Prices().fargate_vcpu_hour + 16 * Prices().fargate_gb_hour
    assert estimate(0).dollars["nodes"] == pytest.approx(by_the_hour * HOURS)
    assert estimate(0).per_thousand_pages is None


def test_nodes_follow_the_pages() -> None:
    """A million a day at 10 a minute and slot, four fifths of the slots in use: 87 slots."""
    assert estimate(1_000_000).nodes == pytest.approx(1_000_000 / 1440 / 10 / 0.8 / 4)
    many, more = estimate(10_000_000), estimate(20_000_000)
    assert more.dollars["nodes"] == pytest.approx(2 * many.dollars["nodes"])
    assert many.per_thousand_pages == pytest.approx(many.total / (10_000_000 * DAYS) * 1000)
