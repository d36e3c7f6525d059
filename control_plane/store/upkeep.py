"""Keeping the leads table small, fast and of today's shape. All functions block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import polars as pl
import structlog
from deltalake import DeltaTable, Field, Schema

VACUUM_AFTER = timedelta(hours=24)
"""How long a file that was replaced, or never committed, is kept: far longer than any query of an older version runs,
and than any commit takes."""

FEW_FILES = 8
"""A tenant with no more small files than this is left alone: joining them would be more writing than it saves."""

FIXED_MB = 128
"""What a compaction takes whatever its target: measured over 200,000 rows, 130 MB and 1.6 times the target."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Tidied:
    """What a tidying did, in files: ``joined`` ones became the ``made`` ones, ``deleted`` ones nobody needed."""

    joined: int
    made: int
    deleted: int


def tidy(table: DeltaTable, partition: str, memory_mb: int, fence: Callable[[DeltaTable], None]) -> Tidied:
    """Join small files tenant by tenant within ``memory_mb``, delete files that nobody has needed for a day, write a
    checkpoint and drop the commits that it makes needless. ``fence`` shuts out who began to join before."""
    target = (memory_mb - FIXED_MB) // 2 * 1024 * 1024
    joined = made = 0
    for tenant in _with_many_small_files(table, partition, target):
        fence(table)  # for each: a joining leaves the table as newest as it is, behind the fences of others too
        done = join(table, (partition, "=", tenant), target, memory_mb)
        joined, made = joined + done["numFilesRemoved"], made + done["numFilesAdded"]
    hours = int(VACUUM_AFTER.total_seconds() // 3600)
    deleted = table.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=True)
    table.create_checkpoint()
    table.cleanup_metadata()
    return Tidied(joined, made, len(deleted))


def join(table: DeltaTable, tenant: tuple[str, str, str], target: int, memory_mb: int) -> dict[str, Any]:
    """Join a tenant's small files in one commit; Delta's figures of it."""
    return table.optimize.compact(
        partition_filters=[tenant],
        target_size=target,
        max_concurrent_tasks=1,
        max_spill_size=memory_mb * 1024 * 1024,
    )


def unreferenced(table: DeltaTable, prefix: str) -> list[str]:
    """Paths below ``prefix``, relative to the table, of files that its newest version does not consist of."""
    return [
        path
        for path in table.vacuum(0, dry_run=True, enforce_retention_duration=False, full=True)
        if path.startswith(prefix)
    ]


def bring_up_to_date(table: DeltaTable, schema: pl.Schema, properties: Mapping[str, str]) -> None:
    """Add the columns and properties that a table of an earlier version lacks; old rows read null there."""
    present = {field.name for field in table.schema().fields}
    missing = pl.Schema({name: dtype for name, dtype in schema.items() if name not in present})
    if missing:
        log.info("the leads table gets new columns", columns=list(missing))
        table.alter.add_columns(_fields(missing))
    configured = table.metadata().configuration
    if any(configured.get(name) != value for name, value in properties.items()):
        table.alter.set_table_properties(dict(properties), raise_if_not_exists=False)


def _fields(schema: pl.Schema) -> list[Field]:
    return list(Schema.from_arrow(schema).fields)


def _with_many_small_files(table: DeltaTable, partition: str, target: int) -> list[str]:
    """Tenants with files that are worth joining."""
    files = pl.DataFrame(table.get_add_actions(flatten=True))
    if files.is_empty():
        return []
    small = files.filter(pl.col("size_bytes") < target // 2)
    counted = small.group_by(f"partition.{partition}").len().filter(pl.col("len") > FEW_FILES)
    return sorted(counted[f"partition.{partition}"].to_list())
