"""What follows from an attempt: delivered, once more, or given up. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Literal

RETRY_AFTER = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(hours=8),
    timedelta(hours=8),
)
"""Pauses after the first, second … failed attempt: a restart of the receiver costs seconds, an outage of a day is
outlasted. After the ninth attempt, 23 hours after the task ended, a webhook is given up."""

JITTER = 0.2
"""A pause is up to this share longer or shorter: receivers that come back are not met by all their webhooks at once."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The receiver answered with this HTTP status; nothing else of its answer matters."""

    status: int


@dataclass(frozen=True, slots=True)
class Unreached:
    """There was no answer; ``reason`` is a sentence that holds nothing of the URL but its host."""

    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """``outcome`` is what the store is told, ``counted`` the label of the metric, ``delay`` that of a retry."""

    outcome: Literal["delivered", "retry", "failed"]
    counted: Literal["delivered", "retried", "gone", "exhausted"]
    delay: timedelta = timedelta(0)


def judge(answer: Answered | Unreached, failed_before: int, chance: float) -> Verdict:
    """The verdict on an attempt after ``failed_before`` failed ones; ``chance`` in [0, 1) spreads the retries.

    Only 2xx is an acknowledgement. 410 is a receiver that wants no more. A redirect is a failure like others: it was
    not followed, because where it leads was never admitted.
    """
    if isinstance(answer, Answered):
        if 200 <= answer.status < 300:
            return Verdict("delivered", "delivered")
        if answer.status == HTTPStatus.GONE:
            return Verdict("failed", "gone")
    if failed_before >= len(RETRY_AFTER):
        return Verdict("failed", "exhausted")
    return Verdict("retry", "retried", RETRY_AFTER[failed_before] * (1 + JITTER * (2 * chance - 1)))
