"""A person takes the wheel of a task's browser, opens what a page hides, and the unit reads what is shown then."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from infra.stack.options import Options
from tests.door import CODE, Door, door_site
from tests.stacks import Client, client_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

NO_INPUTS = (
    "x",
    "[]",
    '{"type": "jump"}',
    '{"type": "pointer", "event": "down", "x": 1.5, "y": 0}',
    '{"type": "text", "text": ""}',
    '{"type": "key", "event": "press", "key": "a", "more": 1}',
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[Door]:
    async with door_site() as door:
        yield door


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory, site: Door) -> AsyncIterator[Client]:
    allowed = (f"*.door.test=127.0.0.1:{site.port}",)
    state = tmp_path_factory.mktemp("stack")
    settings = {"LEADFLEET_CONTROL_LIMIT": "20"}
    async with client_of(
        Options(state=state, replicas=2, nodes=1, slots=1, egress_allow=allowed, settings=settings)
    ) as client:
        yield client


@pytest.fixture
def door(site: Door) -> Door:
    """The site, as if nobody had been there."""
    site.close()
    return site


def wheel(client: Client, task: str, replica: int = 0) -> Any:
    return client.session.ws_connect(client.url(f"/api/scraper/ws/control/{task}", replica))


async def refused(client: Client, task: str, replica: int = 0) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await wheel(client, task, replica)
    return refusal.value.status


async def state_of_wheel(client: Client, task: str) -> str:
    told = await client.get(f"/api/scraper/control/{task}", replica=1)
    assert bool(told["detail"]) == (told["state"] != "free")
    assert (told["task_id"], told["limit_s"]) == (task, 20)
    return str(told["state"])


async def at_the_door(client: Client, door: Door, query: str) -> str:
    """A task whose browser waits for the site's page."""
    task = await client.start(query, enrich_websites=False)
    await door.is_asked()
    return task


async def click(socket: aiohttp.ClientWebSocketResponse, x: float, y: float) -> None:
    for event in ("move", "down", "up"):
        await socket.send_json({"type": "pointer", "event": event, "x": x, "y": y})


async def log_of(client: Client, task: str) -> list[str]:
    return [event["message"] for event in await client.events(task) if event["type"] == "log"]


async def test_a_person_opens_what_the_unit_then_reads(client: Client, door: Door) -> None:
    task = await at_the_door(client, door, "http://stein.door.test/")
    assert await state_of_wheel(client, task) == "free"
    async with wheel(client, task) as socket:
        greeting = await socket.receive_json()
        assert (greeting["type"], greeting["limit_s"]) == ("connected", 20)
        assert await refused(client, task, replica=1) == 409
        assert await state_of_wheel(client, task) == "held"
        door.open.set()
        await door.hears("shown")
        await click(socket, 0.5, 0.1)
        await door.hears("missed")
        await click(socket, 0.8, 0.7)
        await door.hears("clicked")
        await socket.send_json({"type": "wheel", "x": 0.5, "y": 0.5, "dy": 120})
        await door.hears("wheel-120")
        await socket.send_json({"type": "paste", "text": CODE[:2]})
        await door.hears("pasted")
        await socket.send_json({"type": "text", "text": CODE[2:]})
        await socket.send_json({"type": "key", "event": "press", "key": "Enter"})
        await door.hears("solved")
        assert (await client.status(task))["status"] == "running", "the unit waits as long as somebody has the wheel"
    (state,) = await client.ended(task)
    assert (state["status"], state["total_results"]) == ("completed", 1), state
    (lead,) = [event["data"] for event in await client.events(task) if event["type"] == "result"]
    assert [phone["normalized_e164"] for phone in lead["phones"]] == ["+493031804711"]
    told = await log_of(client, task)
    assert [re.sub("^key [0-9a-f]{12} ", "", line) for line in told if "the wheel" in line] == [
        "has the wheel: the unit waits", "gave the wheel back: the unit goes on",
    ]  # fmt: skip
    assert await refused(client, task) == 409, "nothing of the task runs any more"
    assert await state_of_wheel(client, task) == "no_browser"


async def test_what_is_no_input_is_answered_and_changes_nothing(client: Client, door: Door) -> None:
    task = await at_the_door(client, door, "http://invalid.door.test/")
    async with wheel(client, task) as socket:
        await socket.receive_json()
        for said in NO_INPUTS:
            await socket.send_str(said)
            answer = await socket.receive_json(timeout=10)
            assert (answer["type"], bool(answer["detail"])) == ("invalid", True), said
        await socket.send_json(
            {"type": "key", "event": "press", "key": "NoSuchKey"}
        )  # Chrome knows none: the next one works
        door.open.set()
        await door.hears("shown")
        await click(socket, 0.8, 0.7)
        await door.hears("clicked")
    await client.ended(task)


@pytest.mark.faults
async def test_the_wheel_is_given_back_when_its_time_is_over(client: Client, door: Door) -> None:
    task = await at_the_door(client, door, "http://limit.door.test/")
    async with wheel(client, task) as socket:
        await socket.receive_json()
        door.open.set()
        closed = await socket.receive(timeout=40)
        assert (closed.type, socket.close_code) == (aiohttp.WSMsgType.CLOSE, 4008)
    assert (await client.ended(task))[0]["status"] == "completed"


@pytest.mark.faults
async def test_a_lost_replica_frees_the_unit(client: Client, door: Door) -> None:
    task = await at_the_door(client, door, "http://lost.door.test/")
    async with wheel(client, task, replica=1) as socket:
        await socket.receive_json()
        await client.stack.children["control-plane-2"].lose()
        door.open.set()
        assert (await client.ended(task))[0]["status"] == "completed"
    assert any("is gone from the wheel" in line for line in await log_of(client, task))


async def test_the_wheel_needs_its_scope(client: Client) -> None:
    made = await client.session.post(
        client.url("/api/auth/keys"), json={"tenant": "default", "name": "b", "scopes": ["tasks:read", "streams:read"]}
    )
    key = (await made.json())["key"]
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await client.session.ws_connect(
            client.url(f"/api/scraper/ws/control/tsk_{'0' * 26}"), headers={"Authorization": f"Bearer {key}"}
        )
    assert refusal.value.status == 403
