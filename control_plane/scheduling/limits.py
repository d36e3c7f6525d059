"""What the scheduling scripts must know of the settings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from fleet import model


@dataclass(frozen=True, slots=True)
class Limits:
    """Numbers every script is called with. Durations are in the unit of their name."""

    queue_cap: int = 10_000
    tenant_daily_units: int = 10_000
    tenant_max_running: int = 1_000
    tenant_max_queued: int = 10_000
    events_max: int = 100_000
    retention_s: int = 7 * 86_400
    idempotency_s: int = 86_400
    session_ttl_ms: int = model.SESSION_TTL // timedelta(milliseconds=1)
    # The node kills after CANCEL_GRACE; the store waits a heartbeat longer for the word of it.
    grace_ms: int = (model.CANCEL_GRACE + 2 * model.HEARTBEAT) // timedelta(milliseconds=1)
    # A unit reports at the beginning and end of each page; see UNIT_IDLE.
    idle_ms: int = model.UNIT_IDLE // timedelta(milliseconds=1)
    # When a unit is looked at again whose node has written what nobody has read.
    idle_again_ms: int = model.REAPER_TICK // timedelta(milliseconds=1)
    backoff_ms: int = 2_000
    max_attempts: int = model.MAX_ATTEMPTS
    max_deliveries: int = model.MAX_DELIVERIES
    node_memory_s: int = 86_400
    # Questions of a tenant to the model that may wait, about 2 KB each.
    enrichment_line: int = 10_000
    # How long a question waits for what other pages tell of the lead.
    enrichment_wait_ms: int = 5_000
    enrichment_patience_ms: int = 900_000
    enrichment_memory_s: int = 30 * 86_400
    # Entries that the log of leases keeps, about 120 bytes each; 0 for no log.
    lease_log: int = 10_000
    # A grant costs about 0.1 ms of the store's time: one call never holds it for longer than a few ms.
    dispatch_max: int = 32
    # Units of an ended task whose records one call closes, about 2 µs each.
    sweep_max: int = 500
