"""The observation log: an append-only Delta table that also says how far the results stream is stored.

A commit carries three application transactions (Delta's ``txn`` actions): the number of the batch and the two halves of
the stream id of its last entry. Rows and place therefore change in one atomic step, and of two sinks that
both store batch *n* one is refused by Delta, whichever of them holds the lease. All methods block; call them in a
thread.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import timedelta

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError
from deltalake.writer import write_deltalake

from control_plane.store.options import StoreOptions
from control_plane.store.schema import LOG_SCHEMA, Position

PARTITION = "tenant"

VACUUM_AFTER = timedelta(hours=24)
"""How long a file that compaction replaced is kept: far longer than any query of an older version runs."""

_BATCH, _MS, _SEQ = "leadfleet-batch", "leadfleet-stream-ms", "leadfleet-stream-seq"


class BatchTaken(Exception):
    """Another sink has stored this batch."""

    def __init__(self, batch: int) -> None:
        super().__init__(f"batch {batch} of the observation log has been stored by another sink")


@dataclass(frozen=True, slots=True)
class Stored:
    """How far the log has come: the last batch, and the place of its last entry on the results stream."""

    batch: int
    position: Position


class ObservationLog:
    """The table at ``uri``; made when it is first opened. One instance may be used from several threads."""

    def __init__(self, uri: str, storage_options: dict[str, str]) -> None:
        self._uri = uri
        self._storage_options = storage_options
        self._table: DeltaTable | None = None
        self._lock = threading.Lock()  # a DeltaTable is refreshed in place

    @classmethod
    def of(cls, options: StoreOptions) -> ObservationLog:
        return cls(options.leads_uri, storage_options(options))

    def stored(self) -> Stored:
        """How far the log has come, as of now."""
        table = self._latest()
        return Stored(
            table.transaction_version(_BATCH) or 0,
            Position(table.transaction_version(_MS) or 0, table.transaction_version(_SEQ) or 0),
        )

    def append(self, rows: pl.DataFrame, batch: int, last: Position) -> None:
        """Store ``rows`` as batch number ``batch``, up to ``last``; BatchTaken when another sink was first."""
        with self._lock:
            assert self._table is not None, "ask what is stored before storing more"
            if (self._table.transaction_version(_BATCH) or 0) >= batch:
                raise BatchTaken(batch)
            marks = [Transaction(_BATCH, batch), Transaction(_MS, last.ms), Transaction(_SEQ, last.seq)]
            try:
                write_deltalake(
                    self._table, rows, mode="append", commit_properties=CommitProperties(app_transactions=marks)
                )
            except CommitFailedError as exc:
                raise BatchTaken(batch) from exc

    def read(self, *, tenant: str | None = None, after: Position, until: Position | None = None) -> pl.DataFrame:
        """Rows in order of the stream: those after one place and, where given, not past another, of a tenant or all."""
        wanted = _past(after)
        if until is not None:
            wanted &= ~_past(until)
        if tenant is not None:
            wanted &= pl.col("tenant") == tenant
        with self._lock:
            assert self._table is not None, "ask what is stored before reading it"
            scan = pl.scan_delta(self._table)
        return scan.filter(wanted).sort("stream_ms", "stream_seq").select(LOG_SCHEMA.names()).collect()

    def scan(self, tenant: str, until: Position) -> pl.LazyFrame:
        """A tenant's rows up to a place, unsorted, to be collected in pieces: as of now, whatever is stored later."""
        with self._lock:
            assert self._table is not None, "ask what is stored before reading it"
            rows = pl.scan_delta(self._table)
        return rows.filter((pl.col("tenant") == tenant) & ~_past(until)).select(LOG_SCHEMA.names())

    def tidy(self) -> None:
        """Join the small files of many batches, and delete those that were joined a day ago."""
        with self._lock:
            table = self._open()
            table.optimize.compact()
            hours = int(VACUUM_AFTER.total_seconds() // 3600)
            table.vacuum(hours, dry_run=False, enforce_retention_duration=False)

    def _latest(self) -> DeltaTable:
        with self._lock:
            if self._table is None:
                self._table = self._open()
            else:
                self._table.update_incremental()
            return self._table

    def _open(self) -> DeltaTable:
        return DeltaTable.create(
            self._uri,
            schema=LOG_SCHEMA,
            mode="ignore",
            partition_by=[PARTITION],
            storage_options=self._storage_options,
        )


def storage_options(options: StoreOptions) -> dict[str, str]:
    """What deltalake needs to reach S3; credentials come from the environment, as for boto."""
    if not options.leads_uri.startswith("s3://"):
        return {}
    # without a lock service, two writers are kept apart by S3's conditional put
    reached = {"AWS_REGION": options.s3_region, "AWS_CONDITIONAL_PUT": "etag"}
    if options.s3_endpoint is not None:
        reached["AWS_ENDPOINT_URL"] = options.s3_endpoint
        reached["AWS_ALLOW_HTTP"] = str(options.s3_endpoint.startswith("http://")).lower()
    return reached


def _past(position: Position) -> pl.Expr:
    ms, seq = pl.col("stream_ms"), pl.col("stream_seq")
    return (ms > position.ms) | ((ms == position.ms) & (seq > position.seq))
