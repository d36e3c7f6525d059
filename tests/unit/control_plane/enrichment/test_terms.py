"""What a call may cost, what it is taken to have cost, and what follows from a failure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from control_plane.enrichment.endpoint import MAX_RETRY_AFTER, Failure, Reply, retry_after
from control_plane.enrichment.terms import LONGEST_PAUSE, Terms, Usage, judge, most_used, really_used
from control_plane.scheduling.scripts import Caps
from control_plane.settings import Settings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RESERVED = Usage(1_000, 500)


def test_terms_are_the_settings() -> None:
    terms = Terms.of(
        Settings(enrichment_price_in=0.15, enrichment_price_out=0.6, enrichment_daily_cost=2.5,
                 enrichment_daily_tokens=7, enrichment_tenant_daily_tokens=3)
    )  # fmt: skip
    assert terms.caps == Caps(tokens=7, tenant_tokens=3, cost=2_500_000)
    assert terms.cost(1_000_000, 1_000_000) == 750_000  # 0.15 and 0.60, in millionths


def test_a_reservation_grows_with_what_is_sent_and_asked() -> None:
    assert most_used(1_001, 3) == Usage(501, 750)


@pytest.mark.parametrize(
    ("answer", "used"),
    [
        (Reply("", 100, 50), Usage(100, 50)),
        (Reply("", 5_000, 1_000), Usage(5_000, 1_000)),
        (Reply("", 0, 0), RESERVED),
        (Reply("", None, 50), RESERVED),
        (Reply("", 100, None), RESERVED),
        (Reply("", 10**12, 1), RESERVED),
        (Failure("timeout", ""), RESERVED),
        (Failure("broken", ""), RESERVED),
        (Failure("malformed", ""), RESERVED),
        (Failure("unreachable", ""), Usage(0, 0)),
        (Failure("rate_limited", ""), Usage(0, 0)),
        (Failure("unauthorized", ""), Usage(0, 0)),
    ],
)
def test_what_an_endpoint_says_counts_if_it_can_be(answer: Reply | Failure, used: Usage) -> None:
    assert really_used(answer, RESERVED) == used


@pytest.mark.parametrize(
    ("kind", "failed_before", "outcome"),
    [
        ("unreachable", 0, "retry"),
        ("timeout", 2, "retry"),
        ("server_error", 3, "dropped"),
        ("rate_limited", 99, "later"),
        ("unauthorized", 99, "later"),
        ("rejected", 0, "dropped"),
        ("malformed", 0, "refused"),
    ],
)
def test_what_follows_from_a_failure(kind: str, failed_before: int, outcome: str) -> None:
    assert judge(Failure(kind, ""), failed_before, 3, 0.5).outcome == outcome  # type: ignore[arg-type]


def test_pauses_grow_and_are_never_shorter_than_asked() -> None:
    pauses = [judge(Failure("timeout", ""), n, 99, 0.5).delay for n in range(12)]
    assert pauses == sorted(pauses)
    assert pauses[:3] == [timedelta(seconds=5), timedelta(seconds=10), timedelta(seconds=20)]
    assert pauses[-1] == LONGEST_PAUSE
    asked = Failure("rate_limited", "", timedelta(minutes=30))
    assert judge(asked, 0, 3, 0.0).delay == timedelta(minutes=30)
    assert judge(Failure("timeout", ""), 0, 3, 0.0).delay < judge(Failure("timeout", ""), 0, 3, 0.99).delay


@pytest.mark.parametrize(
    ("header", "pause"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("7", timedelta(seconds=7)),
        ("99999999999999999999", MAX_RETRY_AFTER),
        ("Sun, 01 Mar 2026 12:00:30 GMT", timedelta(seconds=30)),
        ("Sun, 01 Mar 2026 11:00:00 GMT", timedelta(0)),
        ("Sun, 01 Mar 2126 11:00:00 GMT", MAX_RETRY_AFTER),
        ("²", None),
    ],
)
def test_retry_after(header: str | None, pause: timedelta | None) -> None:
    assert retry_after(header, NOW) == pause
