"""A store that stands still, is full, or cannot be reached: nothing is lost, and nobody is told a lie."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from tests.faults.fleet import CHROMELESS, SLACK, FaultyFleet, faulty_fleet, fleet_options
from tests.faults.ledger import Recovered
from tests.faults.site import PAGES, Sites
from tests.support import free_port, wait_until
from tests.tcp_proxy import TcpProxy, Way

pytestmark = pytest.mark.asyncio(loop_scope="module")

BALLAST = 50_000_000
"""Bytes in the store, so that one percent of it is more than a few tasks need."""
STILL_S = 10.0
"""How long a store may stand still without costing a node its leases."""
ANSWER_S = 2.5
"""How soon a client is told that the store does not answer."""

Proxies = dict[str, TcpProxy]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxies() -> AsyncIterator[Proxies]:
    """What stands between the first node, the second replica and the store."""
    port = free_port()
    async with TcpProxy(port) as node, TcpProxy(port) as replica:
        yield {"node-1": node, "control-plane-2": replica}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_fleet(
    tmp_path_factory: pytest.TempPathFactory, site: Sites, proxies: Proxies
) -> AsyncIterator[FaultyFleet]:
    directory = tmp_path_factory.mktemp("fleet")
    options = fleet_options(
        directory / "state",
        [f"*.site.test=127.0.0.1:{site.port}"],
        programs=CHROMELESS,
        settings={"LEADFLEET_RATE_SCALE": "100"},
        valkey_port=proxies["node-1"].target,
        reach={part: {"valkey": proxy.port} for part, proxy in proxies.items()},
    )
    async with faulty_fleet(options, directory / "ledger") as fleet:
        await fleet.begin()
        yield fleet


async def busy(fleet: FaultyFleet, name: str) -> list[str]:
    """Tasks that hold every slot of the fleet, each with its home page read."""
    tasks = [await fleet.submit(f"http://{name}-{n}.site.test/", key=f"{name}-{n}") for n in range(4)]
    for task in tasks:
        await fleet.until(task, lambda state: state["pages"] == 1, "its first page")
    return tasks


@contextlib.asynccontextmanager
async def stopped(fleet: FaultyFleet) -> AsyncIterator[None]:
    """The store's process does not run."""
    async with fleet.frozen(fleet.pid("valkey")):
        yield


@contextlib.asynccontextmanager
async def busy_with_a_script(fleet: FaultyFleet) -> AsyncIterator[None]:
    """The store answers BUSY to whatever it is asked."""
    async with Redis.from_url(fleet.stack.redis_url, socket_timeout=60) as one, one.client() as other:
        await one.config_set("busy-reply-threshold", 100)
        spinning = asyncio.create_task(one.eval("while true do end", 0))  # type: ignore[arg-type]
        try:
            await wait_until(lambda: _is_busy(other), description="the script to take the store")
            yield
        finally:
            await other.script_kill()
            with pytest.raises(ResponseError):
                await spinning


async def _is_busy(client: Redis) -> bool:
    try:
        await client.get("x")
    except ResponseError as exc:
        return "BUSY" in str(exc)
    return False


@pytest.mark.faults
@pytest.mark.parametrize("stand_still", [stopped, busy_with_a_script], ids=["stopped", "busy"])
async def test_10_a_store_that_stands_still_costs_no_lease(fleet: FaultyFleet, site: Sites, stand_still: Any) -> None:
    name = stand_still.__name__
    site.hold()
    tasks = await busy(fleet, f"still-{name.replace('_', '-')}")
    over = time.monotonic() + STILL_S
    asked, longest = 0, 0.0
    async with stand_still(fleet):
        while time.monotonic() < over:
            replica, began = asked % 2, time.monotonic()
            status, answer = await fleet.try_to_submit(
                f"http://{name.replace('_', '-')}.site.test/", key=f"still-{name}", replica=replica
            )
            longest = max(longest, time.monotonic() - began)
            assert status == 503, answer
            assert int(answer["headers"]["Retry-After"]) <= ANSWER_S
            assert not await fleet.ready(replica)
            asked += 1
    assert asked >= 2
    fleet.ledger.note(Recovered(f"10 {name}: told so, at the latest", longest, ANSWER_S * SLACK))
    await fleet.recovers(f"10 {name}: all back", 3.0, fleet.all_back)
    tasks.append(await fleet.submit(f"http://{name.replace('_', '-')}.site.test/", key=f"still-{name}"))
    site.let_go()
    for state in await fleet.ended(*tasks):
        assert (state["status"], state["pages"]) == ("completed", PAGES), state
        assert len(await fleet.fences(state["task_id"])) == 1, "its lease was kept"
    assert not [line for node in ("node-1", "node-2") for line in fleet.said(node, "fenced")]


