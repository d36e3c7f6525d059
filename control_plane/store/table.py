"""The observation log: a Delta table that also says how far the results stream is stored.

A commit carries three application transactions (Delta's ``txn`` actions): the number of the batch and the two halves of
the stream id of its last entry. Rows and place therefore change in one atomic step, and of two sinks that
both store batch *n* one is refused by Delta, whichever of them holds the lease. What writes files anew (erasing,
joining) puts up a fence first, a change of the table's properties, behind which nothing that was begun before it can
be committed: a slow sink cannot bring back what was erased, files that no version refers to can be deleted, and of two
that replace the same files one is refused. Delta itself lets both commit, if they say that they change no rows, and
then every row is there twice. All methods block; call them in a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import polars as pl
import structlog
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.writer import write_deltalake

from control_plane.store import upkeep
from control_plane.store.options import StoreOptions
from control_plane.store.schema import LOG_SCHEMA, WORDS, Position
from control_plane.store.table_files import TableFiles, storage_options

T = TypeVar("T")

PARTITION = "tenant"

_OPEN_ATTEMPTS = 20
"""A table of an older shape takes two commits to bring up to date; of replicas that start together one wins each."""

PROPERTIES = {
    # Readers skip files by these. Of any other column the log of commits would keep the least and the greatest value,
    # that is names and numbers of leads, for longer than the leads themselves.
    "delta.dataSkippingStatsColumns": "batch,stream_ms,stream_seq",
    "delta.checkpointInterval": "100",
    "delta.enableExpiredLogCleanup": "true",
    # A commit every 2 s makes 43,000 a day; who follows the table by version must look this often.
    "delta.logRetentionDuration": "interval 6 hours",
}

FENCE = "leadfleet.fence"

ERASED_AT_ONCE = 2_000
"""Rows that one commit erases: they are named one by one in its predicate."""

PREDICATE_GROUPS = 100
"""Alternatives of that predicate: each is a level of a tree that is walked recursively."""

READ_TRIES = 3
"""A file may be erased between looking at the table and reading it; then one looks again."""

_BATCH, _MS, _SEQ = "leadfleet-batch", "leadfleet-stream-ms", "leadfleet-stream-seq"

_LISTS = [name for name, dtype in LOG_SCHEMA.items() if dtype == WORDS]

log = structlog.get_logger(__name__)


class BatchTaken(Exception):
    """Another sink has taken this number."""

    def __init__(self, batch: int) -> None:
        super().__init__(f"batch {batch} of the observation log has been taken by another sink")


@dataclass(frozen=True, slots=True)
class Stored:
    """How far the log has come: the last batch, and the place of its last entry on the results stream."""

    batch: int
    position: Position


@dataclass(frozen=True, slots=True)
class Erased:
    """``rows`` went; unless ``complete`` there are more than one commit can name, and it is to be called again."""

    rows: int
    complete: bool


class ObservationLog:
    """The table at ``uri``; made when it is first opened. One instance may be used from several threads."""

    def __init__(self, uri: str, storage_options: dict[str, str], files: TableFiles | None = None) -> None:
        self._uri = uri
        self._storage_options = storage_options
        self._files = files or TableFiles(uri)
        self._table: DeltaTable | None = None
        self._lock = threading.Lock()  # a DeltaTable is refreshed in place

    @classmethod
    def of(cls, options: StoreOptions) -> ObservationLog:
        files = TableFiles(options.leads_uri, region=options.s3_region, endpoint=options.s3_endpoint)
        return cls(options.leads_uri, storage_options(options), files)

    def stored(self) -> Stored:
        """How far the log has come, as of now."""
        return _stored(self._latest())

    def append(self, rows: pl.DataFrame, batch: int, last: Position) -> None:
        """Store ``rows`` as batch number ``batch``, up to ``last``; BatchTaken when another sink was first."""
        with self._lock:
            assert self._table is not None, "ask what is stored before storing more"
            marks = _taking(self._table, batch, last)
            _committed(batch, partial(_append, self._table, rows, marks))

    def erase(self, tenant: str, lead_ids: Collection[str], until: Position) -> Erased:
        """Remove a tenant's rows of some leads, up to a place on the stream, and delete every file that held them.

        Takes numbers like batches; BatchTaken when a sink was faster. Safe to repeat, after a crash as well.
        """
        table = self._open()
        # What no version needs: earlier forms of the files, and those of sinks that died before their commit. Whoever
        # wrote one of them and has not committed yet is refused from the fence on.
        superfluous = set(upkeep.unreferenced(table, f"{PARTITION}={tenant}/"))
        _fence(table)
        superfluous |= _files_of(table, tenant)
        places = _places(table, tenant, lead_ids, until)
        doomed = _at_once(places)
        if doomed:
            stored = _stored(table)
            marks = _taking(table, stored.batch + 1, stored.position)
            _committed(stored.batch + 1, partial(_delete, table, tenant, doomed, marks))
        self._files.delete(superfluous - _files_of(table, tenant))
        return Erased(len(doomed), complete=len(doomed) == len(places))

    def read(self, *, tenant: str | None = None, after: Position, until: Position | None = None) -> pl.DataFrame:
        """Rows in order of the stream: those after one place and, where given, not past another, of a tenant or all.

        Columns that a row was stored without are null, lists are empty.
        """
        wanted = _past(after)
        if until is not None:
            wanted &= ~_past(until)
        if tenant is not None:
            wanted &= pl.col(PARTITION) == tenant

        def rows(table: DeltaTable) -> pl.LazyFrame:
            return pl.scan_delta(table).filter(wanted).sort("stream_ms", "stream_seq").select(LOG_SCHEMA.names())

        return self._collect(rows).with_columns(pl.col(_LISTS).fill_null([]))

    def scan(self, tenant: str, until: Position) -> pl.LazyFrame:
        """A tenant's rows up to a place, unsorted, to be collected in pieces: as of now, whatever is stored later."""
        with self._lock:
            assert self._table is not None, "ask what is stored before reading it"
            rows = pl.scan_delta(self._table)
        theirs = rows.filter((pl.col(PARTITION) == tenant) & ~_past(until))
        return theirs.select(LOG_SCHEMA.names()).with_columns(pl.col(_LISTS).fill_null([]))

    def leads(self, tenant: str, until: Position, which: pl.Expr) -> pl.DataFrame:
        """``lead_id, task_id, lead`` of a tenant's rows up to a place on the stream, as of now: those of ``which``."""
        theirs = (pl.col(PARTITION) == tenant) & ~_past(until) & which
        self._latest()
        return self._collect(lambda table: pl.scan_delta(table).filter(theirs).select("lead_id", "task_id", "lead"))

    def tidy(self, memory_mb: int) -> upkeep.Tidied:
        """Join small files tenant by tenant, delete what nobody needs any more, and shorten the log of commits.

        BatchTaken when another sink was faster, DeltaError or OSError when it fails; what was done until then stays
        done, and nothing else is touched.
        """
        table = self._open()
        try:
            return upkeep.tidy(table, PARTITION, memory_mb, _fence)
        except CommitFailedError as exc:
            raise BatchTaken(_stored(table).batch + 1) from exc

    def _collect(self, query: Callable[[DeltaTable], pl.LazyFrame]) -> pl.DataFrame:
        for tries_left in reversed(range(READ_TRIES)):
            with self._lock:
                assert self._table is not None, "ask what is stored before reading it"
                scan = query(self._table)
            try:
                return scan.collect()
            except (OSError, pl.exceptions.ComputeError):
                if not tries_left:
                    raise
                log.info("a file of the leads table has gone; its newest version is read instead")
                self._latest()
        raise AssertionError("unreachable")

    def _latest(self) -> DeltaTable:
        with self._lock:
            if self._table is None:
                self._table = self._open()
            else:
                self._table.update_incremental()
            return self._table

    def _open(self) -> DeltaTable:
        table = DeltaTable.create(
            self._uri,
            schema=LOG_SCHEMA,
            mode="ignore",
            partition_by=[PARTITION],
            configuration=PROPERTIES,
            storage_options=self._storage_options,
        )
        for attempt in range(1, _OPEN_ATTEMPTS + 1):
            try:
                upkeep.bring_up_to_date(table, LOG_SCHEMA, PROPERTIES)
                break
            except DeltaError:
                # Another worker was faster, which is as good: what it left to do shows in the newest version.
                if attempt == _OPEN_ATTEMPTS:
                    raise
                table.update_incremental()
        return table


