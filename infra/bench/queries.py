"""Ten questions to a leads table, asked in three languages: ours over HTTP, bare Polars, and DuckDB's SQL.

All three count what matches and fetch a page of it; a facet query counts values instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import polars as pl

PAGE = 50
FACETS = ("city", "category", "score_band", "best_validity")


@dataclass(frozen=True, slots=True)
class Question:
    """``where`` and ``sort`` as our API takes them; ``expression`` and ``sql`` say the same. ``pages`` are turned
    before the one that is measured."""

    name: str
    where: Mapping[str, Any]
    expression: pl.Expr
    sql: str
    sort: tuple[str, ...] = ("-last_seen_at",)
    facets: bool = False
    pages: int = 0

    @property
    def body(self) -> dict[str, Any]:
        if self.facets:
            fields = ["phone_validity" if name == "best_validity" else name for name in FACETS]
            return {"where": dict(self.where), "fields": fields}
        return {"where": dict(self.where), "sort": list(self.sort), "limit": PAGE}


def _distance_km(lat: float, lon: float) -> pl.Expr:
    latitude, longitude = pl.col("latitude").radians(), pl.col("longitude").radians()
    chord = ((latitude - math.radians(lat)) / 2).sin() ** 2 + (
        math.cos(math.radians(lat)) * latitude.cos() * ((longitude - math.radians(lon)) / 2).sin() ** 2
    )
    return 2 * 6371.0088 * chord.sqrt().arcsin()


_DISTANCE_SQL = (
    "2 * 6371.0088 * asin(sqrt(pow(sin((radians(latitude) - radians(48.208)) / 2), 2) + cos(radians(48.208)) *"
    " cos(radians(latitude)) * pow(sin((radians(longitude) - radians(16.373)) / 2), 2)))"
)

QUESTIONS = (
    Question(
        "equality",
        {"city": "Leipzig", "platform": "website"},
        (pl.col("city").str.to_lowercase() == "leipzig") & pl.col("platforms").list.contains("website"),
        "lower(city) = 'leipzig' AND list_contains(platforms, 'website')",
    ),
    Question(
        "range",
        {"score_min": 60, "score_max": 90, "rating_min": 3.5},
        pl.col("score").is_between(60, 90) & (pl.col("rating") >= 3.5),
        "score BETWEEN 60 AND 90 AND rating >= 3.5",
    ),
    Question(
        "geo",
        {"near": {"lat": 48.208, "lon": 16.373, "radius_km": 5}},
        pl.col("latitude").is_between(48.16, 48.26) & (_distance_km(48.208, 16.373) <= 5),
        f"latitude BETWEEN 48.16 AND 48.26 AND {_DISTANCE_SQL} <= 5",
    ),
    Question(
        "groups",
        {"or": [{"city": "Wien"}, {"category": "Bakery"}], "not": {"score_band": "cold"}, "has_email": True},
        (
            (pl.col("city").str.to_lowercase() == "wien")
            | pl.col("categories").list.eval(pl.element().str.to_lowercase() == "bakery").list.any()
        )
        & (pl.col("score_band") != "cold")
        & (pl.col("emails").list.len() > 0),
        "(lower(city) = 'wien' OR list_contains(list_transform(categories, lambda x: lower(x)), 'bakery'))"
        " AND score_band <> 'cold' AND len(emails) > 0",
    ),
    Question(
        "text",
        {"q": "keller dentist"},
        pl.col("search").str.contains("keller", literal=True) & pl.col("search").str.contains("dentist", literal=True),
        "contains(search, 'keller') AND contains(search, 'dentist')",
    ),
    Question(
        "contact",
        {"has_phone": True, "has_email": True, "phone_type": "mobile"},
        pl.col("best_validity").is_in(["valid", "possible"])
        & (pl.col("emails").list.len() > 0)
        & pl.col("phone_types").list.contains("mobile"),
        "best_validity IN ('valid', 'possible') AND len(emails) > 0 AND list_contains(phone_types, 'mobile')",
    ),
    Question(
        "dates",
        {"date_from": "2026-01-05", "date_to": "2026-01-08"},
        (pl.col("last_seen_at") >= datetime(2026, 1, 5, tzinfo=UTC))
        & (pl.col("first_seen_at") < datetime(2026, 1, 9, tzinfo=UTC)),
        "last_seen_at >= '2026-01-05 00:00:00+00' AND first_seen_at < '2026-01-09 00:00:00+00'",
    ),
    Question(
        "sorted",
        {"country": "FR"},
        pl.col("country").str.to_lowercase() == "fr",
        "lower(country) = 'fr'",
        sort=("-score", "name"),
    ),
    Question("facets", {"country": "DE"}, pl.col("country") == "DE", "country = 'DE'", facets=True),
    Question(
        "deep page",
        {"has_email": True},
        pl.col("emails").list.len() > 0,
        "len(emails) > 0",
        sort=("name",),
        pages=20,
    ),
)


@dataclass(frozen=True, slots=True)
class BarePolars:
    """The questions over a frame in memory, and nothing around them."""

    frame: pl.DataFrame

    def ask(self, question: Question) -> int:
        """How many match; their page or facets are made, and dropped."""
        if question.facets:
            matched = self.frame.lazy().filter(question.expression).select(*FACETS_OF.values()).collect()
            for column in FACETS_OF.values():
                values = matched.lazy().select(pl.col(column)).drop_nulls()
                (values.explode(column) if column == "categories" else values).group_by(column).len().sort(
                    "len", descending=True
                ).head(20).collect()
            return matched.height
        keys = [name.removeprefix("-") for name in question.sort]
        rows = self.frame.lazy().with_row_index("row").filter(question.expression).select("row", "lead_id", *keys)
        found = rows.collect()
        order = found.sort([*keys, "lead_id"], descending=[*(n.startswith("-") for n in question.sort), False])
        self.frame["lead"].gather(order["row"].slice(question.pages * PAGE, PAGE)).to_list()
        return found.height


FACETS_OF = {name: "categories" if name == "category" else name for name in FACETS}


@dataclass(frozen=True, slots=True)
class Duck:
    """The questions in SQL over a table in DuckDB's memory."""

    execute: Callable[[str], Any]
    threads: int = field(default=2)

    def ask(self, question: Question) -> int:
        found = int(self.execute(f"SELECT count(*) FROM leads WHERE {question.sql}").fetchone()[0])  # noqa: S608
        if question.facets:
            for column in FACETS_OF.values():
                value = "unnest(categories)" if column == "categories" else column
                self.execute(
                    f"SELECT {value} AS v, count(*) AS n FROM leads WHERE {question.sql}"  # noqa: S608
                    " GROUP BY v ORDER BY n DESC LIMIT 20"
                ).fetchall()
            return found
        order = ", ".join(f"{n.removeprefix('-')} {'DESC' if n.startswith('-') else ''}" for n in question.sort)
        self.execute(
            f"SELECT lead FROM leads WHERE {question.sql} ORDER BY {order}, lead_id"  # noqa: S608
            f" LIMIT {PAGE} OFFSET {question.pages * PAGE}"
        ).fetchall()
        return found
