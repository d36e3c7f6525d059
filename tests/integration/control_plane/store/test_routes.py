"""Filters and exports over HTTP."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from control_plane.settings import Settings
from control_plane.store.client import LeadStore
from control_plane.store.formats import COLUMNS
from control_plane.store.options import StoreOptions
from fleet.keys import Keys
from leads.score import LEAD_OBJECTIVES
from tests.integration.control_plane.api.conftest import KEY, Client, Served, serving
from tests.integration.control_plane.store.sample import found, lead


@pytest.fixture
async def served(store: LeadStore, options: StoreOptions) -> AsyncIterator[Served]:
    """A replica that has the test's store."""
    settings = Settings(redis_url=options.redis_url, fleet="test", bootstrap_key=KEY, secret="s" * 32)
    async with serving(settings) as running:
        running.services.store = store
        yield running


@pytest.fixture
def api(served: Served) -> Client:
    return served.client()


async def test_leads_are_filtered_faceted_and_shown(api: Client, valkey: Redis, keys: Keys) -> None:
    await found(valkey, keys, *(lead(number) for number in range(6)), tenant="default")
    status, page, _ = await api.post("/api/filters/leads", {"where": {"city": "Berlin"}, "sort": "-rating"})
    assert (status, page["total"]) == (200, 2)
    assert [item["lead_id"] for item in page["items"]] == ["lead_000003", "lead_000000"]
    _, same, _ = await api.get("/api/filters/leads?city=Berlin&has_phone=true&near=52.5,13.4,20&limit=1&sort=-rating")
    assert (same["total"], same["items"][0]["lead_id"]) == (2, "lead_000003")
    _, facets, _ = await api.post("/api/filters/facets", {"fields": ["country"]})
    assert facets["facets"]["country"] == [{"value": "DE", "count": 4}, {"value": "FR", "count": 2}]
    status, one, _ = await api.get("/api/leads/lead_000003")
    assert (status, one["lead"]["display_name"], len(one["observations"])) == (200, "Café Nummer 3", 1)
    assert (await api.get("/api/leads/lead_nobody"))[0] == 404


async def test_bad_questions_are_answered_clearly(api: Client) -> None:
    status, problem, _ = await api.post("/api/filters/leads", {"where": {"cty": "Berlin"}})
    assert status == 422
    assert "postal_code" in problem["detail"]
    assert (await api.get("/api/filters/leads?cty=Berlin"))[0] == 422
    assert (await api.get("/api/filters/leads?near=here"))[0] == 400
    assert (await api.get("/api/export/csv?date_from=yesterday"))[0] == 400
    assert (await api.get("/api/export/csv?columns=name,nonsense"))[0] == 422
    status, problem, _ = await api.get("/api/export/csv?columns=name,city,name")
    assert (status, "name is named more than once" in problem["detail"]) == (422, True)
    assert (await api.get("/api/export/exp_unknown"))[0] == 404
    status, problem, _ = await api.get("/api/export/csv")
    assert (status, problem["status"]) == (404, 404)


async def test_lists_name_what_can_be_asked_for(api: Client) -> None:
    assert (await api.get("/api/filters/platforms"))[1] == ["website", "directory"]
    assert (await api.get("/api/filters/job-levels"))[1] == []
    assert "dentist" in (await api.get("/api/filters/business-types"))[1]
    _, objectives, _ = await api.get("/api/filters/lead-objectives")
    assert objectives == LEAD_OBJECTIVES
    assert {"value": "cold_calling", "label": "Call prospects"} in objectives


async def test_an_export_is_a_redirect_or_a_record(api: Client, valkey: Redis, keys: Keys) -> None:
    await found(valkey, keys, lead(1), lead(2), tenant="default")
    status, _, headers = await api.get("/api/export/csv?city=Lyon&columns=name,city")
    assert status == 302
    async with api.session.get(headers["Location"]) as file:
        assert await file.read() == "name,city\r\nCafé Nummer 2,Lyon\r\n".encode()
    status, record, _ = await api.get("/api/export/json", headers={"Accept": "application/json"})
    assert (status, record["status"], record["rows"]) == (200, "ready", 2)
    status, begun, headers = await api.post("/api/export", {"format": "jsonl"})
    assert status in {200, 202}
    assert (await api.get(headers["Content-Location"]))[1]["export_id"] == begun["export_id"]


