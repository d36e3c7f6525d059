"""Object storage that fails, breaks off, answers twice, is slow or hangs, behind a whole running stack.

The one replica reaches S3 through a proxy, for exports and for the leads table alike.
"""

from __future__ import annotations

import asyncio
import http.client
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import polars as pl
import pytest
import pytest_asyncio
from aiobotocore.session import get_session

from infra.bench.fake_nodes import FakeNodes, Habits
from infra.stack.options import BUCKET, REGION, Programs
from tests.fault_proxy import Fault, FaultProxy
from tests.faults.fleet import SLACK, FaultyFleet, faulty_fleet, fleet_options
from tests.faults.ledger import Recovered
from tests.support import free_port, wait_until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.faults]

TABLE, COMMIT = rf"PUT /{BUCKET}/leads/", rf"PUT /{BUCKET}/leads/_delta_log/"
LEADS_ASKED = r"leads(/|%2F)"
PART, SECOND, COMPLETE = r"PUT .*partNumber=", r"PUT .*partNumber=2\b", r"POST .*\?uploadId="
WHOLE = rf"PUT /{BUCKET}/exports/[^?]*(\?x-id=PutObject)? "
LEADS = 250  # of 40 KB: a CSV of 10 MB, which is two parts
LONG_S = 120
PROBES, PROBE_EVERY_S = 300, 0.01


@dataclass
class Storage:
    """The S3 of the stack: ``proxy`` stands before it, ``client`` goes past the proxy."""

    proxy: FaultProxy
    client: Any
    endpoint: str

    async def exports(self) -> list[str]:
        """Keys of the objects that exports have made."""
        listed = await self.client.list_objects_v2(Bucket=BUCKET, Prefix="exports/")
        return [entry["Key"] for entry in listed.get("Contents", ())]

    async def uploads(self) -> list[str]:
        """Keys of uploads that were not completed: parts that nobody would ever see."""
        listed = await self.client.list_multipart_uploads(Bucket=BUCKET)
        return [upload["Key"] for upload in listed.get("Uploads", ())]

    async def rows(self) -> pl.DataFrame:
        """The observation log as it lies there."""
        reached = {
            "AWS_ENDPOINT_URL": self.endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        }  # fmt: skip
        return await asyncio.to_thread(pl.read_delta, f"s3://{BUCKET}/leads", storage_options=reached)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy() -> AsyncIterator[FaultProxy]:
    async with FaultProxy(free_port()) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_fleet(tmp_path_factory: pytest.TempPathFactory, proxy: FaultProxy) -> AsyncIterator[FaultyFleet]:
    directory = tmp_path_factory.mktemp("fleet")
    s3 = (sys.executable, "-m", "tests.moto_server", "-H", "127.0.0.1", "-p", "{port}")
    options = fleet_options(
        directory / "state", ["*.site.test=127.0.0.1:9"], replicas=1, nodes=0, s3_port=proxy.target,
        reach={"control-plane-1": {"s3": proxy.port}}, leads_uri=f"s3://{BUCKET}/leads", programs=Programs(s3=s3),
    )  # fmt: skip
    async with faulty_fleet(options, directory / "ledger") as fleet:
        await fleet.begin()
        yield fleet


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stocked(running_fleet: FaultyFleet, proxy: FaultProxy) -> AsyncIterator[Storage]:
    """With a bucket, and LEADS in its table."""
    endpoint = running_fleet.stack.s3_endpoint
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    async with get_session().create_client("s3", region_name=REGION, endpoint_url=endpoint, **keys) as client:
        await client.create_bucket(Bucket=BUCKET)
        await found(running_fleet, "stock", LEADS, lead_bytes=40_000)
        await stored(running_fleet)
        yield Storage(proxy, client, endpoint)


@pytest_asyncio.fixture(loop_scope="module")
async def storage(stocked: Storage) -> AsyncIterator[Storage]:
    yield stocked
    stocked.proxy.heal()
    stocked.proxy.end_hanging()


async def test_29_leads_are_kept_and_stored_once_when_storage_is_back(fleet: FaultyFleet, storage: Storage) -> None:
    before, tries = await matching(fleet), storage.proxy.count(TABLE)
    storage.proxy.fail(Fault.SLOW_DOWN, TABLE)
    await found(fleet, "kept", 20)
    await wait_until(lambda: storage.proxy.count(TABLE) > tries, LONG_S, "the sink to try")
    assert await fleet.redis.xlen(fleet.keys.results()) == 20, "the stream keeps what is not stored"
    assert await matching(fleet) == before + 20, "and filters find it"
    storage.proxy.heal()
    await stored(fleet)

    storage.proxy.fail(Fault.RESET, TABLE, 2)
    await found(fleet, "reset", 20)
    await stored(fleet)

    commits = storage.proxy.count(COMMIT)
    storage.proxy.fail(Fault.ANSWER_LOST, COMMIT, 1)  # committed, and the sink believes that it was not
    await found(fleet, "repeated", 20)
    await stored(fleet)
    assert storage.proxy.count(COMMIT) > commits

    await each_once(storage, before + 60)
    assert await matching(fleet) == before + 60


