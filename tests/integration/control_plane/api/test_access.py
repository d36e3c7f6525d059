"""Who may call: keys, scopes, tenants, tokens, sessions, origins, hosts and rates."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from control_plane import keyring, tokens
from control_plane.keyring import ALL_SCOPES
from control_plane.rates import LIMITS
from tests.integration.control_plane.api.conftest import ALLOWED_ORIGIN, Client, Served

PROBES = 3
OVER_TWO_WINDOWS = 2 * PROBES + 1
"""Probes of which one is too many, wherever the edge of a window falls."""


async def test_without_a_valid_key_nothing_is_said(served: Served) -> None:
    for key in (None, "lfk_wrong", "x" * 5_000):
        status, problem, headers = await served.client(key).get("/api/tasks")
        assert (status, problem["title"]) == (401, "Not authenticated")
        assert headers["WWW-Authenticate"].startswith("Bearer")
    assert (await served.client(None).get("/api/tasks", headers={"Authorization": "Basic eDp5"}))[0] == 400
    key = await served.key()
    assert (await served.client(None).get("/api/tasks", headers={"X-API-Key": key}))[0] == 200


async def test_a_key_does_what_its_scopes_say(served: Served) -> None:
    reader = served.client(await served.key("default", "tasks:read"))
    assert (await reader.get("/api/tasks"))[0] == 200
    status, problem, _ = await reader.post("/api/scraper/start", {"queries": ["http://a.town.test/"]})
    assert status == 403
    assert "tasks:write" in problem["detail"]


async def test_another_tenants_task_does_not_exist(api: Client, served: Served) -> None:
    task = await api.start()
    other = served.client(await served.key("other", *ALL_SCOPES))
    for method, path in [
        ("GET", f"/api/scraper/status/{task}"),
        ("GET", f"/api/tasks/{task}"),
        ("POST", f"/api/scraper/stop/{task}"),
        ("GET", f"/api/scraper/events/{task}"),
        ("GET", f"/api/scraper/live_feed/{task}"),
        ("GET", f"/api/scraper/snapshot/{task}.jpg"),
        ("GET", f"/api/scraper/phone-coordinates/{task}"),
        ("GET", f"/api/scraper/control/{task}"),
    ]:
        status, problem, _ = await other.call(method, path)
        assert (status, problem["detail"]) == (404, f"there is no task {task!r}"), path
    for channel in ("logs", "events", "frames", "control"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await other.ws(f"/api/scraper/ws/{channel}/{task}")
        assert refused.value.status == 404
    assert (await other.post("/api/auth/stream-token", {"task_id": task}))[0] == 404
    assert (await other.get("/api/tasks"))[1]["total"] == 0


async def test_a_stream_token_opens_its_task_and_kind_only(api: Client, served: Served) -> None:
    task, second = await api.start(), await api.start()
    status, made, _ = await api.post("/api/auth/stream-token", {"task_id": task, "kinds": ["events"]})
    assert status == 200
    nobody, token = served.client(None), made["token"]

    async def refused(path: str, given: str = token) -> int:
        with pytest.raises(aiohttp.WSServerHandshakeError) as answer:
            await nobody.ws(f"{path}?token={given}")
        return answer.value.status

    async with nobody.ws(f"/api/scraper/ws/logs/{task}?token={token}") as socket:
        assert (await socket.receive_json())["type"] == "connected"
    offered = ("leadfleet.v1", f"token.{token}")
    async with nobody.ws(f"/api/scraper/ws/logs/{task}", protocols=offered) as socket:
        assert socket.protocol == "leadfleet.v1"
    assert await refused(f"/api/scraper/ws/logs/{second}") == 404
    assert await refused(f"/api/scraper/ws/frames/{task}") == 403
    assert await refused(f"/api/scraper/ws/control/{task}") == 403
    assert await refused(f"/api/scraper/ws/logs/{task}", token[:-3] + "AAA") == 401
    assert (await nobody.get(f"/api/scraper/status/{task}?token={token}"))[0] == 401
    expired = tokens.sign(tokens.Claims("default", keyring.digest("x"), task, frozenset({"events"}), 1), "s" * 32)
    assert await refused(f"/api/scraper/ws/logs/{task}", expired) == 401


async def test_a_revoked_key_and_its_tokens_are_refused(
    api: Client, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await api.start()
    status, made, _ = await api.post("/api/auth/keys", {"name": "short-lived"})
    assert status == 201
    second = served.client(made["key"])
    token = (await second.post("/api/auth/stream-token", {"task_id": task}))[1]["token"]
    assert (await api.call("DELETE", f"/api/auth/keys/{made['key_id']}"))[0] == 200
    assert (await second.get("/api/tasks"))[0] == 401
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await served.client(None).ws(f"/api/scraper/ws/logs/{task}?token={token}")
    assert refused.value.status == 401
    assert (await api.call("DELETE", f"/api/auth/keys/{made['key_id']}"))[0] == 404


async def test_no_key_gives_more_than_it_has(served: Served) -> None:
    maker = served.client(await served.key("acme", "keys:write", "tasks:read"))
    assert (await maker.post("/api/auth/keys", {"scopes": ["fleet:write"]}))[0] == 403
    assert (await maker.post("/api/auth/keys", {"tenant": "default"}))[0] == 403
    assert (await maker.post("/api/auth/keys", {"scopes": ["nonsense"]}))[0] == 422
    assert (await maker.post("/api/auth/stream-token", {"kinds": ["live"]}))[0] == 403
    foreign = await served.services.ring.create("other", "theirs", {"tasks:read"})
    assert (await maker.call("DELETE", f"/api/auth/keys/{foreign.key_id}"))[0] == 404


async def test_a_key_for_another_tenant_does_not_reach_past_it_unless_asked_to(api: Client, served: Served) -> None:
    _, made, _ = await api.post("/api/auth/keys", {"tenant": "other"})
    assert not set(made["scopes"]) & {"tenants:write", "fleet:write"}
    theirs = served.client(made["key"])
    assert (await theirs.post("/api/auth/keys", {"tenant": "default"}))[0] == 403
    assert (await theirs.get("/api/tasks"))[1]["total"] == 0
    asked = {"tenant": "other", "scopes": ["tenants:write"]}
    assert (await api.post("/api/auth/keys", asked))[1]["scopes"] == ["tenants:write"]


async def test_a_console_link_opens_one_session(api: Client, served: Served) -> None:
    link = (await api.post("/api/auth/console-link"))[1]["url"]
    path = link.removeprefix(served.url)
    nobody = served.client(None)
    status, _, headers = await nobody.get(path)
    assert (status, headers["Location"]) == (303, "/")
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert (await nobody.get(path))[0] == 404
    session = {"Cookie": cookie.partition(";")[0]}
    assert (await nobody.get("/api/tasks", headers=session))[0] == 200
    start = {"queries": ["http://a.town.test/"]}
    assert (await nobody.post("/api/scraper/start", start, headers=session))[0] == 403
    evil = session | {"Origin": "http://evil.example"}
    assert (await nobody.post("/api/scraper/start", start, headers=evil))[0] == 403
    own = session | {"Origin": served.url}
    assert (await nobody.post("/api/scraper/start", start, headers=own))[0] == 200
    assert (await nobody.post("/api/auth/logout", headers=own))[0] == 200
    assert (await nobody.get("/api/tasks", headers=session))[0] == 401


async def test_other_sites_can_neither_call_nor_connect(api: Client) -> None:
    task = await api.start()
    evil = {"Origin": "http://evil.example"}
    assert (await api.post(f"/api/scraper/stop/{task}", headers=evil))[0] == 403
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await api.ws(f"/api/scraper/ws/logs/{task}", headers=evil)
    assert refused.value.status == 403
    assert "Access-Control-Allow-Origin" not in (await api.get("/api/tasks", headers=evil))[2]
    assert (await api.get("/api/tasks", headers={"Host": "rebound.example:8000"}))[0] == 421


async def test_the_frontend_may_call_from_its_origin(served: Served, api: Client) -> None:
    asked = {"Origin": ALLOWED_ORIGIN, "Access-Control-Request-Method": "POST"}
    status, _, headers = await served.client(None).call("OPTIONS", "/api/scraper/start", headers=asked)
    assert status == 204
    assert headers["Access-Control-Allow-Origin"] == ALLOWED_ORIGIN
    assert "POST" in headers["Access-Control-Allow-Methods"]
    assert "Idempotency-Key" in headers["Access-Control-Allow-Headers"]
    status, _, headers = await api.get("/api/tasks", headers={"Origin": ALLOWED_ORIGIN})
    assert headers["Access-Control-Allow-Credentials"] == "true"
    status, _, headers = await api.get("/nowhere", headers={"Origin": ALLOWED_ORIGIN})
    assert (status, headers["Access-Control-Allow-Origin"]) == (404, ALLOWED_ORIGIN)


async def test_a_rate_limit_says_when_to_come_back(open_replica: Callable[..., Awaitable[Served]]) -> None:
    served = await open_replica(rate_scale=3 / LIMITS["auth"])
    client = served.client()
    statuses = [await client.post("/api/auth/stream-token", {}) for _ in range(4)]
    assert [status for status, _, _ in statuses] == [200, 200, 200, 429]
    assert 1 <= int(statuses[-1][2]["Retry-After"]) <= 10
    assert (await served.client(await served.key()).get("/api/tasks"))[0] == 200


async def test_a_flood_takes_no_replica_out_of_its_balancer(open_replica: Callable[..., Awaitable[Served]]) -> None:
    client = (await open_replica(rate_scale=PROBES / LIMITS["probe"])).client(None)
    assert 429 in [(await client.get("/health"))[0] for _ in range(OVER_TWO_WINDOWS)]
    for probe in ("/health/live", "/health/ready"):
        assert (await client.get(probe))[0] == 200


async def test_behind_proxies_a_client_is_who_the_outermost_of_them_saw(
    open_replica: Callable[..., Awaitable[Served]],
) -> None:
    client = (await open_replica(trusted_hops=2, rate_scale=PROBES / LIMITS["probe"])).client(None)

    async def status(forwarded: str) -> int:
        answered, _, _ = await client.get("/health", headers={"X-Forwarded-For": forwarded})
        return answered

    # what a client writes there itself changes nothing: two proxies append two entries
    assert 429 in [await status(f"198.51.100.{n}, 192.0.2.1, 10.0.0.1") for n in range(OVER_TWO_WINDOWS)]
    assert await status("192.0.2.2, 10.0.0.1") == 200
    # no two proxies were passed: all of these come from the address that the connection has
    shorter = itertools.cycle(("192.0.2.3", "", "unknown, 10.0.0.1"))
    assert 429 in [await status(next(shorter)) for _ in range(OVER_TWO_WINDOWS)]


async def test_a_console_session_is_for_https_alone_where_a_proxy_ends_it(
    open_replica: Callable[..., Awaitable[Served]],
) -> None:
    forwarded = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}
    for hops, scheme in ((1, "https"), (0, "http")):
        client = (await open_replica(trusted_hops=hops)).client()
        link = (await client.post("/api/auth/console-link", headers=forwarded))[1]["url"]
        assert link.startswith(f"{scheme}://")
        _, _, headers = await client.get("/auth/link/" + link.rpartition("/")[2], headers=forwarded)
        assert ("secure" in headers["Set-Cookie"].lower()) == (scheme == "https")


async def test_without_authentication_all_is_tenant_defaults(
    open_replica: Callable[..., Awaitable[Served]],
) -> None:
    client = (await open_replica(auth="off")).client(None)
    task = await client.start()
    assert (await client.get("/api/auth/me"))[1]["tenant"] == "default"
    async with client.ws(f"/api/scraper/ws/logs/{task}") as socket:
        assert (await socket.receive_json())["type"] == "connected"
