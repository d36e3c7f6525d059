"""Tasks end although they do not hear, and what must be finished is finished although one is told to end."""

from __future__ import annotations

import asyncio

import pytest

from fleet.cancellation import end_all, to_the_end


async def test_a_task_that_turns_a_cancellation_into_an_error_is_told_again() -> None:
    heard = 0

    async def role() -> None:
        nonlocal heard
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                heard += 1
                if heard > 2:
                    raise

    tasks = [asyncio.create_task(role()), asyncio.create_task(asyncio.sleep(3600))]
    await asyncio.sleep(0)
    await end_all(tasks)
    assert heard == 3
    assert all(task.cancelled() for task in tasks)


async def test_what_must_be_finished_is_finished_before_the_cancellation_goes_on() -> None:
    go, done = asyncio.Event(), []

    async def work() -> None:
        await go.wait()
        done.append("done")

    caller = asyncio.create_task(to_the_end(work()))
    await asyncio.sleep(0)
    for _ in range(3):
        caller.cancel()
        await asyncio.sleep(0)
    assert not caller.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done == ["done"]


async def test_an_error_of_what_was_finished_is_the_cause_of_the_cancellation() -> None:
    go = asyncio.Event()

    async def work() -> None:
        await go.wait()
        raise ValueError("disk full")

    caller = asyncio.create_task(to_the_end(work()))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(asyncio.CancelledError) as caught:
        await caller
    assert isinstance(caught.value.__cause__, ValueError)


async def test_nothing_is_changed_for_who_is_not_cancelled() -> None:
    async def work(fails: bool) -> int:
        await asyncio.sleep(0)
        if fails:
            raise ValueError("disk full")
        return 7

    assert await to_the_end(work(fails=False)) == 7
    with pytest.raises(ValueError, match="disk full"):
        await to_the_end(work(fails=True))
