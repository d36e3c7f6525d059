"""Rows of a view: most of them in files on scratch, the newest ones in memory, and the columns that queries use held
as far as memory is allowed for them.

A *segment* is three files that never change: the columns (Arrow), the whole leads as JSON one after the other, and
the links (which identifier stands in which row). Reading a few columns of one takes a millisecond or two, so a query
whose columns are not held reads them from the files, one segment after the other, and a view of any size is answered
in bounded memory.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import polars as pl

from control_plane.store.schema import ROW_SCHEMA

SEGMENT_ROWS = 65_536
"""About 60 MB of columns and as much of leads: what building, rewriting or exporting one takes in memory."""

STANDING = "standing"

LINKS_SCHEMA = pl.Schema({"identifier": pl.UInt64, "row": pl.UInt32})

_HEAP_COLUMNS = {"lead_at": pl.UInt64(), "lead_bytes": pl.UInt32()}
_FILE_COLUMNS = [name for name in ROW_SCHEMA.names() if name != "lead"]

_LEADS_AT_ONCE = 4_096

_PIECES_AT_ONCE = 8
"""What is looked through together: it spares a fixed cost each, and bounds what of the columns is in memory at once."""

_PIECES_KEPT = 3
"""Rows are in order of their leads' first sighting but for those that changed, which are in the newest pieces."""

_numbers = itertools.count(1)


class Segment:
    """Rows in files; they are deleted when nobody holds the segment any more, so a running query keeps its own."""

    def __init__(self, directory: Path, rows: pl.DataFrame, links: pl.DataFrame) -> None:
        """Write ``rows`` (of ROW_SCHEMA) and their ``links`` (of LINKS_SCHEMA)."""
        self.number = next(_numbers)
        self.height = rows.height
        self._columns = directory / f"{self.number:08}.arrow"
        self._leads = directory / f"{self.number:08}.leads"
        self._links = directory / f"{self.number:08}.links"
        self._finalizer = weakref.finalize(self, _delete, (self._columns, self._leads, self._links))
        self._write_leads(rows["lead"])
        lengths = rows["lead"].str.len_bytes()
        placed = rows.select(_FILE_COLUMNS).with_columns(
            (lengths.cast(pl.UInt64).cum_sum() - lengths).alias("lead_at"), lengths.alias("lead_bytes")
        )
        placed.rechunk().write_ipc(self._columns, compression="uncompressed")
        links.rechunk().write_ipc(self._links, compression="uncompressed")

    def read(self, names: Sequence[str]) -> pl.DataFrame:
        """Some columns of all rows."""
        return pl.read_ipc(self._columns, columns=list(names))

    def links(self) -> pl.DataFrame:
        return pl.read_ipc(self._links)

    def leads(self, places: pl.DataFrame) -> list[str]:
        """The leads at ``places``, which are rows of ``lead_at`` and ``lead_bytes``."""
        file = os.open(self._leads, os.O_RDONLY)
        try:
            return [os.pread(file, length, start).decode() for start, length in places.iter_rows()]
        finally:
            os.close(file)

    def _write_leads(self, leads: pl.Series) -> None:
        with self._leads.open("wb") as file:
            for start in range(0, leads.len(), _LEADS_AT_ONCE):
                file.write(str(leads.slice(start, _LEADS_AT_ONCE).str.join("").item()).encode())


