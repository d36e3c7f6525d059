"""What hangs together: sightings, or rows of the log, that share an id or an identifier; and deliveries repeated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import polars as pl

from control_plane.store.schema import Sighting
from control_plane.store.segments import id_link
from leads.identity import BLOCK_MAX


class Groups:
    """Disjoint sets of the numbers below ``size``."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def join(self, left: int, right: int) -> None:
        left, right = self.root(left), self.root(right)
        self._parent[max(left, right)] = min(left, right)

    def members(self) -> list[list[int]]:
        """The sets, ordered by their least members."""
        sets = defaultdict(list)
        for index in range(len(self._parent)):
            sets[self.root(index)].append(index)
        return [sets[root] for root in sorted(sets)]

    def root(self, index: int) -> int:
        """The least member of a number's set."""
        while self._parent[index] != index:
            self._parent[index] = self._parent[self._parent[index]]
            index = self._parent[index]
        return index


def components(sightings: Sequence[Sighting]) -> list[list[Sighting]]:
    """Sightings that hang together by lead ids or identifiers, directly or through others."""
    groups = Groups(len(sightings))
    first_of: dict[str, int] = {}
    for index, sighting in enumerate(sightings):
        for text in (id_link(sighting.lead_id), *sighting.identifiers):
            groups.join(index, first_of.setdefault(text, index))
    return [[sightings[index] for index in members] for members in groups.members()]


def observation() -> pl.Expr:
    """What two deliveries of one observation have in common, as 64 bits; null where it has no id."""
    identity_of = pl.struct("task_id", "observation_id").hash()
    return pl.when(pl.col("observation_id").is_not_null()).then(identity_of)


def repeats(ordered: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """Of observations that stand in the log again, as enriched ones do: the last ``row`` of each with the place of its
    first, and the rows that it replaces."""
    again = ordered.filter(pl.col("observation").is_not_null() & pl.col("observation").is_duplicated()).sort("row")
    latest = again.group_by("observation").agg(
        pl.col("row").last(),
        pl.col("stream_ms").first().alias("first_ms"),
        pl.col("stream_seq").first().alias("first_seq"),
    )
    return latest.drop("observation"), again["row"].filter(~again["row"].is_in(latest["row"].implode()))


def without_repeats(rows: pl.DataFrame, latest: pl.DataFrame, replaced: pl.Series) -> pl.DataFrame:
    """Rows of the log without those that are replaced; what replaces one stands where the first of them stood."""
    if latest.is_empty():
        return rows
    kept = rows.filter(~pl.col("row").is_in(replaced.implode())).join(
        latest, on="row", how="left", maintain_order="left"
    )
    return kept.with_columns(
        pl.coalesce("first_ms", "stream_ms").alias("stream_ms"),
        pl.coalesce("first_seq", "stream_seq").alias("stream_seq"),
    ).drop("first_ms", "first_seq")


def components_of(ordered: pl.DataFrame) -> pl.DataFrame:
    """The rows of the log (``row``, ``links``) that hang together with others, each with the number of its
    ``component``. Rows that stand alone, which is most of them, are left out."""
    named = ordered.select("row", pl.col("links").list.first().alias("own"), pl.col("links").alias("link"))
    named = named.explode("link").unique()
    # an identifier of too many says nothing (see leads.identity), a lead's id always does
    told = (pl.len().over("link") <= BLOCK_MAX) | (pl.col("link") == pl.col("own"))
    shared = named.filter((pl.len().over("link") > 1) & told).sort("link", "row")
    rows = shared["row"].unique().sort()
    groups = Groups(rows.len())
    numbers = rows.search_sorted(shared["row"])
    for link_left, link_right, left, right in zip(
        shared["link"], shared["link"].shift(-1), numbers, numbers.shift(-1), strict=True
    ):
        if link_left == link_right:
            groups.join(left, right)
    roots = pl.Series("component", [groups.root(index) for index in range(rows.len())], dtype=pl.UInt32)
    return pl.DataFrame([rows.alias("row"), roots])
