"""One request begins every few turns of the loop, clients in turn, and what nobody could answer in time is refused."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from control_plane.errors import TooMany, Unavailable
from control_plane.turnstile import TURNS, WAITING_EACH, WAITING_MOST, Turnstile
from fleet.cancellation import end_all


async def turn() -> None:
    """Return in the next turn of the loop."""
    await asyncio.sleep(0)


class Crowd:
    """Requests that say when they were let in."""

    def __init__(self) -> None:
        self.turnstile = Turnstile()
        self.order: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    def arrive(self, client: str, number: int = 1) -> None:
        self.tasks += [asyncio.create_task(self._enter(client)) for _ in range(number)]

    async def _enter(self, client: str) -> None:
        await self.turnstile.enter(client)
        self.order.append(client)


async def test_who_comes_alone_does_not_wait() -> None:
    crowd = Crowd()
    for number in range(3):
        crowd.arrive("a")
        await turn()
        assert len(crowd.order) == number + 1
        for _ in range(TURNS):
            await turn()


async def test_one_request_begins_in_some_turns_however_many_have_arrived() -> None:
    crowd = Crowd()
    crowd.arrive("a", 50)
    begun: list[int] = []
    for number in range(2 * 50 * TURNS):
        await turn()
        begun += [number] * (len(crowd.order) - len(begun))
    between = [later - earlier for earlier, later in pairwise(begun)]
    assert len(begun) == 50
    assert min(between[1:]) >= TURNS  # who finds it open has not waited for a turn
    assert max(between) <= TURNS + 1  # and no turns pass in vain


async def test_a_flood_waits_behind_itself() -> None:
    crowd = Crowd()
    crowd.arrive("flood", 100)
    await turn()
    crowd.arrive("b", 2)
    await asyncio.gather(*crowd.tasks)
    assert [place for place, client in enumerate(crowd.order) if client == "b"][-1] < 8


async def test_a_client_with_too_many_waiting_is_refused_and_others_are_not() -> None:
    crowd = Crowd()
    crowd.arrive("flood", WAITING_EACH + 1)  # the first one does not wait
    await turn()
    with pytest.raises(TooMany, match="wait for their answers") as refused:
        await crowd.turnstile.enter("flood")
    assert int(refused.value.headers["Retry-After"]) >= 1
    await crowd.turnstile.enter("b")
    await asyncio.gather(*crowd.tasks)
    await crowd.turnstile.enter("flood")


async def test_a_replica_with_too_many_waiting_refuses_everybody() -> None:
    crowd = Crowd()
    crowd.arrive("first")
    for number in range(WAITING_MOST // WAITING_EACH):
        crowd.arrive(f"flood {number}", WAITING_EACH)
    await turn()
    with pytest.raises(Unavailable, match="this replica"):
        await crowd.turnstile.enter("b")
    await asyncio.gather(*crowd.tasks)


async def test_who_gives_up_leaves_his_place() -> None:
    crowd = Crowd()
    crowd.arrive("a", 4)
    await turn()
    await end_all(crowd.tasks[1:3])
    await asyncio.wait_for(asyncio.gather(crowd.tasks[0], crowd.tasks[3]), 5)
    assert crowd.order == ["a", "a"]
    await asyncio.wait_for(crowd.turnstile.enter("a"), 5)