async def test_an_export_is_compressed_on_request(api: Client, valkey: Redis, keys: Keys) -> None:
    await found(valkey, keys, lead(1), lead(2), tenant="default")
    status, _, headers = await api.get("/api/export/csv?city=Lyon&columns=city,name&compress=gzip")
    assert status == 302
    async with api.session.get(headers["Location"]) as file:
        assert gzip.decompress(await file.read()) == "city,name\r\nLyon,Café Nummer 2\r\n".encode()
        assert file.headers["Content-Type"] == "application/gzip"
        assert file.headers["Content-Disposition"] == 'attachment; filename="leads.csv.gz"'
        assert "Content-Encoding" not in file.headers, "it is saved as the packed file that its name says"
    status, problem, _ = await api.get("/api/export/excel?compress=gzip")
    assert (status, "compressed as they are" in problem["detail"]) == (422, True)


async def test_unknown_columns_are_named_with_the_known_ones(api: Client) -> None:
    status, problem, _ = await api.get("/api/export/csv?columns=name,nonsense")
    assert status == 422
    assert problem["errors"][0]["loc"] == ["columns", 1]
    assert all(f"'{name}'" in problem["detail"] for name in COLUMNS)


async def test_exports_are_listed_latest_first(api: Client, valkey: Redis, keys: Keys) -> None:
    await found(valkey, keys, lead(1), tenant="default")
    made = []
    for name in ("name", "city", "country"):
        _, record, _ = await api.post("/api/export", {"columns": [name]})
        made.insert(0, record["export_id"])
    _, page, _ = await api.get("/api/export?limit=2")
    assert [item["export_id"] for item in page["items"]] == made[:2]
    _, rest, _ = await api.get(f"/api/export?limit=2&cursor={page['next_cursor']}")
    assert ([item["export_id"] for item in rest["items"]], rest["next_cursor"]) == (made[2:], None)
    assert (await api.get("/api/export?cursor=nonsense"))[0] == 400
    assert (await api.get("/api/export?limit=101"))[0] == 422


async def test_an_export_is_cancelled_by_its_tenant(served: Served, api: Client, valkey: Redis, keys: Keys) -> None:
    await found(valkey, keys, lead(1), tenant="default")
    _, record, _ = await api.post("/api/export")
    path = f"/api/export/{record['export_id']}/cancel"
    rival = served.client(await served.key("rival", "exports:write"))
    assert (await rival.post(path))[0] == 404
    reader = served.client(await served.key("default", "exports:read"))
    assert (await reader.post(path))[0] == 403
    status, ended, _ = await api.post(path)
    assert status == 200
    assert ended["status"] in {"cancelled", "ready"}, "it may have been done before"
    assert (await api.post("/api/export/exp_unknown/cancel"))[0] == 404


async def test_a_client_says_how_long_it_waits(api: Client, valkey: Redis, keys: Keys) -> None:
    await found(valkey, keys, lead(1), tenant="default")
    waits = {"Accept": "application/json", "Prefer": "wait=0"}
    status, begun, headers = await api.get("/api/export/csv", headers=waits)
    assert (status, headers["Retry-After"]) == (202, "2")
    assert begun["status"] in {"pending", "running"}
    status, made, _ = await api.get("/api/export/csv", headers={"Accept": "application/json"})
    assert (status, made["status"], made["export_id"]) == (200, "ready", begun["export_id"])


async def test_a_token_for_one_task_exports_that_task_only(api: Client, valkey: Redis, keys: Keys) -> None:
    mine, other = await api.start("http://8.8.8.8/"), await api.start("http://8.8.4.4/")
    await found(valkey, keys, lead(1), tenant="default", task=mine)
    await found(valkey, keys, lead(2), tenant="default", task=other)
    _, made, _ = await api.post("/api/auth/stream-token", {"task_id": mine, "kinds": ["export"]})
    nobody = Client(api.session, api.url, None)

    async def ask(path: str) -> int:
        return (await nobody.get(f"{path}token={made['token']}", headers={"Accept": "application/json"}))[0]

    assert await ask(f"/api/export/csv?task_id={mine}&") == 200
    assert await ask("/api/export/csv?") == 403
    for query in (f"task_id={other}&", f"task_id={mine}&task_id={other}&"):
        assert await ask(f"/api/export/csv?{query}") == 404
    _, begun, _ = await api.post("/api/export", {"where": {"task_id": other}})
    assert await ask(f"/api/export/{begun['export_id']}?task_id={mine}&") == 404
