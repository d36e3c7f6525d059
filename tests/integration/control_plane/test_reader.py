"""The one blocking read over all streams that a replica's clients follow."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from control_plane.streams.reader import Entry, StreamReader
from fleet.keys import Keys
from tests.servers import ValkeyServer


async def test_who_follows_again_is_not_told_what_came_before_by_a_read_that_was_under_way(
    valkey: Redis, valkey_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = StreamReader(valkey, valkey_server.url, Keys("test"), "r1")
    told: list[Entry] = []
    reader.follow("s", "0-0", told.extend)
    await valkey.xadd("s", {"n": 1})
    xread = reader._blocking.xread

    async def meanwhile_followed_again(*args: Any, **options: Any) -> Any:
        answer = await xread(*args, **options)
        reader.unfollow("s", told.extend)
        reader.follow("s", await reader.newest("s"), told.extend)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(reader._blocking, "xread", meanwhile_followed_again)
        await reader._read_once()
    assert told == []
    await valkey.xadd("s", {"n": 2})
    await reader._read_once()
    assert [fields for _, fields in told] == [{b"n": b"2"}]
    assert await reader.newest("nothing") == "0-0"
    await reader._blocking.aclose()
