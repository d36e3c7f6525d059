"""Stream tokens: what goes into a URL where a browser can set no header.

A token is ``<payload>.<signature>``: base64url of a JSON object, and of the HMAC-SHA256 of that very text, so that no
other spelling of a token verifies. It says for which key,
tenant, task and kinds it was made and when it ends; whether the key still exists is asked when it is used. Pure.
"""

from __future__ import annotations

import base64
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
    fields = {
        "t": claims.tenant,
        "k": claims.key_id,
        "task": claims.task,
        "kinds": sorted(claims.kinds),
        "exp": claims.expires,
    }
    payload = _encode(orjson.dumps(fields))
    return f"{payload}.{_signature(payload, secret)}"


def verify(token: str, secret: str, now: float) -> Claims | None:
    """The claims of a token we signed that has not expired at ``now`` (Unix seconds), else None."""
    payload, _, signature = token.partition(".")
    if len(token) > MAX_LENGTH or not token.isascii():
        return None
    if not hmac.compare_digest(signature, _signature(payload, secret)):
        return None
    fields = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    if fields["exp"] <= now:
        return None
    return Claims(fields["t"], fields["k"], fields["task"], frozenset(fields["kinds"]), fields["exp"])


def _signature(payload: str, secret: str) -> str:
    # The prefix keeps these signatures apart from any other use of the same secret.
    return _encode(hmac.digest(secret.encode(), b"leadfleet.stream-token\0" + payload.encode(), hashlib.sha256))


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
