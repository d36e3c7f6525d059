"""Bodies and signatures, checked by a receiver's own computation."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest

from control_plane.models import TaskStatus, WebhookStatus
from control_plane.webhooks import message
from fleet.model import TaskState

ENDED = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def ended(state: TaskState = TaskState.COMPLETED, attempts: int = 0) -> TaskStatus:
    return TaskStatus(
        task_id="tsk_1",
        status=state,
        progress={"website": 3},
        created_at=ENDED,
        completed_at=ENDED,
        webhook=WebhookStatus(state="pending", attempts=attempts),
    )


def test_the_signature_is_that_of_the_specifications_example() -> None:
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = message.signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_that_has_the_shown_secret_verifies_what_it_gets() -> None:
    key = message.signing_key("acme", "r" * 32)
    body = message.encode(ended())
    headers = message.headers("tsk_1", body, key, 1614265330.9)

    secret = base64.b64decode(message.shown(key).removeprefix("whsec_"))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body.decode()}"
    mac = hmac.new(secret, content.encode(), hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(mac).decode()
    assert headers["webhook-timestamp"] == "1614265330"
    assert "." not in headers["webhook-id"]  # it separates the parts of what is signed


def test_every_tenant_and_every_root_has_a_key_of_its_own() -> None:
    keys = {message.signing_key(tenant, root) for tenant in ("a", "b") for root in ("r" * 16, "s" * 16)}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {32}


@pytest.mark.parametrize("state", [state for state in TaskState if state.terminal])
def test_the_body_is_the_status_and_says_which_end_it_was(state: TaskState) -> None:
    body = json.loads(message.encode(ended(state)))
    assert (body["type"], body["timestamp"]) == (f"task.{state}", "2026-03-04T05:06:07Z")
    assert body["data"] == json.loads(ended(state).model_dump_json()) | {"webhook": None}


def test_repeats_are_the_same_byte_for_byte() -> None:
    assert message.encode(ended(attempts=0)) == message.encode(ended(attempts=3))