@pytest.mark.faults
async def test_11_a_full_store_takes_no_tasks_and_keeps_those_it_has(fleet: FaultyFleet, site: Sites) -> None:
    site.hold()
    tasks = await busy(fleet, "full")
    limit = (await fleet.redis.config_get("maxmemory"))["maxmemory"]
    await fleet.redis.config_set("maxmemory", "1mb")
    try:
        for replica in (0, 1):
            status, answer = await fleet.try_to_submit("http://full.site.test/", key="full", replica=replica)
            assert status == 503, answer
            assert int(answer["headers"]["Retry-After"]) <= ANSWER_S
        site.let_go()

        async def append_refused() -> bool:
            return bool(fleet.said("node-1", "append_failed") and fleet.said("node-2", "append_failed"))

        await wait_until(append_refused, 30, "the nodes to be refused")
        assert [(await fleet.status(task))["status"] for task in tasks] == ["running"] * len(tasks), "reads go on"
    finally:
        await fleet.redis.config_set("maxmemory", limit)

    async def takes_tasks() -> None:
        tasks.append(await fleet.submit("http://full.site.test/", key="full"))

    await fleet.recovers("11 takes tasks again", 3.0, takes_tasks)
    for state in await fleet.ended(*tasks):
        assert (state["status"], state["pages"]) == ("completed", PAGES), state


@pytest.mark.faults
async def test_11_a_store_that_fills_up_gives_up_pictures_first_then_new_tasks(fleet: FaultyFleet, site: Sites) -> None:
    site.hold()
    tasks = await busy(fleet, "filling")
    limit = (await fleet.redis.config_get("maxmemory"))["maxmemory"]
    await fleet.redis.setrange("ballast", BALLAST, b"x")
    used = (await fleet.redis.info("memory"))["used_memory"]
    picture = f"/api/scraper/snapshot/{tasks[0]}.jpg"
    try:
        # pictures: nobody asks the node for any, and tasks are taken
        await fleet.redis.config_set("maxmemory", int(used / 0.87))
        await wait_until(lambda: _asks_for_no_pictures(fleet, tasks[0], picture), 60, "pictures to be given up")
        tasks.append(await fleet.submit("http://filling.site.test/", key="filling"))

        # tasks: none are taken, and those that run end
        await fleet.redis.config_set("maxmemory", int(used / 0.93))

        async def refused() -> bool:
            status, answer = await fleet.try_to_submit("http://filling-9.site.test/", key="filling-9")
            return status == 503 and "almost full" in answer["detail"]

        await wait_until(refused, 30, "new tasks to be refused")
        site.let_go()
        for state in await fleet.ended(*tasks):
            assert (state["status"], state["pages"], state["attempt"]) == ("completed", PAGES, 1), state
        assert await refused()
    finally:
        await fleet.redis.config_set("maxmemory", limit)
        await fleet.redis.delete("ballast")

    async def takes_tasks() -> None:
        await fleet.ended(await fleet.submit("http://filling-9.site.test/", key="filling-9"))

    await fleet.recovers("11 takes tasks again once there is room", 3.0, takes_tasks)


async def _asks_for_no_pictures(fleet: FaultyFleet, task: str, picture: str) -> bool:
    """Whether somebody who wants a picture of a running task leaves no trace of it in the store."""
    await fleet.redis.delete(fleet.keys.watch(task))
    async with fleet.session.get(fleet.stack.url + picture) as answer:
        assert answer.status == 503, "there is no Chrome that could send one"
    return not await fleet.redis.exists(fleet.keys.watch(task))


