"""What follows from each kind of answer."""

from __future__ import annotations

from datetime import timedelta

import pytest

from control_plane.webhooks.verdict import JITTER, RETRY_AFTER, Answered, Unreached, Verdict, judge

LAST = len(RETRY_AFTER)


@pytest.mark.parametrize(
    ("answer", "failed_before", "expected"),
    [
        (Answered(200), 0, Verdict("delivered", "delivered")),
        (Answered(204), LAST, Verdict("delivered", "delivered")),
        (Answered(410), 0, Verdict("failed", "gone")),
        (Answered(101), 0, Verdict("retry", "retried", timedelta(seconds=5))),
        (Answered(301), 0, Verdict("retry", "retried", timedelta(seconds=5))),
        (Answered(404), 1, Verdict("retry", "retried", timedelta(seconds=30))),
        (Answered(429), 2, Verdict("retry", "retried", timedelta(minutes=2))),
        (Answered(503), LAST - 1, Verdict("retry", "retried", timedelta(hours=8))),
        (Unreached("no"), 5, Verdict("retry", "retried", timedelta(hours=6))),
        (Answered(500), LAST, Verdict("failed", "exhausted")),
        (Unreached("no"), LAST, Verdict("failed", "exhausted")),
    ],
)
def test_verdicts(answer: Answered | Unreached, failed_before: int, expected: Verdict) -> None:
    assert judge(answer, failed_before, chance=0.5) == expected


def test_retries_outlast_most_of_a_day_and_are_spread() -> None:
    assert timedelta(hours=22) < sum(RETRY_AFTER, timedelta()) < timedelta(hours=24)
    early, late = (judge(Answered(500), 0, chance).delay / RETRY_AFTER[0] for chance in (0.0, 0.999_999))
    assert early == pytest.approx(1 - JITTER)
    assert late == pytest.approx(1 + JITTER, rel=1e-4)
