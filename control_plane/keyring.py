"""API keys, console links and sessions as the store keeps them: only ever hashes of what opens a door.

A key is 256 random bits, so a plain SHA-256 is enough: there is nothing to guess. Look-ups are cached for a few
seconds, found or not; that is how late a revocation may be seen.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from control_plane.errors import Conflict, NotFound, Unavailable
from control_plane.models import KeyView, NewKey
from fleet import ids
from fleet.clock import Clock
from fleet.keys import Keys

KEY_PREFIX = "lfk_"
MAX_KEY_LENGTH = 200

ALL_SCOPES = frozenset(
    {
        "tasks:read",
        "tasks:write",
        "streams:read",
        "leads:read",
        "leads:write",
        "exports:read",
        "exports:write",
        "fleet:read",
        "fleet:write",
        "control",
        "keys:write",
        "tenants:write",
    }
)

OPERATOR_SCOPES = frozenset({"tenants:write", "fleet:write"})
"""What reaches past a tenant: a key for another tenant has these only when they are asked for by name."""

SCALER_SCOPES = frozenset({"fleet:read", "fleet:write"})

CACHE = timedelta(seconds=3)
"""How long a look-up is remembered: a revoked key is refused after this at the latest."""

MAX_CACHED = 10_000

SESSION_TTL = timedelta(hours=12)
LINK_TTL = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. ``key_id`` is the digest of the API key: it names the key without being it."""

    tenant: str
    key_id: str
    scopes: frozenset[str]
    task: str = ""
    """The one task that a stream token was made for; empty for callers who may see all of their tenant."""

    def narrowed(self, scopes: Iterable[str], task: str = "") -> Principal:
        return Principal(self.tenant, self.key_id, self.scopes & frozenset(scopes), task)


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


class KeyRing:
    """Makes, finds and revokes keys and sessions."""

    def __init__(self, redis: Redis, keys: Keys, clock: Clock) -> None:
        self._redis: Any = redis  # replies are bytes, which the library's types cannot know
        self._keys, self._clock = keys, clock
        self._cache: dict[str, tuple[float, Principal | None]] = {}

    async def create(self, tenant: str, name: str, scopes: Iterable[str], key: str | None = None) -> NewKey:
        """Store a new key, or ``key`` when one is given (the bootstrap key). Shown this once."""
        secret = key or KEY_PREFIX + secrets.token_urlsafe(32)
        made = datetime.now(UTC)
        record = {
            "tenant": ids.name("tenant", tenant),
            "name": name,
            "scopes": " ".join(sorted(scopes)),
            "created": made.isoformat(),
        }
        key_id = digest(secret)
        await self._redis.hset(self._keys.api_key(key_id), mapping=record)
        self._cache.pop(key_id, None)
        return NewKey(key_id=key_id, tenant=tenant, name=name, scopes=sorted(scopes), created_at=made, key=secret)

    async def revoke(self, tenant: str | None, key_id: str) -> KeyView:
        """Delete a key of ``tenant`` (None: of any). Raises NotFound."""
        if len(key_id) != 64 or not key_id.isalnum():
            raise NotFound("API key", key_id)
        name = self._keys.api_key(key_id)
        record = _text(await self._redis.hgetall(name))
        if not record or (tenant is not None and record["tenant"] != tenant):
            raise NotFound("API key", key_id)
        await self._redis.delete(name)
        self._cache.pop(key_id, None)
        return KeyView(
            key_id=key_id,
            tenant=record["tenant"],
            name=record["name"],
            scopes=record["scopes"].split(),
            created_at=datetime.fromisoformat(record["created"]),
        )

    async def by_key(self, key: str) -> Principal | None:
        """Whose key this is."""
        return await self.by_id(digest(key)) if len(key) <= MAX_KEY_LENGTH else None

    async def by_id(self, key_id: str) -> Principal | None:
        """The principal of a key that exists (still)."""
        return await self._cached(self._keys.api_key(key_id), key_id)

    async def link(self, owner: Principal) -> tuple[str, datetime]:
        """A one-time secret that ``open`` turns into a session of ``owner``, and when it ends."""
        secret = secrets.token_urlsafe(24)
        await self._remember(secret, owner, "link", LINK_TTL)
        return secret, datetime.now(UTC) + LINK_TTL

    async def open(self, link: str) -> str:
        """Turn a one-time secret into a session's, once. Raises NotFound, Conflict when its key is gone."""
        name = self._keys.session(digest(link))
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hgetall(name)
        pipeline.delete(name)
        record = _text((await pipeline.execute())[0])
        if record.get("kind") != "link":
            raise NotFound("console link", "(used up, expired or never made)")
        owner = await self.by_id(record["key_id"])
        if owner is None:
            raise Conflict("the API key this console link was made with has been revoked")
        session = secrets.token_urlsafe(32)
        await self._remember(session, owner, "session", SESSION_TTL)
        return session

    async def by_session(self, session: str) -> Principal | None:
        """Whose session this is; None when its key was revoked."""
        if len(session) > MAX_KEY_LENGTH:
            return None
        name = digest(session)
        found = await self._cached(self._keys.session(name), name)
        key = await self.by_id(found.key_id) if found else None
        return key.narrowed(found.scopes) if key and found else None

    async def close(self, session: str) -> None:
        """End a session."""
        name = digest(session)
        await self._redis.delete(self._keys.session(name))
        self._cache.pop(name, None)

    async def _remember(self, secret: str, owner: Principal, kind: str, ttl: timedelta) -> None:
        name = self._keys.session(digest(secret))
        record = {
            "kind": kind,
            "tenant": owner.tenant,
            "key_id": owner.key_id,
            "scopes": " ".join(sorted(owner.scopes)),
        }
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hset(name, mapping=record)
        pipeline.expire(name, ttl)
        await pipeline.execute()

    async def _check_prepared(self) -> None:
        """Raises Unavailable when the store knows nobody because it has lost everything: its keys are on their way."""
        if not await self._redis.exists(self._keys.schema()):
            raise Unavailable("the fleet's store is being set up anew; try again in a moment")

    async def _cached(self, name: str, key_id: str) -> Principal | None:
        now = self._clock.monotonic()
        until, found = self._cache.get(key_id, (0.0, None))
        if now < until:
            return found
        record = _text(await self._redis.hgetall(name))
        # A link opens a session and nothing else, although both live under the same kind of key.
        if record and record.get("kind") != "link":
            owner = record.get("key_id", key_id)
            found = Principal(record["tenant"], owner, frozenset(record["scopes"].split()) & ALL_SCOPES)
        else:
            await self._check_prepared()
            found = None
        if len(self._cache) >= MAX_CACHED:
            self._cache.clear()
        self._cache[key_id] = (now + CACHE.total_seconds(), found)
        return found


def _text(record: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in record.items()}
