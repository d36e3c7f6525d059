"""From a result on the stream to a filter, the log and a file that a client fetches; through the worker process."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import hmac
import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import aiohttp
import orjson
import polars as pl
import pytest
from aiobotocore.session import get_session
from redis.asyncio import Redis

from control_plane.errors import Invalid, NotFound, Unavailable
from control_plane.store.client import LeadStore
from control_plane.store.formats import COLUMNS
from control_plane.store.models import ExportRequest, FacetQuery, LeadQuery, Where
from control_plane.store.options import StoreOptions
from fleet.keys import Keys
from tests.integration.control_plane.store.sample import found, lead
from tests.support import wait_until


async def ask(store: LeadStore, tenant: str = "acme", **query: Any) -> dict[str, Any]:
    answer: dict[str, Any] = orjson.loads(await store.filter(tenant, LeadQuery.model_validate(query)))
    return answer


async def stored(store: LeadStore, batches: int = 1) -> dict[str, Any]:
    """Wait until everything is in the log."""

    async def done() -> dict[str, Any] | None:
        health = await store.health()
        if health["status"] != "healthy":
            return None
        settled = health["results_waiting"] == 0 and health["batches_stored"] >= batches
        return health if settled else None

    return await wait_until(done, 60, "the sink to store everything")


async def fetch(url: str) -> tuple[bytes, Any]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200
        return await response.read(), response.headers


async def test_a_client_reads_what_it_saw_before_it_is_stored(options: StoreOptions, valkey: Redis, keys: Keys) -> None:
    await valkey.set(keys.sink_lease(), "another sink, which is slow")
    store = LeadStore(options)
    await store.start()
    try:
        for number in range(3):
            await found(valkey, keys, lead(number))
            assert (await ask(store))["total"] == number + 1
        assert await valkey.xlen(keys.results()) == 3, "nothing was stored meanwhile"
    finally:
        await store.close()


async def test_results_move_from_the_stream_to_a_table_that_others_can_read(
    store: LeadStore, options: StoreOptions, valkey: Redis, keys: Keys
) -> None:
    await found(valkey, keys, *(lead(number) for number in range(2_500)))
    health = await stored(store, batches=3)
    log = pl.read_delta(options.leads_uri.removeprefix("file://"))
    assert sorted(log["lead_id"]) == [f"lead_{number:06d}" for number in range(2_500)]
    assert health["sink"]["rows"] == 2_500
    assert (await ask(store))["total"] == 2_500


async def test_a_new_worker_knows_what_was_stored(store: LeadStore, valkey: Redis, keys: Keys) -> None:
    await found(valkey, keys, *(lead(number) for number in range(5)))
    await stored(store)
    assert store.worker_pid is not None
    os.kill(store.worker_pid, signal.SIGKILL)
    await wait_until(lambda: store.restarts == 1, 30, "the dead worker to be noticed")
    await found(valkey, keys, lead(5))
    assert (await ask(store))["total"] == 6


async def test_calls_that_a_dying_worker_owed_fail_clearly(store: LeadStore) -> None:
    await ask(store)
    assert store.worker_pid is not None
    os.kill(store.worker_pid, signal.SIGSTOP)
    owed = asyncio.create_task(ask(store))
    await asyncio.sleep(0)
    os.kill(store.worker_pid, signal.SIGKILL)
    with pytest.raises(Unavailable):
        await owed
    assert (await ask(store))["total"] == 0


async def test_the_worker_ends_with_its_client(store: LeadStore) -> None:
    await store.health()
    pid = store.worker_pid
    await store.close()
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_the_same_business_found_twice_is_one_lead(store: LeadStore, valkey: Redis, keys: Keys) -> None:
    first = lead(1, platform="directory", emails=[])
    again = lead(1, lead_id="lead_other", observation_id="obs_other", platform="website", emails=["hi@cafe.example"])
    await found(valkey, keys, first, lead(2))
    assert (await ask(store))["total"] == 2
    await found(valkey, keys, again, task="tsk_2")
    answer = await ask(store, where={"task_id": "tsk_2"})
    assert answer["total"] == 1
    assert answer["items"][0]["lead_id"] == "lead_000001"
    assert answer["items"][0]["emails"] == ["hi@cafe.example"]
    assert (await ask(store))["total"] == 2
    detail = await store.lead("acme", "lead_other")
    assert detail["aliases"] == ["lead_other"]
    assert [seen["observation_id"] for seen in detail["observations"]] == ["obs_000001", "obs_other"]


async def test_a_view_built_from_the_log_equals_one_that_watched(
    store: LeadStore, options: StoreOptions, valkey: Redis, keys: Keys
) -> None:
    await ask(store)  # from here on it watches
    for number in range(6):
        await found(valkey, keys, lead(number))
    await found(
        valkey,
        keys,
        lead(3, lead_id="lead_100", observation_id="obs_100"),
        lead(2, observation_id="obs_later"),
        task="tsk_2",
    )
    watched = await ask(store, sort="name")
    await stored(store)
    other = LeadStore(options)
    await other.start()
    try:
        rebuilt = await ask(other, sort="name")
    finally:
        await other.close()
    assert rebuilt["items"] == watched["items"]
    assert rebuilt["total"] == watched["total"] == 6


async def test_tenants_do_not_see_each_other(store: LeadStore, valkey: Redis, keys: Keys) -> None:
    await found(valkey, keys, lead(1), tenant="acme")
    await found(valkey, keys, lead(2), tenant="rival")
    assert [item["lead_id"] for item in (await ask(store, "rival"))["items"]] == ["lead_000002"]
    with pytest.raises(NotFound):
        await store.lead("rival", "lead_000001")
    export = await store.export("acme", ExportRequest())
    with pytest.raises(NotFound):
        await store.export_view("rival", export.export_id)


async def test_pages_follow_each_other_while_leads_arrive(store: LeadStore, valkey: Redis, keys: Keys) -> None:
    await found(valkey, keys, *(lead(number) for number in range(10)))
    page = await ask(store, sort=["country", "-rating"], limit=4)
    seen = [item["lead_id"] for item in page["items"]]
    await found(valkey, keys, lead(10, address=None))
    while page["next_cursor"]:
        page = await ask(store, sort=["country", "-rating"], limit=4, cursor=page["next_cursor"])
        seen += [item["lead_id"] for item in page["items"]]
    assert len(seen) == len(set(seen)) == 11
    with pytest.raises(Invalid):
        await ask(store, sort="name", cursor="garbage")


async def test_facets_count_under_the_same_where(store: LeadStore, valkey: Redis, keys: Keys) -> None:
    await found(valkey, keys, *(lead(number) for number in range(9)))
    query = FacetQuery.model_validate({"where": {"country": "de"}, "fields": ["city", "platform"]})
    facets = orjson.loads(await store.facets("acme", query))
    assert facets["total"] == 6
    assert facets["facets"]["city"] == [{"value": "Berlin", "count": 3}, {"value": "München", "count": 3}]
    assert sum(bucket["count"] for bucket in facets["facets"]["platform"]) == 6


async def test_a_csv_is_fetched_by_presigned_url(store: LeadStore, valkey: Redis, keys: Keys) -> None:
    await found(valkey, keys, lead(0), lead(1, display_name="=HYPERLINK(1)"), lead(2))
    export = await store.export("acme", ExportRequest(where=Where(country=["DE"])))
    assert (export.status, export.rows) == ("ready", 2)
    assert export.url is not None
    body, headers = await fetch(export.url)
    assert headers["Content-Disposition"] == 'attachment; filename="leads.csv"'
    assert headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    assert list(rows[0]) == list(COLUMNS)
    assert [row["name"] for row in rows] == ["Café Nummer 0", "'=HYPERLINK(1)"]
    assert rows[0]["phones"] == "+49 30 0000000"


async def test_the_url_of_an_export_is_signed_for_as_long_as_is_set(
    store: LeadStore, options: StoreOptions, valkey: Redis, keys: Keys
) -> None:
    """moto looks at neither the signature nor the time of a URL, so both are worked out here, as AWS does."""
    await found(valkey, keys, lead(0))
    before = datetime.now(UTC).replace(microsecond=0)
    export = await store.export("acme", ExportRequest())
    assert export.url is not None
    assert export.expires_at is not None
    url = urlsplit(export.url)
    query = dict(parse_qsl(url.query))
    assert url.path == f"/{options.s3_bucket}/exports/acme/{export.export_id}.csv"
    assert query["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert query["X-Amz-Expires"] == str(int(options.export_expiry_s))
    signed_at = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert before <= signed_at <= datetime.now(UTC)
    assert abs(export.expires_at - signed_at - timedelta(seconds=options.export_expiry_s)) < timedelta(seconds=30)
    scope = f"{signed_at:%Y%m%d}/{options.s3_region}/s3/aws4_request"
    assert query["X-Amz-Credential"] == f"test/{scope}"
    assert query["X-Amz-Signature"] == signature_of(export.url)


def signature_of(presigned: str) -> str:
    """What AWS works out for a presigned URL of the secret key ``test``, and compares with what stands in it."""
    url = urlsplit(presigned)
    query = {name: value for name, value in parse_qsl(url.query) if name != "X-Amz-Signature"}
    asked = urlencode(sorted(query.items()), quote_via=quote, safe="~")
    canonical = f"GET\n{url.path}\n{asked}\nhost:{url.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    _, scope = query["X-Amz-Credential"].split("/", 1)
    key = b"AWS4test"
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{query['X-Amz-Date']}\n{scope}\n{digest}"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()


async def test_a_url_is_signed_for_where_clients_reach_the_storage(
    options: StoreOptions, valkey: Redis, keys: Keys
) -> None:
    """A proxy passes on the host that it was asked for, so that the signature holds behind it."""
    await found(valkey, keys, lead(0))
    store = LeadStore(replace(options, s3_public_endpoint="http://files.example:8000"))
    await store.start()
    try:
        export = await store.export("acme", ExportRequest())
    finally:
        await store.close()
    assert export.url is not None
    url = urlsplit(export.url)
    assert (url.netloc, url.path) == ("files.example:8000", f"/{options.s3_bucket}/exports/acme/{export.export_id}.csv")
    assert dict(parse_qsl(url.query))["X-Amz-Signature"] == signature_of(export.url)


async def test_the_same_export_is_made_once_until_leads_change(store: LeadStore, valkey: Redis, keys: Keys) -> None:
    await found(valkey, keys, lead(0))
    first = await store.export("acme", ExportRequest())
    assert (await store.export("acme", ExportRequest())).export_id == first.export_id
    await found(valkey, keys, lead(1))
    second = await store.export("acme", ExportRequest())
    assert second.export_id != first.export_id
    assert second.rows == 2


async def test_an_export_whose_object_is_gone_is_made_again(
    store: LeadStore, options: StoreOptions, valkey: Redis, keys: Keys
) -> None:
    await found(valkey, keys, lead(0))
    export = await store.export("acme", ExportRequest())
    async with get_session().create_client(
        "s3", region_name=options.s3_region, endpoint_url=options.s3_endpoint
    ) as client:
        await client.delete_object(Bucket=options.s3_bucket, Key=f"exports/acme/{export.export_id}.csv")
        await client.delete_bucket(Bucket=options.s3_bucket)  # as moto forgets it when it is started anew
    assert (await store.export_view("acme", export.export_id)).status == "expired"
    again = await store.export("acme", ExportRequest())
    assert (again.export_id, again.status) == (export.export_id, "ready")
    assert again.url is not None
    assert (await fetch(again.url))[0].count(b"\r\n") == 2


@pytest.mark.parametrize("file_format", ["json", "jsonl", "excel", "parquet"])
async def test_other_formats(store: LeadStore, valkey: Redis, keys: Keys, file_format: str) -> None:
    await found(valkey, keys, *(lead(number) for number in range(3)))
    export = await store.export("acme", ExportRequest.model_validate({"format": file_format}))
    assert export.url is not None, export.error
    body, _ = await fetch(export.url)
    match file_format:
        case "json":
            assert [item["lead_id"] for item in json.loads(body)] == [f"lead_{number:06d}" for number in range(3)]
        case "jsonl":
            assert len([json.loads(line) for line in body.splitlines()]) == 3
        case "excel":
            assert body[:2] == b"PK"
        case "parquet":
            frame = pl.read_parquet(io.BytesIO(body))
            assert frame.columns == list(COLUMNS)
            assert frame["rating"].to_list() == [0.0, 0.1, 0.2]


async def test_an_export_of_nothing_says_so(store: LeadStore) -> None:
    export = await store.export("acme", ExportRequest(where=Where(date_from=datetime(2030, 1, 1, tzinfo=UTC))))
    assert (export.status, export.url) == ("empty", None)


async def test_a_large_export_goes_up_in_parts(store: LeadStore, valkey: Redis, keys: Keys) -> None:
    hours = [f"{'x' * 190}{number}" for number in range(25)]
    await found(valkey, keys, *(lead(number, opening_hours=hours) for number in range(2_001)))
    export = await store.export("acme", ExportRequest())
    assert (export.status, export.rows) == ("ready", 2_001)
    assert export.url is not None
    body, _ = await fetch(export.url)
    assert len(body) == export.bytes > 8 * 1024 * 1024
    assert body.count(b"\r\n") == 2_002


def test_the_api_process_does_not_load_polars() -> None:
    program = (
        "import sys, control_plane.routes.filters, control_plane.routes.exports, control_plane.store.client;"
        "print([name for name in ('polars', 'deltalake', 'aiobotocore') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