@pytest.mark.faults
async def test_14_replies_that_are_lost_double_nothing(fleet: FaultyFleet, site: Sites, proxies: Proxies) -> None:
    tasks: list[str] = []
    async with Redis.from_url(fleet.stack.redis_url) as client, client.monitor() as monitor:
        appended: Counter[tuple[str, str]] = Counter()
        listening = asyncio.create_task(_count_batches(monitor, appended))
        for number in range(3):
            site.hold()
            held = [
                await fleet.submit(f"http://lost-{number}{n}.site.test/", key=f"lost-{number}{n}") for n in range(4)
            ]
            for task in held:
                await fleet.until(task, lambda state: state["pages"] == 1, "its first page")
            twice = _doubled(appended)
            for proxy in proxies.values():
                proxy.cut(Way.REPLIES)
            # a replica whose replies are lost has submitted it, and its client asks the other one under the same key
            key = f"lost-{number}-twice"
            tasks.append(await fleet.submit(f"http://lost-again-{number}.site.test/", key=key, replica=1))
            site.let_go()
            await fleet.ended(*[task for task in held if await _runs_on(fleet, task, "node-2")])
            for proxy in proxies.values():
                proxy.heal()

            async def again(before: int = twice) -> bool:
                return _doubled(appended) > before

            await wait_until(again, 30, "the node to append again what it had appended")
            tasks += held
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening
    states = await fleet.ended(*tasks)
    for state in states:
        assert (state["status"], state["pages"], state["total_results"]) == ("completed", PAGES, PAGES), state
    known = (await fleet.insist("GET", "/api/tasks?limit=500"))["tasks"]
    asked = Counter(task["queries"][0] for task in known if "lost-" in task["queries"][0])
    assert set(asked.values()) == {1}, "no task twice"
    leads = await fleet.insist("GET", f"/api/scraper/status/{tasks[0]}")
    assert leads["total_results"] == PAGES


async def _runs_on(fleet: FaultyFleet, task: str, node: str) -> bool:
    slot: Any = await fleet.redis.hget(fleet.keys.unit(f"{task}.0"), "slot")  # type: ignore[misc]
    return (slot or b"").decode().startswith(f"{node}/")


async def _count_batches(monitor: Any, appended: Counter[tuple[str, str]]) -> None:
    """Counts by (fence, seq) how often nodes appended a batch."""
    async for said in monitor.listen():
        command = said["command"]
        if command.startswith("XADD") and " k batch " in command:
            found = re.search(r" fence (\d+) seq (\d+) ", command)
            assert found is not None, command[:200]
            appended[found[1], found[2]] += 1


def _doubled(appended: Counter[tuple[str, str]]) -> int:
    return sum(times > 1 for times in appended.values())


@pytest.mark.faults
async def test_15_a_replica_that_is_cut_off_is_alone_unready(fleet: FaultyFleet, site: Sites, proxies: Proxies) -> None:
    proxies["control-plane-2"].cut()

    async def unready() -> bool:
        assert await fleet.ready(0), "the other one serves"
        return not await fleet.ready(1)

    await wait_until(unready, 20, "the replica to be unready")
    tasks = [await fleet.submit(f"http://alone-{n}.site.test/", key=f"alone-{n}") for n in range(4)]
    ended = asyncio.create_task(fleet.ended(*tasks))
    status, answer = await fleet.ask("GET", f"/api/scraper/status/{tasks[0]}", replica=1)
    assert status == 503
    assert int(answer["headers"]["Retry-After"]) <= ANSWER_S
    assert all(state["status"] == "completed" for state in await ended)
    assert not await fleet.ready(1)
    assert await fleet.ready(0)
    proxies["control-plane-2"].heal()

    async def ready() -> None:
        await wait_until(lambda: fleet.ready(1), 30, "the replica to be ready")

    await fleet.recovers("15 the replica is ready again", 3.0, ready)
