"""The current view of one tenant: one row a lead, merged from its observations.

Its rows only grow: a lead that changed gets a new row and its old one is marked as not ``standing``. A query takes a
snapshot and never waits for a change. A lead that was seen once *is* its observation; only of leads seen more often are
the sightings kept, to merge them again when the next one arrives.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from control_plane.store.components import (
    Groups,
    components,
    components_of,
    observation,
    repeats,
    without_repeats,
)
from control_plane.store.history import History
from control_plane.store.schema import (
    LOG_SCHEMA,
    ROW_SCHEMA,
    VIEW_SCHEMA,
    Position,
    Sighting,
    frame_of,
    judged,
    view_of_log,
    view_row,
    with_keys,
)
from control_plane.store.segments import (
    SEGMENT_ROWS,
    STANDING,
    ColumnCache,
    Piece,
    Recent,
    Segment,
    Snapshot,
    Stored,
    hashed,
    id_link,
    link_hashes,
    links_of,
)
from leads import identity
from leads.model import Lead

RECENT_ROWS = 8_192
"""Rows held in memory before they are written: a dozen MB. A segment is rewritten for them until it is full."""

RECENT_CHUNKS = 64
"""Pieces of memory that these rows may lie in. Each costs some 20 KB, whatever it holds: leads that come one by one
would take 160 MB."""

FOLD_SHARE = 0.25
"""A segment is written anew when this share of it is dead."""

SETTLE_BUSINESSES = 2_000
"""Businesses that are merged and made into rows together while a view is built."""


class TenantView:
    """The leads of one tenant. ``apply`` is called by one thread at a time; ``snapshot`` may be taken by any."""

    def __init__(self, tenant: str, scratch: Path, cache: ColumnCache) -> None:
        """Its files are in a folder of their own in ``scratch``, until ``close``."""
        self.tenant = tenant
        self.position = Position()
        """Up to where on the results stream this view knows."""
        self.changed_at = Position()
        """The last sighting that changed it: equal on all replicas that know as much."""
        self._cache = cache
        self._directory = Path(tempfile.mkdtemp(prefix="view-", dir=scratch))
        self._history = History(self._directory / "history.sqlite", tenant)
        self._aliases: dict[str, str] = {}
        self._stored: list[Stored] = []
        self._recent = _nothing()
        self._snapshot = Snapshot((self._recent,))

    def close(self) -> None:
        """Delete its files; a query that runs may then fail."""
        self._history.close()
        for piece in self._stored:
            self._cache.forget(piece.segment)
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def snapshot(self) -> Snapshot:
        """All rows as of now; only those that are ``standing`` count."""
        return self._snapshot

    @property
    def height(self) -> int:
        """How many leads there are."""
        return sum(int(piece.standing.sum()) for piece in self._snapshot.pieces)

    def standing_id(self, lead_id: str) -> str:
        """The id a lead goes by now: leads that turned out to be one business go by the oldest one's."""
        while lead_id in self._aliases:
            lead_id = self._aliases[lead_id]
        return lead_id

    def aliases_of(self, lead_id: str) -> list[str]:
        return sorted(alias for alias in self._aliases if self.standing_id(alias) == lead_id)

    def lead(self, lead_id: str) -> str | None:
        """A lead as JSON, by the id it goes by or went by; None when there is no such lead."""
        standing = self.standing_id(lead_id)
        for piece, rows in self._snapshot.find(hashed([id_link(standing)])):
            for row, found in zip(rows, piece.frame(["lead_id"])["lead_id"].gather(rows), strict=True):
                if found == standing:
                    return piece.leads([row])[0]
        return None

    def sightings(self, lead_id: str) -> list[Sighting]:
        """What a lead was merged from, in order of the stream; empty when there is no such lead."""
        standing = self.standing_id(lead_id)
        return self._related([standing], []).get(standing, [])

    def load(self, log: pl.LazyFrame, until: Position, progress: Callable[[int, int], None]) -> None:
        """Fill an empty view with the tenant's rows of the observation log, which hold all up to ``until``.

        ``progress`` is told how many observations are in it, of how many.

        Reads the log twice: for who shares an identifier with whom, and for the rows, a segment's worth at a time.
        """
        assert not self._stored, "a view is loaded once"
        narrow = log.select(
            "stream_ms", "stream_seq", link_hashes().alias("links"), observation().alias("observation")
        ).collect(engine="streaming")
        ordered = narrow.sort("stream_ms", "stream_seq").with_row_index("row")
        del narrow
        latest, replaced = repeats(ordered)
        kin = components_of(ordered.filter(~pl.col("row").is_in(replaced.implode())))
        places = ordered.select("stream_ms", "stream_seq")
        del ordered
        done = 0
        for start in range(0, places.height, SEGMENT_ROWS):
            stop = min(start + SEGMENT_ROWS, places.height)
            first, last = Position(*places.row(start)), Position(*places.row(stop - 1))
            rows = log.filter(_between(first, last)).sort("stream_ms", "stream_seq").collect()
            numbered = without_repeats(
                rows.with_columns(pl.int_range(start, stop, dtype=pl.UInt32).alias("row")), latest, replaced
            ).join(kin, on="row", how="left", maintain_order="left")
            alone = numbered.filter(pl.col("component").is_null()).select(LOG_SCHEMA.names())
            self._store(with_keys(view_of_log(alone)))
            together = numbered.filter(pl.col("component").is_not_null())
            done += rows.height - together.height
            progress(done, places.height)
            self._history.stage(
                together.select("component", "stream_ms", "stream_seq", "task_id", "event_id", "lead").iter_rows()
            )
        pending: list[list[Sighting]] = []
        for component in self._history.unstage():
            pending += self._businesses(component)
            done += len(component)
            if len(pending) >= SETTLE_BUSINESSES:
                self._append(self._settle(pending))
                pending = []
                progress(done, places.height)
        self._append(self._settle(pending))
        if places.height:
            self.changed_at = Position(*places.row(-1))
        self.position = max(self.position, until)
        self._publish()

    def apply(self, sightings: Sequence[Sighting]) -> None:
        """Take in new sightings, in order of the stream; those the view knows already change nothing."""
        news = [sighting for sighting in sightings if sighting.position > self.position]
        if not news:
            return
        self.position = news[-1].position
        self.changed_at = max(self.changed_at, self.position)
        own = [self.standing_id(sighting.lead_id) for sighting in news]
        known = self._related(own, [text for sighting in news for text in sighting.identifiers])
        members = [sighting for group in known.values() for sighting in group]
        rows = self._settle(
            group
            for component in components(sorted([*members, *news], key=lambda sighting: sighting.position))
            for group in self._businesses(component)
        )
        self._retire(known)
        self._append(rows)
        self._fold()
        self._publish()

    def all_ids(self, lead_ids: Collection[str]) -> set[str]:
        """Every id that these leads go by or went by before they were merged."""
        standing = {self.standing_id(lead_id) for lead_id in lead_ids}
        return {*lead_ids, *standing, *(alias for alias in self._aliases if self.standing_id(alias) in standing)}

    def erase(self, lead_ids: Collection[str], until: Position, at: Position) -> None:
        """Forget the observations of some leads up to a place on the stream; ``at`` is when that was decided.

        What was seen of them later stays, and is what they are then. To be repeated without harm.
        """
        known = self._related({self.standing_id(lead_id) for lead_id in lead_ids}, [])
        kept = [
            sighting
            for group in known.values()
            for sighting in group
            if sighting.position > until or sighting.lead_id not in lead_ids
        ]
        kept.sort(key=lambda sighting: sighting.position)
        self._aliases = {alias: to for alias, to in self._aliases.items() if self.standing_id(alias) not in known}
        self._history.remove(known)
        rows = self._settle(group for component in components(kept) for group in self._businesses(component))
        self._retire(known)
        self._append(rows)
        self._fold(share=0.0)  # files that still hold them are written anew
        self._recent = _living(self._recent)
        self.changed_at = max(self.changed_at, at)
        self._publish()

    def _related(self, lead_ids: Collection[str], identifiers: Collection[str]) -> dict[str, list[Sighting]]:
        """The standing leads that have one of the ids or identifiers, and their sightings."""
        ids, shared = hashed([id_link(lead_id) for lead_id in lead_ids]), hashed(identifiers)
        found: dict[str, list[Sighting]] = {}
        for piece, rows in self._snapshot.find(ids, shared):
            members = piece.frame(["lead_id", "stream_ms", "stream_seq", "task_ids"])[rows]
            known = self._history.of(members["lead_id"].to_list())
            found |= known
            single = members.with_columns(pl.Series("row", rows)).filter(~pl.col("lead_id").is_in(list(known)))
            leads = piece.leads(single["row"].to_list())
            for (lead_id, ms, seq, task_ids, _), lead in zip(single.iter_rows(), leads, strict=True):
                # a lead that stands on a single observation is that observation
                position = Position(ms, seq)
                found[lead_id] = [Sighting(position, self.tenant, task_ids[0], "", Lead.model_validate_json(lead))]
        return found

    def _businesses(self, component: Sequence[Sighting]) -> list[list[Sighting]]:
        """Related sightings, sorted into one group a business: those with one lead id, and those that are the same."""
        first_of_each: dict[tuple[str, str], Sighting] = {}
        for sighting in component:
            known = first_of_each.setdefault(sighting.same_as, sighting)
            if sighting is not known:  # the same once more: an enriched one takes the place of the plain one
                first_of_each[sighting.same_as] = replace(sighting, position=known.position)
        distinct = list(first_of_each.values())
        if len(distinct) == 1:
            return [distinct]
        groups = Groups(len(distinct))
        by_id: dict[str, int] = {}
        for index, sighting in enumerate(distinct):
            groups.join(index, by_id.setdefault(self.standing_id(sighting.lead_id), index))
        if any(groups.root(index) for index in range(len(distinct))):  # else one id has joined them all
            for cluster in identity.cluster([sighting.lead for sighting in distinct]):
                for index in cluster[1:]:
                    groups.join(cluster[0], index)
        return [[distinct[index] for index in members] for members in groups.members()]

    def _settle(self, businesses: Iterable[list[Sighting]]) -> pl.DataFrame:
        """Rows of VIEW_SCHEMA: a business goes by the id of its first sighting, other ids become aliases of it."""
        rows, histories, renamed = [], {}, set()
        for group in businesses:
            lead_id = self.standing_id(group[0].lead_id)
            for other in {self.standing_id(sighting.lead_id) for sighting in group} - {lead_id}:
                self._aliases[other] = lead_id
                renamed.add(other)
            if len(group) == 1:
                rows.append(view_row(group[0].lead, group))
                continue
            histories[lead_id] = group
            merged = identity.merge([sighting.lead for sighting in group])
            rows.append(view_row(judged(merged.model_copy(update={"lead_id": lead_id})), group))
        self._history.remove(renamed)
        self._history.put(histories)
        return frame_of(rows, VIEW_SCHEMA)

    def _retire(self, lead_ids: Collection[str]) -> None:
        """Mark the rows of some leads as not standing any more."""
        if not lead_ids:
            return
        gone = set(lead_ids)
        found = {id(piece): rows for piece, rows in self._snapshot.find(hashed([id_link(each) for each in lead_ids]))}

        def without(piece: Piece) -> pl.Series:
            rows = found[id(piece)]
            ids = piece.frame(["lead_id"])["lead_id"].gather(rows)
            dead = [row for row, lead_id in zip(rows, ids, strict=True) if lead_id in gone]
            # a new series: scatter writes in place, and running queries have the old one
            return piece.standing & _all_standing(piece.standing.len()).scatter(dead, values=False)

        self._stored = [
            Stored(piece.segment, without(piece), self._cache) if id(piece) in found else piece
            for piece in self._stored
        ]
        if id(self._recent) in found:
            self._recent = Recent(self._recent.rows, without(self._recent))

    def _append(self, rows: pl.DataFrame) -> None:
        """Add rows; when enough are in memory they move to a segment, which takes the last one's rows if they fit."""
        if rows.is_empty():
            return
        merged = pl.concat([self._recent.rows, with_keys(rows)])
        self._recent = Recent(merged, pl.concat([self._recent.standing, _all_standing(rows.height)]))
        if merged.n_chunks() > RECENT_CHUNKS:
            self._recent = _living(self._recent)
        if self._recent.rows.height < RECENT_ROWS:
            return
        new = self._recent.rows.filter(self._recent.standing)
        if self._stored and self._stored[-1].segment.height + new.height <= SEGMENT_ROWS:
            new = pl.concat([self._drop(self._stored.pop()), new])
        self._recent = _nothing()
        self._store(new)

    def _fold(self, share: float = FOLD_SHARE) -> None:
        """Write segments anew of which too much is dead: more than ``share``."""
        for piece in [*self._stored]:
            if piece.segment.height - (piece.standing.sum() or 0) > share * piece.segment.height:
                self._stored.remove(piece)
                self._store(self._drop(piece))

    def _drop(self, piece: Stored) -> pl.DataFrame:
        """The standing rows of a piece whose segment is given up."""
        self._cache.forget(piece.segment)
        alive = piece.standing.arg_true()
        rows = piece.read([name for name in ROW_SCHEMA.names() if name != "lead"]).filter(piece.standing)
        leads = pl.Series("lead", piece.leads(alive.to_list()), dtype=pl.String)
        return rows.with_columns(leads).select(ROW_SCHEMA.names())

    def _store(self, rows: pl.DataFrame) -> None:
        if not rows.is_empty():
            segment = Segment(self._directory, rows, links_of(rows))
            self._stored.append(Stored(segment, _all_standing(segment.height), self._cache))

    def _publish(self) -> None:
        """Show queries the change, in one assignment: they run meanwhile."""
        self._snapshot = Snapshot((*self._stored, self._recent))


def _between(first: Position, last: Position) -> pl.Expr:
    """From one place on the stream to another one, both included; the plain bounds let whole files be skipped."""
    ms, seq = pl.col("stream_ms"), pl.col("stream_seq")
    return (
        ms.is_between(first.ms, last.ms) & ((ms > first.ms) | (seq >= first.seq)) & ((ms < last.ms) | (seq <= last.seq))
    )


def _all_standing(height: int) -> pl.Series:
    return pl.Series(STANDING, [True], dtype=pl.Boolean).new_from_index(0, height)


def _living(recent: Recent) -> Recent:
    """Only the rows that stand, in one piece of memory."""
    rows = recent.rows.filter(recent.standing).rechunk()
    return Recent(rows, _all_standing(rows.height))


def _nothing() -> Recent:
    return Recent(pl.DataFrame(schema=ROW_SCHEMA), pl.Series(STANDING, [], dtype=pl.Boolean))
