"""Stream tokens: what goes into a URL where a browser can set no header.

A token is ``<payload>.<signature>``: base64url of a JSON object and of its HMAC-SHA256. It says for which key,
tenant, task and kinds it was made and when it ends; whether the key still exists is asked when it is used. Pure.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

import orjson

MAX_LENGTH = 1_024


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token allows. ``task`` is empty for all tasks of the tenant, ``expires`` is Unix seconds."""

    tenant: str
    key_id: str
    task: str
    kinds: frozenset[str]
    expires: int


def sign(claims: Claims, secret: str) -> str:
    payload = orjson.dumps(
        {
            "t": claims.tenant,
            "k": claims.key_id,
            "task": claims.task,
            "kinds": sorted(claims.kinds),
            "exp": claims.expires,
        }
    )
    return f"{_encode(payload)}.{_encode(_mac(payload, secret))}"


def verify(token: str, secret: str, now: float) -> Claims | None:
    """The claims of a token we signed that has not expired at ``now`` (Unix seconds), else None."""
    payload_text, _, signature_text = token.partition(".")
    if len(token) > MAX_LENGTH:
        return None
    try:
        payload, signature = _decode(payload_text), _decode(signature_text)
    except (binascii.Error, ValueError):
        return None
    if not hmac.compare_digest(signature, _mac(payload, secret)):
        return None
    fields = orjson.loads(payload)
    if fields["exp"] <= now:
        return None
    return Claims(fields["t"], fields["k"], fields["task"], frozenset(fields["kinds"]), fields["exp"])


def _mac(payload: bytes, secret: str) -> bytes:
    # The prefix keeps these signatures apart from any other use of the same secret.
    return hmac.digest(secret.encode(), b"leadfleet.stream-token\0" + payload, hashlib.sha256)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
