"""What clients do wrong, and what goes wrong between them and a control plane: real replicas, no browsers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import psutil
import pytest
import pytest_asyncio
import yarl
from redis.asyncio import Redis

from control_plane.monitor import FIRST_REACH_AFTER, REACH_EVERY, REACH_FAILURES, REACH_LIMIT
from control_plane.web import BODY_TIMEOUT_S
from infra.stack.options import Options
from infra.stack.stack import Stack
from tests.faults.fleet import SLACK
from tests.integration.control_plane.scheduling.world import World
from tests.support import free_port, wait_until
from tests.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.faults, pytest.mark.asyncio(loop_scope="module")]

START = "/api/scraper/start"
FLEET = "test"  # the one that `World` speaks for
AT_ONCE = 16
ASKS = 5
MB = 1024 * 1024


@dataclass
class Served:
    """Two replicas; the first one reaches Valkey through ``proxy``."""

    stack: Stack
    session: aiohttp.ClientSession
    redis: Redis
    proxy: TcpProxy

    async def call(self, method: str, path: str, replica: int = 1, **options: Any) -> tuple[int, Any, Any]:
        url = yarl.URL(self.stack.urls[replica] + path, encoded=True)
        async with self.session.request(method, url, allow_redirects=False, **options) as answer:
            raw = await answer.read()
            return answer.status, orjson.loads(raw) if "json" in answer.content_type else raw, answer.headers

    async def start(self, query: str, key: str, replica: int = 1) -> tuple[int, Any, Any]:
        body = {"queries": [query], "platforms": ["website"]}
        return await self.call("POST", START, replica, json=body, headers={"Idempotency-Key": key})

    def head(self) -> str:
        """The first lines of a start request to the second replica."""
        host = yarl.URL(self.stack.urls[1]).authority
        return f"POST {START} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {self.stack.api_key}\r\n"

    def memory(self) -> int:
        """Resident bytes of the second replica, without its store worker."""
        pid = self.stack.children["control-plane-2"].pid
        assert pid is not None
        return int(psutil.Process(pid).memory_info().rss)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    valkey_port = free_port()
    async with TcpProxy(valkey_port) as proxy:
        options = Options(
            state=tmp_path_factory.mktemp("api") / "state",
            fleet=FLEET,
            replicas=2,
            nodes=0,
            settings={"LEADFLEET_RATE_SCALE": "1000", "LEADFLEET_EGRESS_ALLOW": "*.town.test=127.0.0.1:1"},
            valkey_port=valkey_port,
            reach={"control-plane-1": {"valkey": proxy.port}},
        )
        async with Stack(options) as stack:
            headers = {"Authorization": f"Bearer {stack.api_key}"}
            redis = Redis.from_url(stack.redis_url)
            async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=60)) as session:
                yield Served(stack, session, redis, proxy)
            await redis.aclose()


async def test_07_a_replica_that_dies_between_enqueue_and_reply_starts_one_task(served: Served) -> None:
    world = World(served.redis)
    url = "http://dies-7.town.test/"
    served.proxy.deaf_after = url.encode()  # the submit reaches the store; what the store says of it reaches nobody
    before = await served.redis.zcard(world.keys.tenant_tasks("default"))
    asking = asyncio.create_task(served.start(url, "dies-7", replica=0))

    async def enqueued() -> bool:
        return await served.redis.zcard(world.keys.tenant_tasks("default")) == before + 1

    try:
        await wait_until(enqueued, 30, "the task to be in the store")
        assert not asking.done()
        served.stack.kill("control-plane-1")
        with pytest.raises(aiohttp.ClientError):
            await asking
    finally:
        served.proxy.deaf_after = b""
        served.proxy.heal()
    newest = (await served.redis.zrevrange(world.keys.tenant_tasks("default"), 0, 0))[0].decode()
    status, again, _ = await served.start(url, "dies-7")
    assert (status, again["task_id"]) == (200, newest)
    assert await enqueued(), "and it is the only one"
    await wait_until(lambda: served.stack.children["control-plane-1"].ready, 60, "the replica to be back")
    assert (await served.start(url, "dies-7", replica=0))[1]["task_id"] == newest


async def test_24_fifty_submits_at_once_under_one_key_are_one_task(served: Served) -> None:
    answers = await asyncio.gather(
        *(served.start("http://many-24.town.test/", "many-24", replica=number % 2) for number in range(50))
    )
    assert {status for status, _, _ in answers} == {200}
    assert len({answer["task_id"] for _, answer, _ in answers}) == 1
    assert (await served.start("http://other-24.town.test/", "many-24"))[0] == 422


BODIES = [
    b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b"NaN", b'{"a": NaN}', b'{"queries": ["\\ud800"], "value": "\\ud800"}',
    b"[" * 100_000, b'{"where": ' + b"[" * 900 + b"]" * 900 + b"}",
    b'{"where": ' + b'{"all_of": [' * 400 + b"]}" * 400 + b"}",
    b'{"queries": {"$ne": 1}, "where": 5, "value": [], "name": {}, "scopes": 1, "task_ids": "x", "kinds": [[]]}',
    b'{"limit": 1e999}', b'{"limit": 99999999999999999999999999}', b'"\\u0000"',
    b'{"value": "\\u0000", "name": "\\u0000", "task_ids": ["\\u0000"], "tenant": "\\u0000", "task_id": "\\u0000"}',
]  # fmt: skip
WORDS = [
    "NaN",
    "1e999",
    "-1",
    "%00",
    "%ED%A0%80",
    "%FF",
    "9" * 400,
    "[" * 200,
    "%F0%9F%92%A9",
    "x" * 2_000,
    "",
    "{}",
    "%E2%80%AE",
]
PATH_WORDS = ["%00", "%ED%A0%80", "%FF", "..%2f..%2fetc", "x" * 2_000, "%F0%9F%92%A9", "tsk_" + "0" * 26, "%0d%0aX-A:1"]
ENDLESS = {"text/event-stream", "multipart/x-mixed-replace"}


def hostile(paths: dict[str, Any]) -> Iterator[tuple[str, str, bytes | None]]:
    """Method, path and body of calls that no route is made for; every route that is described gets some."""
    for template, operations in paths.items():
        for method, operation in operations.items():
            path = re.sub(r"{.*?}", "tsk_" + "0" * 26, template)
            if method in {"post", "put", "patch", "delete"}:
                yield from ((method, path, body) for body in BODIES)
            if "{" in template:
                yield from ((method, re.sub(r"{.*?}", word, template), None) for word in PATH_WORDS)
            names = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
            yield from ((method, f"{path}?{name}={word}", None) for name in names for word in WORDS)
            yield method, path + "?" + "&".join(f"{name}=%00" for name in names or ["a"]), None


async def test_27_hostile_input_is_a_problem_on_every_route(served: Served) -> None:
    """Malformed, deep, NaN, lone surrogates, NUL: in bodies, paths and query strings. Never a 500, never a hang."""
    document = (await served.call("GET", "/openapi.json"))[1]
    calls = list(hostile(document["paths"]))
    assert {"post", "delete", "get"} <= {method for method, _, _ in calls}
    room, wrong = asyncio.Semaphore(AT_ONCE), []

    async def ask(method: str, path: str, body: bytes | None) -> None:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        headers |= {"Prefer": "wait=0"}
        async with room:
            for _ in range(ASKS):  # a store that is busy with all this may say that it is
                status, answer, headers_back = await served.call(method, path, data=body, headers=headers)
                if status != 503:
                    break
        said = headers_back.get("Content-Type", "")
        if status >= 500 or (status >= 400 and method != "head" and said != "application/problem+json"):
            wrong.append((method, path[:200], (body or b"")[:80], status, str(answer)[:200]))

    await asyncio.gather(*(ask(*call) for call in calls))
    assert wrong == []
    assert len(calls) > 1_000


async def test_27_hostile_headers_are_a_problem(served: Served) -> None:
    for headers in (
        {"Idempotency-Key": "\u00ff" * 100}, {"Idempotency-Key": ""}, {"Authorization": "Bearer \u00e9"},
        {"Authorization": "Basic !!!"}, {"X-API-Key": "\u00ff" * 3_000}, {"Content-Type": "\u00ff"},
        {"Last-Event-ID": "\u00ff"}, {"Origin": "\u00ff"}, {"Accept": "\u00ff;q=NaN"}, {"Prefer": "wait=NaN"},
        {"Cookie": "\u00ff=\u00ff; ="}, {"X-Request-ID": "a\u00ff" * 500}, {"If-None-Match": '"\u00ff'},
    ):  # fmt: skip
        for method, path in (("POST", START), ("GET", "/api/tasks"), ("GET", "/api/export/csv"), ("GET", "/health")):
            status, answer, _ = await served.call(method, path, headers=headers)
            assert status < 500, (headers, path, answer)


async def test_27_hostile_messages_end_a_socket_or_nothing(served: Served) -> None:
    task = (await served.start("http://socket-27.town.test/", "socket-27"))[1]["task_id"]
    for channel in ("logs", "progress", "results", "events"):
        url = f"{served.stack.urls[1]}/api/scraper/ws/{channel}/{task}"
        async with served.session.ws_connect(url) as socket:
            for text in ("{", "[" * 10_000, "NaN", '{"a": "\\ud800"}', "\x00", ""):
                await socket.send_str(text)
            await socket.send_bytes(b"\xff\xfe\x00")
            await socket.send_str("ping")
            async with asyncio.timeout(20):
                while (await socket.receive_json())["type"] != "pong":
                    pass
    for position in ("NaN", "%ED%A0%80", "%00", "9" * 400, "1-1-1"):
        url = f"{served.stack.urls[1]}/api/scraper/ws/events/{task}?last_event_id={position}"
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await served.session.ws_connect(yarl.URL(url, encoded=True))
        assert refused.value.status == 400


async def test_28_giant_bodies_and_messages_cost_no_memory(served: Served) -> None:
    """Forty bodies of 64 MB at once, said and unsaid, then twenty messages of 1 MB: all are ended, nothing is kept."""
    address = yarl.URL(served.stack.urls[1])
    task = (await served.start("http://giant-28.town.test/", "giant-28"))[1]["task_id"]
    before = served.memory()

    async def giant(number: int) -> int:
        _, writer = await asyncio.open_connection(address.host, address.port)
        length = "Transfer-Encoding: chunked" if number % 2 else f"Content-Length: {64 * MB}"
        head = served.head() + f"{length}\r\n\r\n"
        piece, sent = b"x" * 65_536, 0
        try:
            writer.write(head.encode())
            with contextlib.suppress(ConnectionError):
                while sent < 64 * MB:
                    writer.write(b"%x\r\n" % len(piece) + piece + b"\r\n" if number % 2 else piece)
                    await writer.drain()
                    sent += len(piece)
        finally:
            writer.transport.abort()
        return sent

    async def message() -> int | None:
        async with served.session.ws_connect(f"{served.stack.urls[1]}/api/scraper/ws/events/{task}") as socket:
            with contextlib.suppress(ConnectionError):
                await socket.send_bytes(b"x" * MB)
            async with asyncio.timeout(30):
                async for _ in socket:
                    pass
            return socket.close_code

    taken = await asyncio.gather(*(giant(number) for number in range(40)))
    assert max(taken) < 16 * MB, "cut off soon after the megabyte that a body may have"
    closed = await asyncio.gather(*(message() for _ in range(20)))
    assert set(closed) <= {1009, 1006}
    assert 1009 in closed
    assert served.memory() - before < 100 * MB
    assert (await served.call("GET", "/health/live"))[0] == 200


async def test_28_slow_and_lying_bodies_are_given_up_and_hold_up_nobody(served: Served) -> None:
    address = yarl.URL(served.stack.urls[1])

    async def slow(said: int, sent: bytes, *, half_close: bool) -> bytes:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        head = served.head()
        try:
            writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {said}\r\n\r\n".encode() + sent)
            if half_close:
                writer.write_eof()
            async with asyncio.timeout(BODY_TIMEOUT_S * SLACK):
                line = await reader.readline()
                return line.split()[1] if line else b"closed"
        finally:
            writer.transport.abort()

    waiting = [asyncio.create_task(slow(100, b'{"queries":', half_close=False)) for _ in range(100)]
    for _ in range(20):
        assert (await served.call("GET", "/api/tasks"))[0] == 200, "others are served meanwhile"
    assert set(await asyncio.gather(*waiting)) == {b"408"}
    assert await slow(100, b'{"queries":', half_close=True) in {b"400", b"408", b"closed"}, (
        "it said 100 and left after 11"
    )
    assert await slow(2, b'{}{"queries": []}', half_close=False) == b"422", "what follows is no part of the body"


@pytest.mark.parametrize("way", ["killed", "reset"])
async def test_34_connections_that_died_while_idle_are_made_again(served: Served, way: str) -> None:
    """Hours without a request: a firewall or a server has forgotten every connection, and the store its scripts."""
    assert (await served.call("GET", "/api/tasks", replica=0))[0] == 200
    if way == "reset":
        served.proxy.reset()
    else:
        await served.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await served.redis.script_flush()
    status, answer, _ = await served.start("http://idle-34.town.test/", f"idle-{way}", replica=0)
    assert status == 200, answer


async def test_a_replica_that_does_not_reach_storage_is_not_ready_until_it_does(served: Served) -> None:
    """S3 hangs, which is worse than being gone: nothing may hang with it."""
    s3 = served.stack.children["s3"].pid
    assert s3 is not None

    async def ready_is(status: int) -> bool:
        async with asyncio.timeout(5):
            return (await served.call("GET", "/health/ready"))[0] == status

    async def storage() -> str:
        said: str = (await served.call("GET", "/health"))[1]["components"]["storage"]["status"]
        return said

    async def reached() -> bool:
        return await storage() == "up"

    await wait_until(reached, FIRST_REACH_AFTER.total_seconds() * SLACK * 2, "storage to be seen")
    os.kill(s3, signal.SIGSTOP)
    try:
        bound = (REACH_EVERY + REACH_LIMIT).total_seconds() * (REACH_FAILURES + 1) * SLACK
        await wait_until(lambda: ready_is(503), bound, "readiness to turn off")
        assert await storage() == "down"
        assert (await served.call("GET", "/health/live"))[0] == 200
        assert b"leadfleet_storage_up 0.0" in (await served.call("GET", "/metrics"))[1]
    finally:
        os.kill(s3, signal.SIGCONT)
    await wait_until(lambda: ready_is(200), bound, "readiness to turn on again")
