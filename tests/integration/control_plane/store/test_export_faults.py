"""Exports while object storage fails, is silent, breaks off or is slow, and while their worker dies."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import aiohttp
import orjson
import pytest
from aiobotocore.session import get_session
from redis.asyncio import Redis

from control_plane.errors import Unavailable
from control_plane.store.client import LeadStore
from control_plane.store.export_records import Records
from control_plane.store.models import ExportRequest, ExportView, LeadQuery
from control_plane.store.objects import EXPORT_DAYS, ORPHAN_DAYS
from control_plane.store.options import StoreOptions
from fleet.keys import Keys
from tests.fault_proxy import Fault, FaultProxy
from tests.integration.control_plane.store.sample import found, lead
from tests.servers import MotoServer
from tests.support import wait_until

LEADS = 450  # of 40 KB: a CSV of 18 MB, which is three parts
CREATE, PART, FIRST, SECOND = (
    r"POST .*\?uploads",
    r"PUT .*partNumber=",
    r"PUT .*partNumber=1\b",
    r"PUT .*partNumber=2\b",
)
COMPLETE, ABORT = r"POST .*\?uploadId=", r"DELETE .*\?uploadId="
LONG_S = 120  # what must come waits for a machine that is busy with other tests


@pytest.fixture
async def proxy(moto_server: MotoServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(moto_server.port) as made:
        yield made


@pytest.fixture
def options(options: StoreOptions, proxy: FaultProxy) -> StoreOptions:
    return replace(options, s3_endpoint=proxy.endpoint, s3_timeout_s=1.5, export_lease_s=1.5)


@pytest.fixture
async def leads(valkey: Redis, keys: Keys) -> None:
    socials = {str(number): f"https://social.example/{number}/{'x' * 2_000}" for number in range(20)}
    await found(valkey, keys, *(lead(number, socials=socials) for number in range(LEADS)))


@pytest.fixture
async def s3(options: StoreOptions, moto_server: MotoServer) -> AsyncIterator[Any]:
    """A client that does not go through the proxy."""
    async with get_session().create_client(
        "s3", region_name=options.s3_region, endpoint_url=moto_server.endpoint
    ) as client:
        yield client


async def left_over(s3: Any, options: StoreOptions) -> list[str]:
    """Uploads that were not completed."""
    listed = await s3.list_multipart_uploads(Bucket=options.s3_bucket)
    return [upload["Key"] for upload in listed.get("Uploads", ())]


async def ended(store: LeadStore, export: str) -> ExportView:
    async def over() -> ExportView | None:
        view = await store.export_view("acme", export, wait_s=1)
        return None if view.status in {"pending", "running"} else view

    return await wait_until(over, LONG_S, "the export to end")


async def ready(store: LeadStore) -> None:
    """Wait until the worker has started and read the leads, which is not what these tests are about."""

    async def answers() -> bool:
        try:
            page = orjson.loads(await store.filter("acme", LeadQuery(limit=1)))
        except Unavailable:
            return False
        return bool(page["total"] == LEADS)

    await wait_until(answers, LONG_S, "the store to have read the leads")


async def made(store: LeadStore) -> ExportView:
    await ready(store)
    return await ended(store, (await store.export("acme", ExportRequest(), wait_s=0)).export_id)


async def assert_whole(view: ExportView) -> None:
    assert (view.status, view.error) == ("ready", None)
    assert view.rows == view.total == LEADS
    assert view.url is not None
    async with aiohttp.ClientSession() as session, session.get(view.url) as response:
        body = await response.read()
    assert len(body) == view.bytes
    lines = body.decode().split("\r\n")
    assert [line.partition(",")[0] for line in lines[1:-1]] == [f"lead_{number:06d}" for number in range(LEADS)]


@pytest.mark.parametrize(
    ("fault", "matching", "times"),
    [
        (Fault.SLOW_DOWN, PART, 3),
        (Fault.INTERNAL_ERROR, COMPLETE, 1),
        (Fault.RESET, PART, 3),
        (Fault.SILENT, SECOND, 1),
        pytest.param(Fault.DEAF, SECOND, 1, marks=pytest.mark.faults),
        pytest.param(Fault.SLOW, SECOND, 1, marks=pytest.mark.faults),
        (Fault.ANSWER_LOST, COMPLETE, 1),
    ],
    ids=lambda value: value.name.lower() if isinstance(value, Fault) else "",
)
async def test_a_fault_that_passes_is_not_noticed(
    store: LeadStore,
    options: StoreOptions,
    leads: None,
    proxy: FaultProxy,
    s3: Any,
    fault: Fault,
    matching: str,
    times: int,
) -> None:
    proxy.fail(fault, matching, times)
    await assert_whole(await made(store))
    assert proxy.count(matching) > (1 if matching == PART else 0)
    assert await left_over(s3, options) == []


@pytest.mark.parametrize(
    ("fault", "matching", "said"),
    [
        (Fault.SLOW_DOWN, SECOND, "failed at upload part: SlowDown"),
        (Fault.INTERNAL_ERROR, COMPLETE, "failed at complete multipart upload: InternalError"),
        pytest.param(Fault.DEAF, SECOND, "failed at upload part: no answer in 2 times 10 s", marks=pytest.mark.faults),
    ],
    ids=lambda value: value.name.lower() if isinstance(value, Fault) else "",
)
async def test_a_fault_that_stays_fails_the_export_and_leaves_no_parts(
    store: LeadStore,
    options: StoreOptions,
    leads: None,
    proxy: FaultProxy,
    s3: Any,
    fault: Fault,
    matching: str,
    said: str,
) -> None:
    proxy.fail(fault, matching)
    failed = await made(store)
    assert failed.status == "failed"
    assert failed.url is None
    assert failed.error is not None
    assert said in failed.error
    assert failed.error.endswith("; ask again")
    assert await left_over(s3, options) == []
    proxy.heal()
    await assert_whole(await made(store))


@pytest.mark.faults
async def test_parts_that_could_not_be_removed_are_removed_later(
    store: LeadStore, options: StoreOptions, leads: None, proxy: FaultProxy, s3: Any
) -> None:
    proxy.fail(Fault.INTERNAL_ERROR, SECOND)
    proxy.fail(Fault.INTERNAL_ERROR, ABORT)
    assert (await made(store)).status == "failed"
    assert await left_over(s3, options) != []
    proxy.heal()

    async def cleared() -> bool:
        return await left_over(s3, options) == []

    await wait_until(cleared, LONG_S, "the parts to be removed")


@pytest.mark.faults
async def test_filters_answer_while_storage_is_silent(store: LeadStore, leads: None, proxy: FaultProxy) -> None:
    await ready(store)
    proxy.fail(Fault.DEAF, ".")
    export = await store.export("acme", ExportRequest(), wait_s=0)
    await wait_until(lambda: proxy.count("."), LONG_S, "the export to ask storage")
    for _ in range(3):
        page = orjson.loads(await store.filter("acme", LeadQuery(limit=1)))
        assert page["total"] == LEADS
    assert (await store.export_view("acme", export.export_id)).status == "running"
    assert (await store.export_cancel("acme", export.export_id)).status == "cancelled"


async def stuck(store: LeadStore, options: StoreOptions, proxy: FaultProxy, s3: Any) -> str:
    """An export whose first part is in storage and whose second one hangs."""
    await ready(store)
    proxy.fail(Fault.SILENT, SECOND)
    export = (await store.export("acme", ExportRequest(), wait_s=0)).export_id

    async def first_part() -> bool:
        for upload in (await s3.list_multipart_uploads(Bucket=options.s3_bucket)).get("Uploads", ()):
            target = {"Key": upload["Key"], "UploadId": upload["UploadId"]}
            parts = (await s3.list_parts(Bucket=options.s3_bucket, **target)).get("Parts", ())
            if {part["PartNumber"] for part in parts} >= {1}:
                return proxy.count(SECOND) > 0
        return False

    await wait_until(lambda: proxy.count(SECOND), LONG_S, "the second part to be sent")
    await wait_until(first_part, LONG_S, "the first part to be stored")
    return export


async def test_another_worker_goes_on_where_one_was_killed(
    store: LeadStore, options: StoreOptions, leads: None, proxy: FaultProxy, s3: Any
) -> None:
    export = await stuck(store, options, proxy, s3)
    assert store.worker_pid is not None
    os.kill(store.worker_pid, signal.SIGKILL)
    proxy.heal()
    await wait_until(lambda: store.restarts == 1, LONG_S, "the dead worker to be noticed")

    async def ready_unasked() -> bool:  # a list begins nothing
        (item,) = (await store.export_list("acme", limit=10)).items
        return item.status == "ready"

    await wait_until(ready_unasked, LONG_S, "the next worker to go on by itself")
    await assert_whole(await store.export_view("acme", export))
    assert proxy.count(CREATE) == 1
    assert proxy.count(FIRST) == 1, "what was stored is not sent again"
    assert await left_over(s3, options) == []


async def test_an_upload_of_other_leads_is_not_mixed_in(
    store: LeadStore, options: StoreOptions, leads: None, proxy: FaultProxy, s3: Any
) -> None:
    """The parts that a dead worker left are used only where their bytes are the same."""
    export = await stuck(store, options, proxy, s3)
    (upload,) = (await s3.list_multipart_uploads(Bucket=options.s3_bucket))["Uploads"]
    target = {"Bucket": options.s3_bucket, "Key": upload["Key"], "UploadId": upload["UploadId"]}
    assert store.worker_pid is not None
    os.kill(store.worker_pid, signal.SIGKILL)
    await s3.upload_part(**target, PartNumber=1, Body=b"y" * (8 * 1024 * 1024))
    proxy.heal()
    await wait_until(lambda: store.restarts == 1, LONG_S, "the dead worker to be noticed")
    await assert_whole(await ended(store, export))
    assert proxy.count(FIRST) == 2


async def test_a_worker_that_ends_in_order_leaves_its_export_to_the_next(
    options: StoreOptions, leads: None, proxy: FaultProxy, s3: Any
) -> None:
    patient = replace(options, export_lease_s=600)  # so nothing but giving it up lets another one have it
    first = LeadStore(patient)
    await first.start()
    try:
        export = await stuck(first, options, proxy, s3)
    finally:
        await first.close()
    proxy.heal()
    other = LeadStore(patient)
    await other.start()
    try:
        await assert_whole(await ended(other, export))
        assert proxy.count(FIRST) == 1
    finally:
        await other.close()


async def test_a_cancelled_export_leaves_no_parts_and_begins_again(
    store: LeadStore, options: StoreOptions, leads: None, proxy: FaultProxy, s3: Any
) -> None:
    export = await stuck(store, options, proxy, s3)
    running = await store.export_view("acme", export)
    assert (running.status, running.total) == ("running", LEADS)
    cancelled = await store.export_cancel("acme", export)
    assert (cancelled.status, cancelled.url) == ("cancelled", None)
    assert await left_over(s3, options) == []
    proxy.heal()
    assert (await store.export_view("acme", export)).status == "cancelled", "asking does not begin it"
    await assert_whole(await made(store))
    assert (await store.export_cancel("acme", export)).status == "ready", "what is ready stays"


async def test_another_replica_cancels(
    store: LeadStore, options: StoreOptions, leads: None, proxy: FaultProxy, s3: Any
) -> None:
    export = await stuck(store, options, proxy, s3)
    other = LeadStore(options)
    await other.start()
    try:
        assert (await other.export_cancel("acme", export)).status == "cancelled"

        async def cleared() -> bool:
            return await left_over(s3, options) == []

        await wait_until(cleared, LONG_S, "the worker that makes it to notice")
        assert (await store.export_view("acme", export)).status == "cancelled"
    finally:
        await other.close()


async def test_two_replicas_make_one_export_once(
    store: LeadStore, options: StoreOptions, leads: None, proxy: FaultProxy, s3: Any
) -> None:
    other = LeadStore(options)
    await other.start()
    try:
        first, second = await asyncio.gather(made(store), made(other))
    finally:
        await other.close()
    await assert_whole(first)
    assert first.export_id == second.export_id
    assert proxy.count(CREATE) == 1
    assert await left_over(s3, options) == []


async def test_a_bucket_of_our_own_forgets(store: LeadStore, options: StoreOptions, leads: None, s3: Any) -> None:
    await made(store)
    rules = (await s3.get_bucket_lifecycle_configuration(Bucket=options.s3_bucket))["Rules"]
    expiring = [rule for rule in rules if "Expiration" in rule]
    assert [(rule["Filter"]["Prefix"], rule["Expiration"]["Days"]) for rule in expiring] == [("exports/", EXPORT_DAYS)]
    aborting = [rule["AbortIncompleteMultipartUpload"] for rule in rules if "AbortIncompleteMultipartUpload" in rule]
    assert aborting == [{"DaysAfterInitiation": ORPHAN_DAYS}]


async def test_an_export_that_ended_meanwhile_is_not_begun_again(valkey: Redis, keys: Keys) -> None:
    """A worker that looked before another one was done, and begins after."""
    first, second = (Records(valkey, keys, token, timedelta(minutes=1)) for token in ("one", "two"))
    request = ExportRequest()
    assert await first.begin("acme", "exp_a", request, seen=None) == 1
    running = await second.get("exp_a")
    assert await second.begin("acme", "exp_a", request, running) == 0, "it has an owner"
    assert await first.end("exp_a", "ready", settled=True)
    for seen in (None, running):
        assert await second.begin("acme", "exp_a", request, seen) == 0
    ready = await second.get("exp_a")
    assert ready is not None
    assert ready.status == "ready"
    assert await second.begin("acme", "exp_a", request, ready) == 1, "who knows that finds the file gone"
