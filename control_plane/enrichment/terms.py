"""On what terms the model is asked: how many leads at once, how often, and for how much. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from control_plane.enrichment.endpoint import Failure, Reply
from control_plane.scheduling.scripts import Caps
from control_plane.settings import Settings

ANSWER_TOKENS = 250
"""Of one lead at the most: 300 letters, 150 of them tokens of their own in the worst script, and the JSON around."""

BYTES_PER_TOKEN = 2
"""Fewer than in any language we send, so that what is reserved is enough; it is set right by what was used."""

PLAUSIBLE = 4
"""Times the reservation that an endpoint may say it used. Beyond, it errs or lies, and the reservation stands."""

FIRST_PAUSE = timedelta(seconds=5)
"""Before the second attempt; doubled before each further one, up to LONGEST_PAUSE."""

LONGEST_PAUSE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Terms:
    """Prices are of a million tokens, in the money of the cap."""

    batch: int
    at_once: int
    retries: int
    timeout: timedelta
    price_in: float
    price_out: float
    caps: Caps

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(
            batch=settings.enrichment_batch,
            at_once=settings.enrichment_concurrency,
            retries=settings.enrichment_retries,
            timeout=settings.enrichment_timeout,
            price_in=settings.enrichment_price_in,
            price_out=settings.enrichment_price_out,
            caps=Caps(
                tokens=settings.enrichment_daily_tokens,
                tenant_tokens=settings.enrichment_tenant_daily_tokens,
                cost=round(settings.enrichment_daily_cost * 1_000_000),
            ),
        )

    def cost(self, prompt: int, completion: int) -> int:
        """In millionths: a price of a million tokens is so many millionths a token."""
        return math.ceil(prompt * self.price_in + completion * self.price_out)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call."""

    prompt: int
    completion: int

    @property
    def tokens(self) -> int:
        return self.prompt + self.completion


def most_used(prompt_bytes: int, leads: int) -> Usage:
    """What a call may use at the most; ``completion`` is also the bound that the endpoint is told."""
    return Usage(math.ceil(prompt_bytes / BYTES_PER_TOKEN), ANSWER_TOKENS * leads)


def really_used(answer: Reply | Failure, reserved: Usage) -> Usage:
    """What a call is taken to have used: what the endpoint says, if that can be; nothing if no model was reached."""
    if isinstance(answer, Failure):
        return reserved if answer.may_have_cost else Usage(0, 0)
    if answer.prompt_tokens is None or answer.completion_tokens is None:
        return reserved
    used = Usage(answer.prompt_tokens, answer.completion_tokens)
    return used if 0 < used.tokens <= PLAUSIBLE * reserved.tokens else reserved


@dataclass(frozen=True, slots=True)
class Verdict:
    """``outcome`` is what the store is told of a question that got no answer; see ``enrichment_settle.lua``."""

    outcome: str
    delay: timedelta = timedelta(0)


def judge(failure: Failure, failed_before: int, retries: int, chance: float) -> Verdict:
    """What follows from a failure after ``failed_before`` others; ``chance`` in [0, 1) spreads the retries.

    Being told to wait, or to see to our key, says nothing about the question: it waits, and no attempt is counted. What
    was answered but is no answer has been paid for, and is not paid for again.
    """
    if failure.kind == "malformed":
        return Verdict("refused")
    if failure.kind == "rejected":
        return Verdict("dropped")
    pause = min(FIRST_PAUSE * 2 ** min(failed_before, 10), LONGEST_PAUSE) * (0.8 + 0.4 * chance)
    pause = max(pause, failure.retry_after or timedelta(0))
    if failure.kind in {"rate_limited", "unauthorized"}:
        return Verdict("later", pause)
    return Verdict("retry", pause) if failed_before < retries else Verdict("dropped")
