"""What a webhook says and how its receiver knows that we said it: the Standard Webhooks headers. Pure.

The signature is HMAC-SHA256 over ``id.timestamp.body``. Its key is a tenant's own, derived from the root key, so
nothing has to be stored and every replica signs alike.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from control_plane.models import TaskStatus, WebhookMessage

USER_AGENT = "Leadfleet-Webhooks/1"


def signing_key(tenant: str, root: str) -> bytes:
    """The 32 bytes that sign a tenant's webhooks; ``root`` is LEADFLEET_SECRET."""
    # The prefix keeps these keys apart from any other use of the same secret.
    return hmac.digest(root.encode(), b"leadfleet.webhook\0" + tenant.encode(), hashlib.sha256)


def shown(key: bytes) -> str:
    """A key as receivers paste it into a library: ``whsec_`` and base64."""
    return "whsec_" + base64.b64encode(key).decode()


def encode(status: TaskStatus) -> bytes:
    """The body for a task that has ended. Repeats are the same byte for byte, so it is silent on its own delivery."""
    ended = status.completed_at
    assert ended is not None, "only what has ended is told"
    told = status.model_copy(update={"webhook": None})
    message = WebhookMessage(type=f"task.{status.status}", timestamp=ended, data=told)
    return message.model_dump_json(by_alias=True).encode()


def headers(task: str, body: bytes, key: bytes, now: float) -> dict[str, str]:
    """The headers of one attempt at ``now`` (Unix seconds). ``webhook-id`` is the same in all attempts."""
    # A task ends once; the suffix leaves room for webhooks about other moments of its life.
    message_id, timestamp = f"{task}-ended", int(now)
    return {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(key, message_id, timestamp, body),
    }


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """``v1,`` and the base64 of the HMAC-SHA256, as the Standard Webhooks specification has it."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
