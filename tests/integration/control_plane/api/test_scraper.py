"""Scraping and tasks over HTTP: shapes, states, and every kind of bad input."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import orjson
import pytest
import yarl

from control_plane import web
from control_plane.web import MAX_BODY
from tests.integration.control_plane.api.conftest import Client, Served
from tests.integration.control_plane.scheduling.world import World
from tests.servers import ValkeyServer

START = "/api/scraper/start"


async def test_a_task_is_started_queued_and_listed(api: Client) -> None:
    status, body, _ = await api.post(START, {"queries": ["http://a.town.test/"], "unknown_key": 1})
    assert status == 200
    assert body["status"] == "started"
    assert body["state"] == "queued"
    assert body["queue_position"] == 0
    assert body["usage"] == {"used": 1, "limit": 10_000, "remaining": 9_999}

    _, task, _ = await api.get(f"/api/scraper/status/{body['task_id']}")
    assert task["platforms"] == ["website"]
    assert task["progress"] == {"website": 0}
    assert (await api.get(f"/api/tasks/{body['task_id']}"))[1] == task
    listing = (await api.get("/api/tasks?status=queued&limit=1"))[1]
    assert [t["task_id"] for t in listing["tasks"]] == [body["task_id"]]
    assert (await api.get("/api/tasks/queue/status"))[1]["pending"] == 1


async def test_a_task_that_a_slot_is_free_for_runs_at_once(api: Client, world: World) -> None:
    await world.node("n1")
    _, body, _ = await api.post(START, {"queries": ["http://a.town.test/"]})
    assert (body["state"], body["queue_position"]) == ("running", None)
    assert (await api.get("/api/fleet/slots"))[1]["slots"][0]["task_id"] == body["task_id"]
    assert (await api.get("/api/fleet/nodes"))[1]["nodes"][0]["node_id"] == "n1"


async def test_pause_resume_and_stop(api: Client) -> None:
    task = await api.start()
    for call, said, state in [
        ("pause", "paused", "paused"),
        ("resume", "running", "queued"),
        ("stop", "stopped", "stopped"),
        ("stop", "stopped", "stopped"),
    ]:
        status, body, _ = await api.post(f"/api/scraper/{call}/{task}")
        assert (status, body["status"], body["state"], body["task_id"]) == (200, said, state, task)
        assert (await api.get(f"/api/scraper/status/{task}"))[1]["status"] == state
    status, body, _ = await api.post(f"/api/scraper/resume/{task}")
    assert status == 409


async def test_tasks_are_listed_by_their_state(api: Client) -> None:
    tasks = [await api.start() for _ in range(3)]
    await api.post(f"/api/scraper/stop/{tasks[1]}")
    for state, those in (("stopped", [tasks[1]]), ("queued", [tasks[2], tasks[0]])):
        page = (await api.get(f"/api/tasks?status={state}"))[1]
        assert ([task["task_id"] for task in page["tasks"]], page["total"]) == (those, len(those))
    counts = (await api.get("/api/tasks/queue/status"))[1]
    assert (counts["stopped"], counts["pending"], counts["total_tasks"]) == (1, 2, 3)


async def test_bulk_says_what_it_could_not_do(api: Client) -> None:
    tasks = [await api.start(), await api.start()]
    _, body, _ = await api.post("/api/tasks/bulk/stop", [*tasks, "tsk_nothing"])
    assert body["stopped_count"] == 2
    assert body["total_requested"] == 3
    assert [error["task_id"] for error in body["errors"]] == ["tsk_nothing"]
    assert (await api.post("/api/tasks/bulk/pause", {"ids": tasks}))[0] == 422


async def test_the_same_idempotency_key_is_the_same_task(api: Client) -> None:
    headers = {"Idempotency-Key": "once"}
    body = {"queries": ["http://a.town.test/"]}

    async def submit() -> str:
        """Submit, and again when the store was too busy: what the key is for."""
        while True:
            status, answer, _ = await api.post(START, body, headers=headers)
            if status != 503:
                return str(answer["task_id"])

    assert len(set(await asyncio.gather(*(submit() for _ in range(20))))) == 1
    other = await api.post(START, {"queries": ["http://b.town.test/"]}, headers=headers)
    assert other[0] == 422
    assert (await api.post(START, body, headers={"Idempotency-Key": "k" * 300}))[0] == 400
    task = await submit()
    await api.post(f"/api/scraper/stop/{task}")
    _, again, _ = await api.post(START, body, headers=headers)
    assert (again["task_id"], again["state"], again["queue_position"]) == (task, "stopped", None)


async def test_waiting_tasks_are_listed_with_their_positions(api: Client) -> None:
    tasks = [await api.start() for _ in range(3)]
    listed = {task["task_id"]: task["queue_position"] for task in (await api.get("/api/tasks"))[1]["tasks"]}
    assert [listed[task] for task in tasks] == [0, 1, 2]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_a_body_of_another_kind_is_refused(api: Client, kind: str) -> None:
    body = b'{"queries": ["http://a.town.test/"]}'
    status, problem, _ = await api.call("POST", START, data=body, headers={"Content-Type": kind})
    assert (status, "application/json" in problem["detail"]) == (415, True)
    for good in ("application/json; charset=utf-8", "application/vnd.api+json"):
        assert (await api.call("POST", START, data=body, headers={"Content-Type": good}))[0] == 200


BAD_STARTS = [
    (b"{}", 422),
    (b"[]", 422),
    (b"", 400),
    (b"{", 400),
    (b"\xff\xfe", 400),
    (b'{"queries": [NaN]}', 400),
    (b'{"queries": ["http://a.town.test/"], "max_results": NaN}', 400),
    (b'{"queries": ["http://a.town.test/"], "radius_km": 1e999}', 400),
    (b'{"queries": ["\\ud800"]}', 400),
    (b"[" * 100_000, 400),
    (b'{"queries":' + b"[" * 900 + b"]" * 900 + b"}", 422),
    (b'{"queries": "http://a.town.test/"}', 422),
    (b'{"queries": [1]}', 422),
    (b'{"queries": ["  "]}', 422),
    (orjson.dumps({"queries": ["http://a.town.test/"] * 51}), 422),
    (orjson.dumps({"queries": ["http://a.town.test/" + "x" * 2_048]}), 422),
    (b'{"queries": ["http://a.town.test/"], "max_results": 0}', 422),
    (b'{"queries": ["http://a.town.test/"], "max_results": "5"}', 422),
    (b'{"queries": ["http://a.town.test/"], "platforms": ["google_maps"]}', 422),
    (b'{"queries": ["dentists in Berlin"]}', 422),
    (b'{"queries": ["javascript:alert(1)"]}', 422),
    (b'{"queries": ["file:///etc/passwd"]}', 422),
    (b'{"queries": ["http://169.254.169.254/latest/meta-data"]}', 422),
    (b'{"queries": ["http://localhost:6379/"]}', 422),
]


@pytest.mark.parametrize(("body", "expected"), BAD_STARTS)
async def test_bad_input_is_a_problem_that_says_so(api: Client, body: bytes, expected: int) -> None:
    status, problem, headers = await api.call("POST", START, data=body)
    assert status == expected
    assert headers["Content-Type"] == "application/problem+json"
    assert problem["status"] == expected
    assert problem["title"]
    assert problem["detail"]
    assert expected != 422 or problem["errors"]
    assert "Traceback" not in str(problem)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([], "body: must be a JSON object"),
        ({"queries": ["http://a.town.test/"] * 51}, "queries: may hold at most 50, not 51"),
        ({"queries": ["http://a.town.test/"], "priority": "soon"}, "one of low, normal, high"),
    ],
)
async def test_a_problem_speaks_of_json_not_of_python(api: Client, body: object, says: str) -> None:
    status, problem, _ = await api.call("POST", START, data=orjson.dumps(body))
    assert (status, says in problem["detail"]) == (422, True), problem


@pytest.mark.parametrize("said", [True, False])
async def test_a_huge_body_is_refused_whether_it_says_so_or_not(api: Client, said: bool) -> None:
    """By hand: a client that goes on sending may find the connection closed before it has read the answer."""
    url = yarl.URL(api.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    length = "Content-Length: 20971520" if said else "Transfer-Encoding: chunked"
    key = api.headers["Authorization"]
    head = f"POST {START} HTTP/1.1\r\nHost: {url.authority}\r\nAuthorization: {key}\r\n{length}\r\n\r\n"
    body = b"x" * 1_000 if said else b"%x\r\n" % (MAX_BODY + 1) + b"x" * (MAX_BODY + 1) + b"\r\n"
    try:
        writer.write(head.encode() + body)
        async with asyncio.timeout(10):
            assert (await reader.readline()).split()[1] == b"413"
            answer = await reader.readuntil(b"}")
        assert b"application/problem+json" in answer
        assert b'"status":413' in answer
    finally:
        writer.close()


async def test_a_body_of_unsaid_length_is_read_as_any_other(api: Client) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b'{"queries": ', b'["http://pieces.town.test/"]', b"}"):
            yield piece

    status, body, _ = await api.call("POST", "/api/scraper/start", data=pieces())
    assert status == 200, body
    assert (await api.get(f"/api/scraper/status/{body['task_id']}"))[1]["queries"] == ["http://pieces.town.test/"]


async def test_a_body_that_never_ends_is_given_up(
    open_replica: Callable[..., Awaitable[Served]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "BODY_TIMEOUT_S", 0.2)
    client = (await open_replica()).client()

    async def stalls() -> AsyncIterator[bytes]:
        yield b'{"queries":'
        await asyncio.Event().wait()

    status, problem, _ = await client.call("POST", START, data=stalls())
    assert (status, problem["status"]) == (408, 408)


async def test_what_is_not_there_is_a_problem_too(api: Client) -> None:
    for method, path, expected in [
        ("GET", "/nowhere", 404),
        ("DELETE", "/api/tasks", 405),
        ("GET", "/api/scraper/status/tsk_nothing", 404),
        ("GET", "/api/scraper/status/..%2f..%2fetc", 404),
        ("GET", "/api/tasks?limit=-1", 400),
        ("GET", "/api/tasks?status=odd", 400),
        ("POST", "/api/fleet/nodes/No%20Such/drain", 404),
    ]:
        status, problem, headers = await api.call(method, path)
        assert (status, problem["status"]) == (expected, expected), path
        assert headers["Content-Type"] == "application/problem+json"


async def test_a_full_queue_and_a_used_up_quota_say_when_to_come_back(
    open_replica: Callable[..., Awaitable[Served]],
) -> None:
    for changes in ({"queue_cap": 2}, {"tenant_daily_units": 2}):
        client = (await open_replica(fleet="cap-" + next(iter(changes)).replace("_", "-"), **changes)).client()
        await client.start("http://a.town.test/", "http://b.town.test/")
        status, problem, headers = await client.post(START, {"queries": ["http://c.town.test/"]})
        assert status == 429, problem
        assert int(headers["Retry-After"]) >= 1


async def test_when_the_store_stalls_clients_are_told_to_come_back_soon(
    api: Client, valkey_server: ValkeyServer
) -> None:
    await api.get("/api/tasks")
    os.kill(valkey_server.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        status, problem, headers = await api.get("/api/tasks")
        assert (status, problem["status"]) == (503, 503)
        assert float(headers["Retry-After"]) <= 2.5
        assert time.monotonic() - began < 4
        assert (await api.get("/health"))[1]["status"] == "unhealthy"
    finally:
        os.kill(valkey_server.pid, signal.SIGCONT)
    assert (await api.get("/api/tasks"))[0] == 200


async def test_health_metrics_and_description(api: Client, served: Served, world: World) -> None:
    nobody = served.client(None)
    assert (await nobody.get("/health"))[1]["status"] == "degraded"
    await world.node("n1")
    assert (await nobody.get("/api/health"))[1]["status"] == "healthy"
    assert (await nobody.get("/health/live"))[0] == 200
    assert (await nobody.get("/health/ready", headers={"Host": "10.1.2.3:8000"}))[0] == 200
    await api.start()
    text = (await nobody.get("/metrics"))[1].decode()
    assert 'leadfleet_units{state="running"} 1.0' in text
    assert "leadfleet_http_requests_total" in text
    summary = (await nobody.get("/api/metrics", headers={"Accept": "application/json"}))[1]
    assert summary["active_tasks"] == 1
    document = (await nobody.get("/openapi.json"))[1]
    assert "/api/scraper/status/{task_id}" in document["paths"]
    page = (await nobody.get("/docs"))[1].decode()
    assert "http" not in page.replace("http-equiv", "")  # loads nothing from elsewhere


async def test_the_fleet_is_listed_in_pages(api: Client, world: World) -> None:
    for node in ("n1", "n2", "n3"):
        await world.node(node, slots=2)
    _, page, _ = await api.get("/api/fleet/nodes?limit=2")
    assert ([node["node_id"] for node in page["nodes"]], page["next_cursor"]) == (["n1", "n2"], "n2")
    _, page, _ = await api.get("/api/fleet/nodes?limit=2&cursor=n2")
    assert ([node["node_id"] for node in page["nodes"]], page["next_cursor"]) == (["n3"], None)
    _, page, _ = await api.get("/api/fleet/slots?limit=3&cursor=n1/0")
    assert [slot["slot_id"] for slot in page["slots"]] == ["n1/1", "n2/0", "n2/1"]
    assert page["next_cursor"] == "n2/1"
    assert (await api.get("/api/fleet/nodes?limit=0"))[0] == 400
    status, problem, _ = await api.get("/api/fleet/slots?cursor=nonsense")
    assert (status, "next_cursor of the page before" in problem["detail"]) == (422, True)


async def test_a_tenant_gets_limits_of_its_own(api: Client, served: Served, world: World) -> None:
    status, kept, _ = await api.post("/api/tenants/default/limits", {"max_queued": 1})
    assert (status, kept) == (200, {"tenant": "default", "max_running": None, "max_queued": 1})
    assert (await api.post(START, {"queries": ["http://a.town.test/", "http://b.town.test/"]}))[0] == 422
    _, kept, _ = await api.post("/api/tenants/default/limits", {"max_queued": None, "max_running": 2})
    assert kept == {"tenant": "default", "max_running": 2, "max_queued": None}
    assert (await api.post(START, {"queries": ["http://a.town.test/", "http://b.town.test/"]}))[0] == 200
    assert (await api.post("/api/tenants/default/limits", {}))[1] == kept, "what is not named stays"
    assert (await api.post("/api/tenants/default/limits", {"max_running": 0}))[0] == 422
    assert (await api.post("/api/tenants/No%20Such/limits", {}))[0] == 404
    _, key, _ = await api.post("/api/auth/keys", {"tenant": "other"})
    assert (await served.client(key["key"]).post("/api/tenants/other/limits", {"max_running": 9}))[0] == 403


async def test_a_replica_does_not_serve_a_store_of_another_layout(api: Client, world: World) -> None:
    assert (await api.get("/health/ready"))[0] == 200
    await world.client.set(world.keys.schema(), "999")
    assert (await api.get("/health/ready"))[0] == 503
    status, problem = (await api.post(START, {"queries": ["http://a.town.test/"]}))[:2]
    assert status == 503
    assert "of another version" in problem["detail"]
