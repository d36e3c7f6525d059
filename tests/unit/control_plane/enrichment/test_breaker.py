"""Closed, open, half open: when calls may begin."""

from __future__ import annotations

from datetime import timedelta

from control_plane.enrichment.breaker import Breaker, State

PAUSE = timedelta(seconds=60)


def opened() -> Breaker:
    """Open since 0."""
    breaker = Breaker(3, PAUSE)
    assert [breaker.failed(0) for _ in range(3)] == [False, False, True]
    return breaker


def test_failures_in_a_row_open_it_and_a_success_between_does_not() -> None:
    breaker = Breaker(3, PAUSE)
    for _ in range(4):
        breaker.failed(0)
        breaker.failed(0)
        breaker.succeeded()
    assert breaker.state(0) is State.CLOSED
    assert opened().state(0) is State.OPEN


def test_it_is_asked_nothing_while_open_and_one_thing_on_trial() -> None:
    breaker = opened()
    assert breaker.room(59.9, 0, 8) == 0
    assert breaker.state(60) is State.HALF_OPEN
    assert (breaker.room(60, 0, 8), breaker.room(60, 1, 8)) == (1, 0)


def test_the_trial_decides() -> None:
    breaker = opened()
    assert breaker.failed(60) is False  # it was open already: nobody has to be told again
    assert (breaker.state(119), breaker.state(120)) == (State.OPEN, State.HALF_OPEN)
    breaker.succeeded()
    assert breaker.state(120) is State.CLOSED
    assert breaker.room(120, 3, 8) == 5
    assert breaker.failed(120) is False  # counted from the beginning
    assert breaker.state(120) is State.CLOSED


def test_a_refused_key_opens_it_at_once() -> None:
    breaker = Breaker(3, PAUSE)
    assert breaker.failed(0, at_once=True) is True
    assert breaker.state(0) is State.OPEN


def test_held_it_begins_nothing_and_is_not_open() -> None:
    breaker = Breaker(3, PAUSE)
    breaker.hold(0, timedelta(seconds=10))
    breaker.hold(0, timedelta(seconds=5))
    assert (breaker.room(9, 0, 8), breaker.room(10, 0, 8)) == (0, 8)
    assert breaker.state(9) is State.CLOSED
