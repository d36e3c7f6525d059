"""A store over a real Valkey, a real S3 protocol and a table on disk."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from control_plane.store.client import LeadStore
from control_plane.store.options import StoreOptions
from fleet.keys import Keys
from tests.servers import MotoServer, ValkeyServer


@pytest.fixture
def keys() -> Keys:
    return Keys("test")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials as a deployment has them in its environment; moto takes any."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


@pytest.fixture
def options(
    valkey: Redis, valkey_server: ValkeyServer, moto_server: MotoServer, tmp_path: Path, aws: None
) -> StoreOptions:
    return StoreOptions(
        redis_url=valkey_server.url,
        fleet="test",
        leads_uri=f"file://{tmp_path}/leads",
        s3_endpoint=moto_server.endpoint,
        s3_bucket=f"bucket-{secrets.token_hex(4)}",
        s3_region="us-east-1",
        scratch=str(tmp_path / "scratch"),
        export_expiry_s=3600,
        replica="r-test",
        sink_interval_s=0.05,
    )


@pytest.fixture
async def store(options: StoreOptions) -> AsyncIterator[LeadStore]:
    made = LeadStore(options)
    await made.start()
    yield made
    await made.close()