def _stored(table: DeltaTable) -> Stored:
    return Stored(
        table.transaction_version(_BATCH) or 0,
        Position(table.transaction_version(_MS) or 0, table.transaction_version(_SEQ) or 0),
    )


def _taking(table: DeltaTable, batch: int, last: Position) -> CommitProperties:
    """Marks of a commit that takes number ``batch``; BatchTaken when the table has it already."""
    if (table.transaction_version(_BATCH) or 0) >= batch:
        raise BatchTaken(batch)
    marks = [Transaction(_BATCH, batch), Transaction(_MS, last.ms), Transaction(_SEQ, last.seq)]
    return CommitProperties(app_transactions=marks)


def _committed(batch: int, write: Callable[[], T]) -> T:
    try:
        return write()
    except CommitFailedError as exc:
        raise BatchTaken(batch) from exc


def _fence(table: DeltaTable) -> None:
    """Take a number with a change of the table's properties: Delta refuses whatever was begun before it.

    ``table`` is as it was behind that very commit: whoever puts up the next fence refuses us in turn.
    """
    stored = _stored(table)
    batch = stored.batch + 1
    marks = _taking(table, batch, stored.position)
    _committed(
        batch,
        partial(
            table.alter.set_table_properties, {FENCE: str(batch)}, raise_if_not_exists=False, commit_properties=marks
        ),
    )
    if table.metadata().configuration[FENCE] != str(batch):
        raise BatchTaken(batch + 1)


