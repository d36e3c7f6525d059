"""The sink under kill -9: every observation that was written down is in the log, once."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from control_plane.store.options import StoreOptions
from fleet.keys import Keys
from tests.integration.control_plane.store.ledger import Ledger
from tests.integration.control_plane.store.support import in_a_bucket

SEED = 20260301


async def check(options: StoreOptions, valkey: Redis, keys: Keys, kills: int) -> None:
    ledger = Ledger(replace(options, sink_interval_s=0.02), valkey, keys, random.Random(SEED))
    await ledger.run(kills)
    stored = ledger.stored()
    print(
        f"\n{sum(ledger.kills.values())} kills ({dict(ledger.kills)}), {ledger.leases_taken} leases taken away, "
        f"{len(ledger.appended)} observations appended, {stored.total()} stored, "
        f"{len(set(ledger.appended) - stored.keys())} lost, {stored.total() - len(stored)} twice"
    )
    assert sum(ledger.kills.values()) == kills
    assert stored == Counter(ledger.appended)


@pytest.mark.faults
async def test_ten_kills_lose_and_repeat_nothing(options: StoreOptions, valkey: Redis, keys: Keys) -> None:
    await check(options, valkey, keys, kills=10)


@pytest.mark.soak
async def test_200_kills_lose_and_repeat_nothing(options: StoreOptions, valkey: Redis, keys: Keys) -> None:
    await check(options, valkey, keys, kills=200)


@pytest.mark.soak
async def test_40_kills_lose_and_repeat_nothing_on_s3(options: StoreOptions, valkey: Redis, keys: Keys) -> None:
    await check(await in_a_bucket(options), valkey, keys, kills=40)
