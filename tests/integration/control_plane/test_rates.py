"""Rate limits over a sliding window, on a real store and a clock the test sets."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from control_plane.errors import TooMany
from control_plane.rates import LIMITS, WINDOW_S, RateLimiter
from fleet.keys import Keys

LIMIT = 10


class SetClock:
    """A clock that stands where it is put."""

    def __init__(self, now: float) -> None:
        self.now = now

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


@pytest.fixture
def clock() -> SetClock:
    return SetClock(1_000 * WINDOW_S)


@pytest.fixture
def limiter(valkey: Redis, clock: SetClock) -> RateLimiter:
    return RateLimiter(valkey, Keys("test"), clock, scale=LIMIT / LIMITS["auth"])


async def use(limiter: RateLimiter, times: int, subject: str = "key") -> int:
    """How many of ``times`` requests were let through."""
    passed = 0
    for _ in range(times):
        try:
            await limiter.count(subject, "auth")
            passed += 1
        except TooMany:
            pass
    return passed


async def test_the_limit_holds_within_a_window(limiter: RateLimiter) -> None:
    assert await use(limiter, LIMIT + 5) == LIMIT
    assert await use(limiter, 1, subject="another key") == 1


async def test_no_burst_of_twice_the_limit_at_the_edge(limiter: RateLimiter, clock: SetClock) -> None:
    clock.now += WINDOW_S - 0.1
    assert await use(limiter, LIMIT) == LIMIT
    clock.now += 0.2  # the next fixed window; the sliding one still covers the burst
    assert await use(limiter, LIMIT) == 0
    clock.now += 2 * WINDOW_S
    assert await use(limiter, LIMIT) == LIMIT


async def test_a_refusal_says_how_long_to_wait(limiter: RateLimiter, clock: SetClock) -> None:
    clock.now += 3
    await use(limiter, LIMIT)
    with pytest.raises(TooMany) as refused:
        await limiter.count("key", "auth")
    assert refused.value.headers["Retry-After"] == str(WINDOW_S - 3)


async def test_what_is_counted_goes_away(limiter: RateLimiter, valkey: Redis) -> None:
    await limiter.count("key", "auth")
    for key in await valkey.keys():
        assert 0 < await valkey.ttl(key) <= 2 * WINDOW_S


def test_probes_are_counted_without_the_store(clock: SetClock) -> None:
    unreachable = Redis.from_url("redis://127.0.0.1:1/0")
    limiter = RateLimiter(unreachable, Keys("test"), clock, scale=LIMIT / LIMITS["probe"])
    for _ in range(LIMIT):
        limiter.count_here("10.0.0.1")
    with pytest.raises(TooMany):
        limiter.count_here("10.0.0.1")
    limiter.count_here("10.0.0.2")
