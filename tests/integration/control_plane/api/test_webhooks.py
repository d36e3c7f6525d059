"""Webhooks as clients of the API see them."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from control_plane.webhooks import message
from tests.integration.control_plane.api.conftest import Client, Served

START = "/api/scraper/start"
TARGET = {"queries": ["http://a.town.test/"]}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://hook.example.com/",
        "http://user:secret@hook.example.com/",
        "http://localhost/",
        "http://10.0.0.1/hook",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]:8000/",
        "http://2130706433/",
        "http://metadata.google.internal/",
        "https://mail.example.com:25/",
    ],
)
async def test_a_webhook_url_that_is_not_public_is_refused_where_it_stands(api: Client, url: str) -> None:
    status, problem, _ = await api.post(START, TARGET | {"webhook_url": url})
    assert status == 422
    assert [error["loc"] for error in problem["errors"]] == [["webhook_url"]]
    assert (await api.get("/api/tasks"))[1]["total"] == 0


@pytest.mark.parametrize("url", ["https://hook.example.com/a?b=c", "http://8.8.8.8:8080/", "http://hook.town.test/"])
async def test_the_status_tells_of_the_webhook_and_not_of_its_url(api: Client, url: str) -> None:
    task = await api.start(webhook_url=url)
    expected: dict[str, Any] = {"state": "pending", "attempts": 0, "last_status": None, "last_error": None}
    assert (await api.get(f"/api/scraper/status/{task}"))[1]["webhook"] == expected
    await api.post(f"/api/scraper/stop/{task}")
    listed = (await api.get("/api/tasks"))[1]["tasks"][0]
    assert listed["webhook"] == expected
    assert url not in str(listed)


async def test_a_task_without_one_has_none(api: Client) -> None:
    task = await api.start()
    assert (await api.get(f"/api/scraper/status/{task}"))[1]["webhook"] is None


async def test_a_tenant_gets_its_own_secret_from_every_replica(
    open_replica: Callable[..., Awaitable[Served]],
) -> None:
    one, two = await open_replica(), await open_replica()
    ours = (await one.client().get("/api/auth/webhook-secret"))[1]["secret"]
    assert (await two.client().get("/api/auth/webhook-secret"))[1]["secret"] == ours
    key = base64.b64decode(ours.removeprefix("whsec_"))
    assert key == message.signing_key("default", "s" * 32)
    theirs = one.client(await one.key("acme", "keys:write"))
    assert (await theirs.get("/api/auth/webhook-secret"))[1]["secret"] != ours


async def test_the_secret_needs_the_scope_of_the_keys(served: Served) -> None:
    weak = served.client(await served.key("default", "tasks:read", "tasks:write"))
    assert (await weak.get("/api/auth/webhook-secret"))[0] == 403
    assert (await served.client(None).get("/api/auth/webhook-secret"))[0] == 401


async def test_the_description_has_the_call_that_we_make(api: Client) -> None:
    document = (await api.get("/openapi.json"))[1]
    told = document["webhooks"]["task-ended"]["post"]
    assert {p["name"] for p in told["parameters"]} == {"webhook-id", "webhook-timestamp", "webhook-signature"}
    name = told["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert set(document["components"]["schemas"][name]["properties"]) == {"type", "timestamp", "data"}