class ColumnCache:
    """Columns of segments in memory; beyond ``limit`` bytes the least recently used ones go. Shared by all views."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[tuple[int, str], pl.Series] = OrderedDict()
        self._sizes: dict[tuple[int, str], int] = {}
        self._lock = threading.Lock()
        self.bytes = 0

    def columns(self, segment: Segment, names: Sequence[str]) -> pl.DataFrame:
        """Some columns of a segment, read where they are not held."""
        return self._take(segment, list(names), segment.read)

    def links(self, segment: Segment) -> pl.DataFrame:
        return self._take(segment, LINKS_SCHEMA.names(), lambda _: segment.links())

    def forget(self, segment: Segment) -> None:
        """Drop what is held of a segment that was replaced."""
        with self._lock:
            for key in [key for key in self._held if key[0] == segment.number]:
                self._drop(key)

    def _take(self, segment: Segment, names: list[str], read: Callable[[list[str]], pl.DataFrame]) -> pl.DataFrame:
        found: dict[str, pl.Series] = {}
        with self._lock:
            for name in names:
                if (held := self._held.get((segment.number, name))) is not None:
                    self._held.move_to_end((segment.number, name))
                    found[name] = held
        missing = [name for name in names if name not in found]
        if missing:
            # read outside the lock: two queries that want the same read it twice, and one of them is kept
            for column in read(missing).get_columns():
                found[column.name] = column
                self._hold((segment.number, column.name), column)
        return pl.DataFrame([found[name] for name in names])

    def _hold(self, key: tuple[int, str], column: pl.Series) -> None:
        size = int(column.estimated_size())
        with self._lock:
            if key in self._held or size > self._limit:
                return
            self._held[key], self._sizes[key] = column, size
            self.bytes += size
            while self.bytes > self._limit:
                self._drop(next(iter(self._held)))

    def _drop(self, key: tuple[int, str]) -> None:
        del self._held[key]
        self.bytes -= self._sizes.pop(key)


class Piece(Protocol):
    """Some rows of a view, as they were when the snapshot was taken."""

    @property
    def standing(self) -> pl.Series:
        """Which of the rows count."""

    def frame(self, names: Sequence[str]) -> pl.DataFrame:
        """Columns of all rows; STANDING among them if it is named."""

    def read(self, names: Sequence[str]) -> pl.DataFrame:
        """The same without displacing what is held in memory: for exports, which see every row once."""

    def leads(self, rows: Sequence[int]) -> list[str]:
        """Leads as JSON, by row."""

    def links(self) -> pl.DataFrame:
        """Which identifier stands in which row: LINKS_SCHEMA."""


@dataclass(frozen=True, eq=False)
class Stored:
    """A piece whose rows are in a segment."""

    segment: Segment
    standing: pl.Series
    cache: ColumnCache

    def frame(self, names: Sequence[str]) -> pl.DataFrame:
        columns = self.cache.columns(self.segment, [name for name in names if name != STANDING]).get_columns()
        return pl.DataFrame([self.standing, *columns] if STANDING in names else columns)

    def read(self, names: Sequence[str]) -> pl.DataFrame:
        return self.segment.read([name for name in dict.fromkeys(names) if name != "lead"])

    def leads(self, rows: Sequence[int]) -> list[str]:
        places = self.cache.columns(self.segment, list(_HEAP_COLUMNS))[rows]
        return self.segment.leads(places)

    def links(self) -> pl.DataFrame:
        return self.cache.links(self.segment)


@dataclass(frozen=True, eq=False)
class Recent:
    """A piece whose rows are in memory, whole leads included."""

    rows: pl.DataFrame
    standing: pl.Series

    def frame(self, names: Sequence[str]) -> pl.DataFrame:
        return self.rows.with_columns(self.standing).select(names)

    def read(self, names: Sequence[str]) -> pl.DataFrame:
        return self.rows.select(name for name in dict.fromkeys(names) if name != "lead")

    def leads(self, rows: Sequence[int]) -> list[str]:
        return self.rows["lead"].gather(list(rows)).to_list()

    def links(self) -> pl.DataFrame:
        return self._links

    @cached_property
    def _links(self) -> pl.DataFrame:
        return links_of(self.rows)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All rows of a view at one moment; what happens later does not show in it."""

    pieces: tuple[Piece, ...]

    def select(self, condition: pl.Expr, names: Sequence[str] = ()) -> pl.DataFrame:
        """The rows that meet a condition: columns ``piece``, ``row`` and ``names``, in the order of the view."""
        needed = list(dict.fromkeys([*condition.meta.root_names(), *names]))
        numbered = [(number, piece) for number, piece in enumerate(self.pieces) if piece.standing.len()]
        found = [_nowhere(self.pieces[0].frame(list(names)))]
        for start in range(0, len(numbered), _PIECES_AT_ONCE):
            plans = [
                piece.frame(needed)
                .lazy()
                .with_row_index("row")
                .filter(condition)
                .select(pl.lit(number, pl.UInt32).alias("piece"), "row", *names)
                for number, piece in numbered[start : start + _PIECES_AT_ONCE]
            ]
            found.append(pl.concat(plans).collect())
        return pl.concat(found)

    def leads(self, places: pl.DataFrame) -> list[str]:
        """Leads as JSON, in the order of ``places``, which has the columns ``piece`` and ``row``."""
        of_pieces: dict[int, list[tuple[int, int]]] = {}
        for place, (number, row) in enumerate(places.select("piece", "row").iter_rows()):
            of_pieces.setdefault(number, []).append((place, row))
        found = [""] * places.height
        for number, wanted in of_pieces.items():
            leads = self.pieces[number].leads([row for _, row in wanted])
            for (place, _), lead in zip(wanted, leads, strict=True):
                found[place] = lead
        return found

    def batches(self, places: pl.DataFrame, names: Sequence[str], size: int) -> Generator[pl.DataFrame]:
        """Columns of the rows at ``places``, in their order, ``size`` rows at a time; ``lead`` may be among the names.

        Pieces are read whole and a few of them kept, so places should be all over the view in few ascending runs only.
        """
        columns = [name for name in names if name != "lead"]
        kept: OrderedDict[int, pl.DataFrame] = OrderedDict()
        for start in range(0, places.height, size):
            numbered = places.slice(start, size).select("piece", "row").with_row_index("place")
            read = [
                self._gather(int(str(number)), rows, columns, kept) for (number,), rows in numbered.group_by("piece")
            ]
            whole = pl.concat(read).sort("place")
            if "lead" in names:
                whole = whole.with_columns(pl.Series("lead", self.leads(numbered), dtype=pl.String))
            yield whole.select(names)

    def _gather(
        self, number: int, places: pl.DataFrame, columns: Sequence[str], kept: OrderedDict[int, pl.DataFrame]
    ) -> pl.DataFrame:
        """Columns of some rows of a piece, and their ``place``."""
        if not columns:
            return places.select("place")
        if number not in kept:
            kept[number] = self.pieces[number].read(columns)
            if len(kept) > _PIECES_KEPT:
                kept.popitem(last=False)
        kept.move_to_end(number)
        return kept[number][places["row"]].with_columns(places["place"])

    def find(self, identifiers: pl.Series) -> Iterator[tuple[Piece, list[int]]]:
        """The standing rows that have one of some identifiers, which are hashes; a few others may be among them."""
        for piece in self.pieces:
            linked = piece.links().filter(pl.col("identifier").is_in(identifiers.implode()))["row"].unique().sort()
            rows = linked.filter(piece.standing.gather(linked)).to_list()
            if rows:
                yield piece, rows


def hashed(identifiers: Sequence[str]) -> pl.Series:
    """Identifiers as links hold them. The hash is this process's own and is stored nowhere else."""
    return pl.Series(list(identifiers), dtype=pl.String).hash()


def id_link(lead_id: str) -> str:
    """The link that every row has of its own lead id."""
    return f"id:{lead_id}"


def link_hashes() -> pl.Expr:
    """A list of the hashes of a row's own id and of its identifiers."""
    own = pl.concat_str(pl.lit("id:"), "lead_id").hash()
    return pl.concat_list(own, pl.col("identifiers").list.eval(pl.element().hash()))


def links_of(rows: pl.DataFrame) -> pl.DataFrame:
    """LINKS_SCHEMA of some rows, numbered from 0."""
    named = rows.select(link_hashes().alias("identifier")).with_row_index("row").explode("identifier")
    return named.select(LINKS_SCHEMA.names()).cast(LINKS_SCHEMA)


def _nowhere(columns: pl.DataFrame) -> pl.DataFrame:
    """No rows, with the types of what ``select`` finds."""
    schema = pl.Schema({"piece": pl.UInt32(), "row": pl.get_index_type(), **columns.schema})
    return pl.DataFrame(schema=schema)


def _delete(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
