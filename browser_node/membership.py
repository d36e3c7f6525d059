"""How a node gets in: it knocks with the hash of its password, and tries that until it is let in."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import redis
import redis.asyncio
import structlog

from fleet import connect
from fleet.errors import FleetError
from fleet.files import write_whole
from fleet.keys import Keys
from fleet.messages import Join

KNOCK_AGAIN = timedelta(seconds=10)
"""A knock that nobody heard (no control plane, a store that lost it) is repeated this often."""

TRY_EVERY = timedelta(milliseconds=200)
"""A new node is let in within milliseconds of its knock when a control plane listens."""

log = structlog.get_logger(__name__)


class EmptyPassword(FleetError):
    """The file of the node's own password holds none: the hash of nothing would open the store to everybody."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is empty: remove it, and the node makes another password; the store lets it in with that "
            "once the session that has its id, if any, is over"
        )


class Membership:
    """The node's identity towards the store."""

    def __init__(self, join_url: str, keys: Keys, node: str, password: str) -> None:
        self._join_url, self._keys, self._node, self._password = join_url, keys, node, password
        self.url = as_user(join_url, f"node-{node}", password)

    async def enter(self, boot: str) -> None:
        """Return once the store lets this node in; knocks and waits for as long as it takes.

        It knocks before all else: a password that works already opens the store, but only a knock has anybody read
        what this node writes there.
        """
        loop = asyncio.get_running_loop()
        knocked = loop.time() if await self._knock(boot) else -KNOCK_AGAIN.total_seconds()
        while not await self._let_in():
            if loop.time() - knocked >= KNOCK_AGAIN.total_seconds() and await self._knock(boot):
                knocked = loop.time()
            await asyncio.sleep(TRY_EVERY.total_seconds())

    async def _let_in(self) -> bool:
        client = connect.command_client(self.url, name=f"node-{self._node}-try")
        try:
            await client.ping()
        except (redis.RedisError, OSError) as exc:
            log.debug("not_let_in_yet", error=str(exc)[:200])
            return False
        else:
            return True
        finally:
            await client.aclose()

    async def _knock(self, boot: str) -> bool:
        digest = hashlib.sha256(self._password.encode()).hexdigest()
        client = connect.command_client(self._join_url, name=f"join-{self._node}")
        try:
            await client.xadd(self._keys.join(), Join(self._node, digest, boot).to_fields())  # type: ignore[arg-type]
        except (redis.RedisError, OSError) as exc:
            log.warning("knock_failed", error=str(exc)[:200])
            return False
        else:
            log.info("knocked", node=self._node)
            return True
        finally:
            await client.aclose()


def own_password(path: Path) -> str:
    """The password in ``path``, made at the first start; readable by us alone. Raises EmptyPassword."""
    try:
        password = path.read_text().strip()
    except FileNotFoundError:
        password = secrets.token_urlsafe(32)
        write_whole(path, password)
    if not password:
        raise EmptyPassword(path)
    return password


def as_user(url: str, user: str, password: str) -> str:
    """The same server and database, as another user."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}"))
