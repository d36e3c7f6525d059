"""The current view of one tenant: one row a lead, merged from its observations.

It is kept in memory as a Polars frame that only grows: a lead that changed gets a new row and its old one is marked as
not ``standing``. A query takes the frame as it is and never waits for a change. A lead that was seen once *is* its
observation; only of leads seen more often are the sightings kept, to merge them again when the next one arrives.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

import polars as pl

from control_plane.store.schema import (
    VIEW_SCHEMA,
    Position,
    Sighting,
    frame_of,
    scored,
    sighting_from_log,
    view_of_log,
    view_row,
)
from leads import identity
from leads.model import Lead

STANDING = "standing"

_FRAME_SCHEMA = pl.Schema([*VIEW_SCHEMA.items(), (STANDING, pl.Boolean())])
_LINKS_SCHEMA = pl.Schema({"identifier": pl.UInt64, "lead_id": pl.String})

FOLD_SHARE = 0.25
FOLD_CHUNKS = 64
"""The frame is written anew when this share of it is dead, or it consists of so many pieces that scans slow down."""


class TenantView:
    """The leads of one tenant. ``apply`` is called by one thread at a time; ``frame`` may be read by any."""

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.position = Position()
        """Up to where on the results stream this view knows."""
        self.changed_at = Position()
        """The last sighting that changed it: equal on all replicas that know as much."""
        self._frame = pl.DataFrame(schema=_FRAME_SCHEMA)
        self._links = pl.DataFrame(schema=_LINKS_SCHEMA)
        self._aliases: dict[str, str] = {}
        self._history: dict[str, list[Sighting]] = {}

    @property
    def frame(self) -> pl.DataFrame:
        """All rows; only those that are ``standing`` count."""
        return self._frame

    def standing_id(self, lead_id: str) -> str:
        """The id a lead goes by now: leads that turned out to be one business go by the oldest one's."""
        while lead_id in self._aliases:
            lead_id = self._aliases[lead_id]
        return lead_id

    def aliases_of(self, lead_id: str) -> list[str]:
        return sorted(alias for alias in self._aliases if self.standing_id(alias) == lead_id)

    def sightings(self, lead_id: str) -> list[Sighting]:
        """What a lead was merged from, in order of the stream; empty when there is no such lead."""
        standing = self.standing_id(lead_id)
        return self._history.get(standing) or self._alone([standing]).get(standing, [])

    def load(self, log: pl.DataFrame, until: Position) -> None:
        """Fill an empty view with the tenant's rows of the observation log, which hold all up to ``until``."""
        assert self._frame.is_empty(), "a view is loaded once"
        if not log.is_empty():
            crowded = _crowded(log)
            self._replace((), view_of_log(log.filter(~crowded)))
            self.changed_at = Position(*log.select("stream_ms", "stream_seq").row(-1))
            self.apply([sighting_from_log(row) for row in log.filter(crowded).iter_rows(named=True)])
        self.position = max(self.position, until)

    def apply(self, sightings: Sequence[Sighting]) -> None:
        """Take in new sightings, in order of the stream; those the view knows already change nothing."""
        news = [sighting for sighting in sightings if sighting.position > self.position]
        if not news:
            return
        self.position = news[-1].position
        self.changed_at = max(self.changed_at, self.position)
        known = self._related(news)
        members = [sighting for group in known.values() for sighting in group]
        self._replace(known.keys(), frame_of(self._rows([*members, *news]), VIEW_SCHEMA))

    def all_ids(self, lead_ids: Collection[str]) -> set[str]:
        """Every id that these leads go by or went by before they were merged."""
        standing = {self.standing_id(lead_id) for lead_id in lead_ids}
        return {*lead_ids, *standing, *(alias for alias in self._aliases if self.standing_id(alias) in standing)}

    def erase(self, lead_ids: Collection[str], until: Position, at: Position) -> None:
        """Forget the observations of some leads up to a place on the stream; ``at`` is when that was decided.

        What was seen of them later stays, and is what they are then. To be repeated without harm.
        """
        standing = {self.standing_id(lead_id) for lead_id in lead_ids}
        kept = [
            sighting
            for lead_id in standing
            for sighting in self.sightings(lead_id)
            if sighting.position > until or sighting.lead_id not in lead_ids
        ]
        self._aliases = {a: to for a, to in self._aliases.items() if self.standing_id(a) not in standing}
        for lead_id in standing:
            self._history.pop(lead_id, None)
        self._replace(standing, frame_of(self._rows(kept), VIEW_SCHEMA))
        self.changed_at = max(self.changed_at, at)

    def _related(self, news: Sequence[Sighting]) -> dict[str, list[Sighting]]:
        """The standing leads that share an id or an identifier with the news, and their sightings."""
        identifiers = {text for sighting in news for text in sighting.identifiers}
        wanted = pl.Series(list(identifiers), dtype=pl.String).hash()
        linked = self._links.filter(pl.col("identifier").is_in(wanted.implode()))["lead_id"].to_list()
        ids = {self.standing_id(lead_id) for lead_id in [*linked, *(sighting.lead_id for sighting in news)]}
        found = {lead_id: self._history[lead_id] for lead_id in ids if lead_id in self._history}
        return found | self._alone(ids - found.keys())

    def _alone(self, ids: Iterable[str]) -> dict[str, list[Sighting]]:
        """Those of the leads that stand on a single observation, which is their row."""
        rows = self._frame.filter(pl.col(STANDING) & pl.col("lead_id").is_in(list(ids))).select(
            "lead_id", "stream_ms", "stream_seq", "task_ids", "lead"
        )
        return {
            lead_id: [Sighting(Position(ms, seq), self.tenant, task_ids[0], "", Lead.model_validate_json(lead))]
            for lead_id, ms, seq, task_ids, lead in rows.iter_rows()
        }

    def _rows(self, sightings: Iterable[Sighting]) -> list[dict[str, object]]:
        """The rows of the businesses that these are sightings of."""
        return [
            self._settle(group)
            for component in _components(sorted(sightings, key=lambda sighting: sighting.position))
            for group in self._businesses(component)
        ]

    def _businesses(self, component: Sequence[Sighting]) -> list[list[Sighting]]:
        """Related sightings, sorted into one group a business: those with one lead id, and those that are the same."""
        first_of_each: dict[tuple[str, str], Sighting] = {}
        for sighting in component:
            first_of_each.setdefault(sighting.same_as, sighting)
        distinct = list(first_of_each.values())
        if len(distinct) == 1:
            return [distinct]
        groups = _Groups(len(distinct))
        by_id: dict[str, int] = {}
        for index, sighting in enumerate(distinct):
            groups.join(index, by_id.setdefault(self.standing_id(sighting.lead_id), index))
        for cluster in identity.cluster([sighting.lead for sighting in distinct]):
            for index in cluster[1:]:
                groups.join(cluster[0], index)
        return [[distinct[index] for index in members] for members in groups.members()]

    def _settle(self, group: list[Sighting]) -> dict[str, object]:
        """The row of one business, under the id of its first sighting; other ids become aliases of it."""
        lead_id = self.standing_id(group[0].lead_id)
        for other in {self.standing_id(sighting.lead_id) for sighting in group} - {lead_id}:
            self._aliases[other] = lead_id
            self._history.pop(other, None)
        if len(group) == 1:
            return view_row(group[0].lead, group)
        self._history[lead_id] = group
        merged = identity.merge([sighting.lead for sighting in group])
        return view_row(scored(merged.model_copy(update={"lead_id": lead_id})), group)

    def _replace(self, lead_ids: Collection[str], rows: pl.DataFrame) -> None:
        """Put ``rows`` in the place of the rows of some leads, in one assignment: queries run meanwhile."""
        frame = self._frame
        if lead_ids:
            frame = frame.with_columns(pl.col(STANDING) & ~pl.col("lead_id").is_in(list(lead_ids)))
        frame = pl.concat([frame, rows.with_columns(pl.lit(value=True).alias(STANDING))])
        links = rows.select(pl.col("identifiers").alias("identifier"), "lead_id").explode("identifier").drop_nulls()
        links = pl.concat([self._links, links.with_columns(pl.col("identifier").hash())])
        dead = frame.height - (frame[STANDING].sum() or 0)
        if dead > FOLD_SHARE * frame.height or frame.n_chunks() > FOLD_CHUNKS:
            frame, links = frame.filter(STANDING).rechunk(), links.unique().rechunk()
        self._frame, self._links = frame, links


