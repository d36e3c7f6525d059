"""From the end of a task to a receiver, on a real store and real sockets: once, again, by another, or not at all."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time

import pytest
import structlog
from prometheus_client.samples import Sample

from control_plane import telemetry
from control_plane.background import Background
from control_plane.erasure.registry import Registry
from control_plane.scheduling.limits import Limits
from control_plane.scheduling.room import Room
from control_plane.scheduling.scripts import Scripts
from control_plane.webhooks import message
from control_plane.webhooks.sender import A_RECEIVER
from control_plane.webhooks.verdict import RETRY_AFTER
from tests.integration.control_plane.webhooks.conftest import QUERY, ROOT, OpenReceiver, Owed, Receiver
from tests.servers import ValkeyServer
from tests.support import wait_until


def counted() -> dict[str, float]:
    samples: list[Sample] = [s for family in telemetry.WEBHOOKS.collect() for s in family.samples]
    return {s.labels["outcome"]: s.value for s in samples if s.name.endswith("_total")}


async def test_an_end_is_told_once_signed_and_with_the_status_in_it(owed: Owed, receiver: Receiver) -> None:
    task = await owed.ended(receiver)
    assert (await owed.webhook(task)).state == "pending"
    sender = owed.sender(receiver)
    assert await sender.claim() == 1
    known = await owed.becomes(task, "delivered", 1)
    assert (known.last_status, known.last_error) == (204, None)
    assert await sender.claim() == 0
    assert await owed.left() == []

    (asked,) = receiver.asked
    told = json.loads(asked.body)
    assert told["type"] == "task.stopped"
    assert told["data"] == json.loads((await owed.status(task)).model_dump_json()) | {"webhook": None}
    assert told["timestamp"] == told["data"]["completed_at"]

    assert asked.path == f"/hook?{QUERY}"
    assert asked.headers["Host"] == receiver.name
    assert asked.headers["Content-Type"] == "application/json"
    assert time.time() - int(asked.headers["webhook-timestamp"]) < 60
    secret = base64.b64decode(message.shown(message.signing_key("acme", ROOT)).removeprefix("whsec_"))
    content = f"{asked.headers['webhook-id']}.{asked.headers['webhook-timestamp']}.".encode() + asked.body
    mac = base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()
    assert asked.headers["webhook-signature"] == f"v1,{mac}"


async def test_replicas_that_race_tell_each_end_once(owed: Owed, receiver: Receiver) -> None:
    tasks = [await owed.ended(receiver) for _ in range(30)]
    replicas = [owed.sender(receiver) for _ in range(3)]

    async def all_delivered() -> bool:
        await asyncio.gather(*(replica.claim() for replica in replicas))
        return all([(await owed.webhook(task)).state == "delivered" for task in tasks])

    await wait_until(all_delivered, description="all webhooks to be delivered")
    assert sorted(asked.headers["webhook-id"] for asked in receiver.asked) == sorted(f"{task}-ended" for task in tasks)
    assert await owed.left() == []


async def test_what_a_dead_replica_had_in_its_hands_is_told_by_another(owed: Owed, receiver: Receiver) -> None:
    receiver.held = asyncio.Event()
    task = await owed.ended(receiver)
    dead, other = owed.sender(receiver), owed.sender(receiver)
    await dead.claim()
    await wait_until(lambda: receiver.asked)
    await dead.aclose()
    assert await other.claim() == 0

    receiver.held.set()
    await owed.make_due()
    assert await other.claim() == 1
    await owed.becomes(task, "delivered", 1)
    first, second = receiver.asked
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


async def test_failures_are_tried_again_until_the_receiver_is_back(owed: Owed, open_receiver: OpenReceiver) -> None:
    receiver = await open_receiver(answers=[500, 301, 429])
    task = await owed.ended(receiver)
    sender, before = owed.sender(receiver), counted()
    for attempt, status in enumerate([500, 301, 429], 1):
        assert await sender.claim() == 1
        assert (await owed.becomes(task, "pending", attempt)).last_status == status
        assert await sender.claim() == 0
        await owed.make_due()
    await sender.claim()
    assert (await owed.becomes(task, "delivered", 4)).last_status == 204
    assert len({asked.headers["webhook-id"] for asked in receiver.asked}) == 1
    assert len({asked.body for asked in receiver.asked}) == 1
    after = counted()
    assert after["retried"] - before.get("retried", 0) == 3
    assert after["delivered"] - before.get("delivered", 0) == 1


async def test_a_receiver_that_is_gone_is_left_alone(owed: Owed, open_receiver: OpenReceiver) -> None:
    receiver = await open_receiver(status=410)
    task = await owed.ended(receiver)
    await owed.sender(receiver).claim()
    assert (await owed.becomes(task, "failed", 1)).last_status == 410
    assert await owed.left() == []


async def test_after_the_last_retry_a_webhook_is_given_up_aloud(owed: Owed, receiver: Receiver) -> None:
    task = await owed.ended(receiver)
    await owed.world.client.hset(owed.world.keys.task(task), "webhook_attempts", str(len(RETRY_AFTER)))
    sender, before = owed.sender(), counted()  # the allowance is gone: it cannot be reached
    with structlog.testing.capture_logs() as logs:
        await sender.claim()
        known = await owed.becomes(task, "failed", len(RETRY_AFTER) + 1)
        (said,) = await wait_until(lambda: [line for line in logs if line["log_level"] == "warning"])
    assert said["event"] == "a webhook was given up"
    assert (said["task"], said["receiver"], said["outcome"]) == (task, receiver.name, "exhausted")
    assert "opens-sesame" not in str(logs)
    assert known.last_status is None
    assert "not one of the public Internet" in (known.last_error or "")
    assert await owed.left() == []
    assert receiver.asked == []
    assert counted()["exhausted"] - before.get("exhausted", 0) == 1


async def test_a_slow_receiver_keeps_nobody_else_waiting(owed: Owed, open_receiver: OpenReceiver) -> None:
    slow, fast = await open_receiver("slow.test", held=asyncio.Event()), await open_receiver("fast.test")
    late = [await owed.ended(slow) for _ in range(A_RECEIVER + 2)]
    soon = await owed.ended(fast)
    sender = owed.sender(slow, fast)
    assert await sender.claim() == A_RECEIVER + 1
    await owed.becomes(soon, "delivered", 1)
    await wait_until(lambda: len(slow.asked) == A_RECEIVER)
    assert await sender.claim() == 0  # its line is full

    assert slow.held is not None
    slow.held.set()

    async def all_delivered() -> bool:
        await sender.tick()
        return all([(await owed.webhook(task)).state == "delivered" for task in late])

    await wait_until(all_delivered, description="the slow receiver's webhooks")
    assert len(slow.asked) == len(late)


async def test_an_expired_task_takes_its_webhook_along(owed: Owed, receiver: Receiver) -> None:
    task = await owed.ended(receiver)
    await owed.world.client.delete(owed.world.keys.task(task))
    before = counted()
    with structlog.testing.capture_logs() as logs:
        assert await owed.sender(receiver).claim() == 0
    assert [line["task"] for line in logs] == [task]
    assert counted()["expired"] - before.get("expired", 0) == 1
    assert await owed.left() == []


@pytest.mark.parametrize("secret_in", ["spec", "url"])
async def test_a_fault_of_ours_is_logged_without_the_url_and_keeps_the_webhook(
    owed: Owed, receiver: Receiver, secret_in: str
) -> None:
    task = await owed.ended(receiver)
    spec = {"spec": f"{{{QUERY}", "url": json.dumps({"webhook_url": receiver.url})}[secret_in]
    await owed.world.client.hset(owed.world.keys.task(task), "spec", spec)
    with structlog.testing.capture_logs() as logs:
        await owed.sender(receiver).claim()
        (said,) = await wait_until(lambda: logs)
    assert said["event"] == "a webhook's delivery failed on our side"
    assert "opens-sesame" not in str(logs)
    assert await owed.left() != []


async def test_a_replica_runs_it_beside_its_other_roles(
    owed: Owed, receiver: Receiver, valkey_server: ValkeyServer
) -> None:
    async def prepare() -> None: ...

    scripts = Scripts(owed.world.client, owed.world.keys, Limits())
    roles = Background(
        owed.world.client,
        valkey_server.url,
        owed.world.keys,
        scripts,
        Room(owed.world.client),
        "r1",
        prepare,
        owed.sender(receiver),
        Registry(owed.world.client, owed.world.keys),
    )
    async with roles:
        task = await owed.ended(receiver)
        await owed.becomes(task, "delivered", 1)