def _append(table: DeltaTable, rows: pl.DataFrame, marks: CommitProperties) -> None:
    # A table of a newer version may have columns that we do not know: they stay null in our rows.
    write_deltalake(table, rows, mode="append", schema_mode="merge", commit_properties=marks)


def _delete(table: DeltaTable, tenant: str, places: list[tuple[int, int]], marks: CommitProperties) -> None:
    """Delete rows by where they are: a commit keeps its predicate, and one that named leads would go on naming them."""
    by_seq: dict[int, list[int]] = {}
    for seq, ms in places:
        by_seq.setdefault(seq, []).append(ms)
    alternatives = [
        f"(stream_seq = {seq} AND stream_ms IN ({', '.join(map(str, each))}))" for seq, each in by_seq.items()
    ]
    times = [ms for _, ms in places]
    within = f"{PARTITION} = '{tenant}' AND stream_ms >= {min(times)} AND stream_ms <= {max(times)}"
    table.delete(f"{within} AND ({' OR '.join(alternatives)})", commit_properties=marks)


def _places(table: DeltaTable, tenant: str, lead_ids: Collection[str], until: Position) -> list[tuple[int, int]]:
    """Where the rows of these leads stand, by ``(stream_seq, stream_ms)``."""
    theirs = (pl.col(PARTITION) == tenant) & pl.col("lead_id").is_in(list(lead_ids)) & ~_past(until)
    found = pl.scan_delta(table).filter(theirs).select("stream_seq", "stream_ms").sort("stream_seq", "stream_ms")
    return list(found.collect().iter_rows())


def _at_once(places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """As many of them as one commit may name."""
    groups: set[int] = set()
    for index, (seq, _) in enumerate(places[:ERASED_AT_ONCE]):
        groups.add(seq)
        if len(groups) > PREDICATE_GROUPS:
            return places[:index]
    return places[:ERASED_AT_ONCE]


def _files_of(table: DeltaTable, tenant: str) -> set[str]:
    """Paths, relative to the table, of the files that hold the tenant's rows."""
    inside = f"{PARTITION}={tenant}/"
    return {inside + uri.rpartition(f"/{inside}")[2] for uri in table.file_uris() if f"/{inside}" in uri}


def _past(position: Position) -> pl.Expr:
    ms, seq = pl.col("stream_ms"), pl.col("stream_seq")
    return (ms > position.ms) | ((ms == position.ms) & (seq > position.seq))