class _Groups:
    """Disjoint sets of the numbers below ``size``."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def join(self, left: int, right: int) -> None:
        left, right = self._root(left), self._root(right)
        self._parent[max(left, right)] = min(left, right)

    def members(self) -> list[list[int]]:
        """The sets, ordered by their least members."""
        sets = defaultdict(list)
        for index in range(len(self._parent)):
            sets[self._root(index)].append(index)
        return [sets[root] for root in sorted(sets)]

    def _root(self, index: int) -> int:
        while self._parent[index] != index:
            self._parent[index] = self._parent[self._parent[index]]
            index = self._parent[index]
        return index


def _components(sightings: Sequence[Sighting]) -> list[list[Sighting]]:
    """Sightings that hang together by lead ids or identifiers, directly or through others."""
    groups = _Groups(len(sightings))
    first_of: dict[str, int] = {}
    for index, sighting in enumerate(sightings):
        for text in (f"id:{sighting.lead_id}", *sighting.identifiers):
            groups.join(index, first_of.setdefault(text, index))
    return [[sightings[index] for index in members] for members in groups.members()]


def _crowded(log: pl.DataFrame) -> pl.Series:
    """Marks the rows whose lead id or any of whose identifiers stands in another row too."""
    numbered = log.select("lead_id", "identifiers").with_row_index("row")
    named = pl.concat(
        [
            numbered.select("row", pl.concat_str(pl.lit("id:"), "lead_id").alias("text")),
            numbered.select("row", pl.col("identifiers").alias("text")).explode("text").drop_nulls(),
        ]
    )
    shared = named.filter(pl.col("row").n_unique().over("text") > 1)["row"].unique()
    return numbered.select(pl.col("row").is_in(shared.implode())).to_series()
