"""Questions to a view: which leads (as Polars expressions), a page of them, counts of their values.

All functions are pure over a snapshot of a view, whose rows count only where ``standing``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import polars as pl

from control_plane.errors import Invalid
from control_plane.store.models import FacetQuery, LeadQuery, Near, Where
from control_plane.store.schema import VIEW_SCHEMA, fold, folded
from control_plane.store.segments import STANDING, Snapshot

EARTH_RADIUS_KM = 6371.0088  # the mean radius of IUGG
KM_PER_DEGREE = 110.5  # of latitude, where it is shortest: a box drawn with it never cuts the circle

StandingId = Callable[[str], str]

_EQUAL = {
    "city": "city_key",
    "region": "region_key",
    "country": "country_key",
    "postal_code": "postal_key",
    "score_band": "band_key",
    "enriched_category": "enriched_category",  # of our own words, in lower case
}
_LEAST = {"rating_min": "rating", "reviews_min": "review_count", "score_min": "score", "fit_min": "fit"}
_MOST = {"rating_max": "rating", "reviews_max": "review_count", "score_max": "score", "fit_max": "fit"}
_ANY_OF_LIST = {"platform": "platforms", "task_id": "task_ids", "phone_type": "phone_types"}
_FACETS = {
    "city": pl.col("city"),
    "region": pl.col("region"),
    "country": pl.col("country"),
    "category": pl.col("categories").explode(),
    "platform": pl.col("platforms").explode(),
    "phone_validity": pl.col("best_validity"),
    "phone_type": pl.col("phone_types").list.unique().explode(),
    "score_band": pl.col("score_band"),
    "enriched_category": pl.col("enriched_category"),
    "has_email": pl.col("has_email"),
    "has_website": pl.col("has_website"),
}


def condition(where: Where, standing_id: StandingId) -> pl.Expr:
    """The rows that ``where`` means. Where a lead does not know what is asked, the answer is no, in groups too."""
    return pl.all_horizontal(pl.col(STANDING), *(part.fill_null(value=False) for part in _parts(where, standing_id)))


def page(view: Snapshot, query: LeadQuery, standing_id: StandingId) -> bytes:
    """A ``LeadPage`` as JSON. Pages follow each other by value, so that new leads neither repeat nor hide others."""
    started = time.perf_counter()
    order = [_SortKey(text) for text in query.sort]
    after = _read_cursor(query) if query.cursor is not None else None
    keys = list(dict.fromkeys([*(key.column for key in order), "lead_id"]))
    matched = view.select(condition(query.where, standing_id), keys)
    rest = matched if after is None else matched.filter(_follows(order, after))
    wanted = _front(rest, order, query.limit)
    more = rest.height > wanted.height
    cursor = _write_cursor(query, [wanted[key.column][-1] for key in order], wanted["lead_id"][-1]) if more else None
    items = view.leads(wanted)
    took_ms = (time.perf_counter() - started) * 1000
    return b'{"total":%d,"items":[%s],"next_cursor":%s,"took_ms":%.2f}' % (
        matched.height,
        ",".join(items).encode(),
        orjson.dumps(cursor),
        took_ms,
    )


def facets(view: Snapshot, query: FacetQuery, standing_id: StandingId) -> bytes:
    """``Facets`` as JSON: how many leads have each value, commonest first; leads that know none are not counted."""
    started = time.perf_counter()
    fields = list(dict.fromkeys(query.fields))
    columns = list(dict.fromkeys(name for field in fields for name in _FACETS[field].meta.root_names()))
    matched = view.select(condition(query.where, standing_id), columns)
    counted = {}
    for field in fields:
        values = matched.lazy().select(_FACETS[field].alias("value")).drop_nulls()
        top = values.group_by("value").len("count").sort(["count", "value"], descending=[True, False]).head(query.limit)
        counted[field] = top.collect().to_dicts()
    took_ms = round((time.perf_counter() - started) * 1000, 2)
    return orjson.dumps({"total": matched.height, "facets": counted, "took_ms": took_ms})


def _front(rows: pl.DataFrame, order: Sequence[_SortKey], limit: int) -> pl.DataFrame:
    """The first ``limit`` rows in the order asked for, ties by lead id."""
    first = rows.lazy()
    if order and rows.height > limit:
        # Sorting a million rows takes ten times as long as finding the value that the last of the first ones has.
        column = rows[order[0].column]
        known = column.drop_nulls()
        if known.len() >= limit:
            bound = known.top_k(limit).min() if order[0].descending else known.bottom_k(limit).max()
            first = first.filter(column >= bound if order[0].descending else column <= bound)
    return (
        first.sort(
            [*(key.column for key in order), "lead_id"],
            descending=[*(key.descending for key in order), False],
            nulls_last=True,
        )
        .head(limit)
        .collect()
    )


def _parts(where: Where, standing_id: StandingId) -> Iterator[pl.Expr]:
    given = {name: getattr(where, name) for name in where.model_fields_set if getattr(where, name) is not None}
    for name, value in given.items():
        if name in _EQUAL:
            # one comparison a word: a set of strings is built and asked four times as slowly
            yield _any(pl.col(_EQUAL[name]) == word.lower() for word in value)
        elif name in _LEAST:
            yield pl.col(_LEAST[name]) >= value
        elif name in _MOST:
            yield pl.col(_MOST[name]) <= value
        elif name in _ANY_OF_LIST:
            yield _any(pl.col(_ANY_OF_LIST[name]).list.contains(word) for word in value)
        else:
            yield _part(name, value, standing_id)


def _part(name: str, value: Any, standing_id: StandingId) -> pl.Expr:
    """The members of a ``where`` that need more than one comparison."""
    if name in {"all_of", "any_of", "none_of"}:
        return _group(name, value, standing_id)
    if name == "lead_id":
        return pl.col("lead_id").is_in([standing_id(lead_id) for lead_id in value])
    return _SPECIAL[name](value)


def _group(name: str, value: Any, standing_id: StandingId) -> pl.Expr:
    if name == "none_of":
        return ~condition(value, standing_id)
    inner = [condition(group, standing_id) for group in value]
    return _all(inner) if name == "all_of" else _any(inner)


def _words(text: str) -> pl.Expr:
    return _all(pl.col("search").str.contains(word, literal=True) for word in fold(text).split())


def _category(names: Sequence[str]) -> pl.Expr:
    wanted = pl.DataFrame({"name": list(names)}).select(folded(pl.col("name")))["name"]
    return _any(pl.col("category_keys").list.contains(name) for name in wanted)


def _within(near: Near) -> pl.Expr:
    """Within a great-circle distance (haversine); a band of latitudes rules most rows out first."""
    latitude, longitude = pl.col("latitude").radians(), pl.col("longitude").radians()
    at_latitude, at_longitude = pl.lit(near.lat).radians(), pl.lit(near.lon).radians()
    chord = ((latitude - at_latitude) / 2).sin() ** 2 + at_latitude.cos() * latitude.cos() * (
        (longitude - at_longitude) / 2
    ).sin() ** 2
    distance_km = 2 * EARTH_RADIUS_KM * chord.sqrt().clip(0, 1).arcsin()
    reach = near.radius_km / KM_PER_DEGREE
    band = pl.col("latitude").is_between(near.lat - reach, near.lat + reach)
    return _all([band, distance_km <= near.radius_km])


def _all(parts: Iterable[pl.Expr]) -> pl.Expr:
    return pl.all_horizontal(pl.lit(value=True), *parts)


def _any(parts: Iterable[pl.Expr]) -> pl.Expr:
    return pl.any_horizontal(pl.lit(value=False), *parts)


_SPECIAL: dict[str, Callable[[Any], pl.Expr]] = {
    "q": _words,
    "has_phone": lambda wanted: pl.col("has_phone") == pl.lit(wanted),
    "has_email": lambda wanted: pl.col("has_email") == pl.lit(wanted),
    "has_website": lambda wanted: pl.col("has_website") == pl.lit(wanted),
    "phone_validity": lambda wanted: pl.col("best_validity").is_in([validity.value for validity in wanted]),
    "category": _category,
    "near": _within,
    "date_from": lambda moment: pl.col("last_seen_at") >= moment,
    "date_to": lambda moment: pl.col("first_seen_at") <= moment,
}


class _SortKey:
    """One field of ``sort``."""

    def __init__(self, text: str) -> None:
        self.column, self.descending = text.removeprefix("-"), text.startswith("-")

    def beyond(self, value: Any) -> pl.Expr:
        """Rows that this field alone places after ``value``; unknown values come last."""
        column = pl.col(self.column)
        if value is None:
            return pl.lit(value=False)
        further = column < value if self.descending else column > value
        return _any([further.fill_null(value=False), column.is_null()])

    def level(self, value: Any) -> pl.Expr:
        return pl.col(self.column).eq_missing(pl.lit(value))


def _follows(order: Sequence[_SortKey], after: Sequence[Any]) -> pl.Expr:
    """Rows after the one with these sort values, whose last is the lead id that breaks ties."""
    follows: pl.Expr = pl.col("lead_id") > after[-1]
    for key, value in zip(reversed(order), reversed(after[:-1]), strict=True):
        follows = key.beyond(value) | (key.level(value) & follows)
    return follows


def _write_cursor(query: LeadQuery, values: Sequence[Any], lead_id: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([_question(query), *values, lead_id])).decode().rstrip("=")


def _read_cursor(query: LeadQuery) -> list[Any]:
    """The sort values a cursor stands for; Invalid when it is none of ours or belongs to another question."""
    text = query.cursor or ""
    try:
        question, *values = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if question != _question(query) or len(values) != len(query.sort) + 1:
            raise ValueError(question)
        fields = [*(field.removeprefix("-") for field in query.sort), "lead_id"]
        return [_sort_value(field, value) for field, value in zip(fields, values, strict=True)]
    except (ValueError, TypeError, OverflowError, binascii.Error) as exc:
        raise Invalid(
            "the cursor does not belong to this where and sort: begin again without one",
            errors=[{"loc": ["cursor"], "message": "not a cursor of this query"}],
        ) from exc


def _sort_value(field: str, value: Any) -> Any:
    """A value of a cursor as its column has them; ValueError when the column cannot have it."""
    if value is None and field != "lead_id":
        return None
    kind = VIEW_SCHEMA[field]
    if kind.is_temporal():
        return datetime.fromisoformat(value).astimezone(UTC)
    if isinstance(value, bool) or not isinstance(value, (int, float) if kind.is_numeric() else str):
        raise ValueError(field)
    return value


def _question(query: LeadQuery) -> str:
    asked = query.model_dump_json(include={"where", "sort"}, exclude_none=True)
    return hashlib.sha256(asked.encode()).hexdigest()[:16]
