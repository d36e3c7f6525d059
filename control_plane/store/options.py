"""What a store worker has to know; sent to it as the first message, so no secret stands in a command line."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from control_plane.settings import Settings


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """``leads_uri`` is ``file://`` or ``s3://``; durations are in seconds."""

    redis_url: str
    fleet: str
    leads_uri: str
    s3_endpoint: str | None
    s3_bucket: str
    s3_region: str
    scratch: str
    export_expiry_s: float
    replica: str
    log_level: str = "info"
    memory_mb: int = 512
    """What of the views is held in memory, so that queries need not read files."""
    tidy_memory_mb: int = 256
    s3_public_endpoint: str | None = None
    """What presigned URLs name; None where clients reach object storage as we do."""
    sink_interval_s: float = 2.0
    """How long a result waits for others before they are stored together. Filters do not wait for it."""
    s3_timeout_s: float = 20.0
    """How long object storage may be silent; it answers a part of 8 MB within a second or two."""
    export_lease_s: float = 30.0
    """An export whose worker has not been heard of for this long is taken over by another one."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(
            redis_url=settings.redis_url,
            fleet=settings.fleet,
            leads_uri=settings.leads_location,
            s3_endpoint=settings.s3_endpoint,
            s3_public_endpoint=settings.s3_public_endpoint,
            s3_bucket=settings.s3_bucket,
            s3_region=settings.s3_region,
            scratch=str(Path(settings.state) / "scratch"),
            export_expiry_s=settings.export_expiry.total_seconds(),
            replica=settings.replica,
            log_level=settings.log_level,
            memory_mb=settings.store_memory_mb,
            tidy_memory_mb=settings.tidy_memory_mb,
        )

    @classmethod
    def from_json(cls, members: dict[str, Any]) -> Self:
        return cls(**members)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