@pytest.mark.parametrize(
    ("asked", "fault", "times"),
    [
        ("csv", (Fault.SLOW_DOWN, PART), 3),
        ("csv?bom=true", (Fault.RESET, PART), 3),
        ("csv?phone_format=e164", (Fault.SLOW, SECOND), 1),
        ("jsonl", (Fault.ANSWER_LOST, COMPLETE), 1),
        ("csv?columns=name,website", (Fault.ANSWER_LOST, WHOLE), 1),  # its repetition is answered with 412
    ],
    ids=["503", "reset", "slow-part", "answer-lost", "412"],
)
async def test_29_an_export_is_one_object_whatever_passes(
    fleet: FaultyFleet, storage: Storage, asked: str, fault: tuple[Fault, str], times: int
) -> None:
    before = await storage.exports()
    faults = storage.proxy.count(fault[1])
    storage.proxy.fail(*fault, times)
    export = await exported(fleet, asked)
    assert storage.proxy.count(fault[1]) > faults + (1 if fault[0] is not Fault.SLOW else 0), "it was tried again"
    assert (export["status"], export["rows"]) == ("ready", await matching(fleet))
    async with aiohttp.ClientSession() as anybody, anybody.get(export["url"]) as answer:
        assert len(await answer.read()) == export["bytes"]
    assert len(await storage.exports()) == len(before) + 1
    assert await storage.uploads() == []


async def test_29_an_export_that_storage_never_takes_leaves_nothing(fleet: FaultyFleet, storage: Storage) -> None:
    before = await storage.exports()
    storage.proxy.fail(Fault.SLOW_DOWN, SECOND)
    failed = await exported(fleet, "json")
    assert (failed["status"], failed["url"]) == ("failed", None)
    assert "SlowDown" in failed["error"]
    assert await storage.uploads() == []
    assert await storage.exports() == before
    storage.proxy.heal()
    assert (await exported(fleet, "json"))["status"] == "ready"
    assert len(await storage.exports()) == len(before) + 1


async def test_30_the_api_goes_on_while_storage_hangs(fleet: FaultyFleet, storage: Storage) -> None:
    before = await matching(fleet)
    usual = await asyncio.to_thread(answer_times, fleet.stack.url)
    asked = storage.proxy.count(LEADS_ASKED)
    storage.proxy.fail(Fault.DEAF, ".")
    export = (await fleet.insist("POST", "/api/export", {"format": "csv", "columns": ["name", "phones"]}))["export_id"]
    await found(fleet, "hanging", 20)
    await wait_until(lambda: storage.proxy.count(LEADS_ASKED) > asked, LONG_S, "the sink to hang as well")
    hanging = await asyncio.to_thread(answer_times, fleet.stack.url)
    fleet.ledger.note(Recovered("30 p99 of answers, storage well", usual, 0.1 * SLACK))
    fleet.ledger.note(Recovered("30 p99 of answers while storage hangs", hanging, 0.1 * SLACK))
    assert await matching(fleet) == before + 20

    async def readiness(status: int) -> bool:
        return (await fleet.ask("GET", "/health/ready"))[0] == status

    await wait_until(lambda: readiness(503), LONG_S, "readiness to be turned off")
    assert (await fleet.insist("GET", f"/api/export/{export}"))["status"] == "running"
    assert (await fleet.insist("POST", f"/api/export/{export}/cancel"))["status"] == "cancelled"
    storage.proxy.heal()
    storage.proxy.end_hanging()
    await stored(fleet)
    await each_once(storage, before + 20)
    await wait_until(lambda: readiness(200), LONG_S, "readiness to be back")
    await wait_until(lambda: _none(storage.uploads), LONG_S, "parts of the cancelled export to be gone")


async def found(fleet: FaultyFleet, name: str, leads: int, *, lead_bytes: int = 0) -> None:
    """Have a task find so many leads; it ends completed whatever storage does."""
    habits = Habits(pages=leads // 10, page_s=0.01, logs=1, leads=10, lead_bytes=lead_bytes)
    async with FakeNodes(fleet.stack.redis_url, fleet.keys, [f"fake-{name}"], habits=habits):
        task = await fleet.submit(f"http://{name}.site.test/", key=name)
        (end,) = await fleet.ended(task)
    assert (end["status"], end["total_results"]) == ("completed", leads)


async def stored(fleet: FaultyFleet) -> None:
    """Wait until the sink has taken everything from the stream, which it does after its commit."""

    async def empty() -> bool:
        return not await fleet.redis.xlen(fleet.keys.results())

    await wait_until(empty, LONG_S, "all leads to be stored")


async def each_once(storage: Storage, leads: int) -> None:
    rows = await storage.rows()
    assert rows.height == rows["observation_id"].n_unique() == leads


async def matching(fleet: FaultyFleet) -> int:
    """How many leads there are, as a client is told."""
    page = await fleet.insist("POST", "/api/filters/leads", {"limit": 1})
    total: int = page["total"]
    return total


async def exported(fleet: FaultyFleet, asked: str) -> dict[str, Any]:
    """The record of an export that has ended."""
    headers = {"Accept": "application/json", "Prefer": "wait=0"}
    export = (await fleet.insist("GET", f"/api/export/{asked}", **headers))["export_id"]

    async def over() -> dict[str, Any] | None:
        record: dict[str, Any] = await fleet.insist("GET", f"/api/export/{export}")
        return None if record["status"] in {"pending", "running"} else record

    record: dict[str, Any] = await wait_until(over, LONG_S, "the export to end")  # type: ignore[assignment]
    return record


def answer_times(url: str) -> float:
    """p99 in seconds of an answer that needs nothing but the API's event loop; by a client without one of its own."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=LONG_S)
    times = []
    for _ in range(PROBES):
        began = time.monotonic()
        connection.request("GET", "/health/live")
        assert connection.getresponse().read()
        times.append(time.monotonic() - began)
        time.sleep(PROBE_EVERY_S)  # the pace of the probes
    connection.close()
    return sorted(times)[int(len(times) * 0.99)]


async def _none(listed: Any) -> bool:
    return not await listed()
