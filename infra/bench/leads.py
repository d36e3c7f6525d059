"""Leads by the million for the bench: rows of the observation log, made column by column.

They look like what directories tell: a CSV row takes about 500 bytes, cities are as unequal as cities are, a third has
no e-mail, a tenth no place on the map, and one in fifty was seen twice. Everything follows from the row's number.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import polars as pl

from control_plane.store.schema import LOG_SCHEMA

CHUNK_ROWS = 50_000
SEEN_TWICE = 50  # every fiftieth row repeats the business of the row before
STARTED = datetime(2026, 1, 1, tzinfo=UTC)

CITIES = [
    ("Berlin", "BE", "DE", 52.52, 13.405), ("Hamburg", "HH", "DE", 53.551, 9.994),
    ("München", "BY", "DE", 48.137, 11.575), ("Köln", "NW", "DE", 50.937, 6.96),
    ("Leipzig", "SN", "DE", 51.34, 12.375), ("Wien", "9", "AT", 48.208, 16.373),
    ("Graz", "6", "AT", 47.07, 15.439), ("Zürich", "ZH", "CH", 47.377, 8.541),
    ("Lyon", "ARA", "FR", 45.764, 4.836), ("Marseille", "PAC", "FR", 43.296, 5.37),
    ("Amsterdam", "NH", "NL", 52.367, 4.904), ("Utrecht", "UT", "NL", 52.09, 5.122),
    ("Madrid", "MD", "ES", 40.417, -3.704), ("Sevilla", "AN", "ES", 37.389, -5.984),
    ("Milano", "MI", "IT", 45.464, 9.19), ("Göteborg", "O", "SE", 57.709, 11.975),
]  # fmt: skip
TRADES = [
    "Dentist", "Bakery", "Plumber", "Electrician", "Law firm", "Hair salon", "Café", "Physiotherapist",
    "Tax consultant", "Florist", "Car repair", "Architect", "Pharmacy", "Optician", "Carpenter", "Photographer",
]  # fmt: skip
FAMILIES = [
    "Schneider", "Öztürk", "García", "Rossi", "Lindqvist", "de Vries", "Dubois", "Novák", "Becker", "Moreau",
    "Hansen", "Fischer", "Bianchi", "Jansen", "Keller", "Sørensen",
]  # fmt: skip
STREETS = [
    "Hauptstraße", "Bahnhofstraße", "Rue de la République", "Calle Mayor", "Via Roma", "Kerkstraat", "Lindenallee",
]  # fmt: skip
TEXT = "Family business with many years of experience: advice, repairs and quick appointments for the whole region."


def log_rows(count: int, tenant: str) -> Iterator[pl.DataFrame]:
    """``count`` rows of ``LOG_SCHEMA`` in order of the stream, CHUNK_ROWS at a time."""
    for start in range(0, count, CHUNK_ROWS):
        yield _chunk(start, min(CHUNK_ROWS, count - start), tenant)


def _chunk(start: int, count: int, tenant: str) -> pl.DataFrame:
    row = pl.int_range(start, start + count, dtype=pl.Int64, eager=True).alias("row")
    twice = (row % SEEN_TWICE == 0) & (row > 0)
    # the business a row tells of: its own number, or its predecessor's
    frame = pl.DataFrame({"row": row, "business": row - twice.cast(pl.Int64)})
    frame = frame.with_columns(
        # squaring a uniform number makes the first cities the largest
        ((_random(1) ** 2) * len(CITIES)).cast(pl.UInt32).alias("place"),
        (_random(2) * len(TRADES)).cast(pl.UInt32).alias("trade"),
        (_random(3) * len(FAMILIES)).cast(pl.UInt32).alias("family"),
        (_random(4) * len(STREETS)).cast(pl.UInt32).alias("road"),
        pl.format("{}", pl.col("business")).str.zfill(7).alias("digits"),
        pl.from_epoch(int(STARTED.timestamp()) + pl.col("row") * 10, time_unit="s")
        .dt.cast_time_unit("us").dt.replace_time_zone("UTC").alias("found_at"),
    )  # fmt: skip
    frame = frame.with_columns(
        _pick(pl.col("place"), [city[0] for city in CITIES]).alias("city"),
        _pick(pl.col("place"), [city[1] for city in CITIES]).alias("region"),
        _pick(pl.col("place"), [city[2] for city in CITIES]).alias("country"),
        _known(5, 0.9, _pick(pl.col("place"), [city[3] for city in CITIES]) + _random(6) / 5 - 0.1).alias("latitude"),
        _known(5, 0.9, _pick(pl.col("place"), [city[4] for city in CITIES]) + _random(7) / 5 - 0.1).alias("longitude"),
        _pick(pl.col("trade"), TRADES).alias("category"),
        pl.format("{} {}", _pick(pl.col("road"), STREETS), pl.col("business") % 180 + 1).alias("street"),
        (pl.col("business") % 89_999 + 10_000).cast(pl.String).alias("postal_code"),
        pl.format("business-{}.example", pl.col("digits")).alias("domain"),
        pl.format("+4930{}", pl.col("digits")).alias("e164"),
        pl.format("+49 30 {}", pl.col("digits")).alias("international"),
        _known(8, 0.7, (_random(9) * 30 + 20).round() / 10).alias("rating"),
        _known(8, 0.7, (_random(10) ** 4 * 2_000).cast(pl.Int64)).alias("review_count"),
        (_random(11) * 101).cast(pl.Int64).alias("score"),
    )
    frame = frame.with_columns(
        pl.format("{} {} {}", "category", _pick(pl.col("family"), FAMILIES), "business").alias("name"),
        _known(12, 0.66, pl.format("info@{}", "domain")).alias("email"),
        pl.format("https://www.{}/", "domain").alias("website"),
        pl.format("https://www.{}/contact", "domain").alias("source_url"),
        pl.when(pl.col("score") >= 70).then(pl.lit("hot"))
        .when(pl.col("score") >= 40).then(pl.lit("warm")).otherwise(pl.lit("cold")).alias("score_band"),
        pl.when(_random(13) < 0.95).then(pl.lit("valid")).otherwise(pl.lit("possible")).alias("validity"),
        pl.when(_random(14) < 0.7).then(pl.lit("fixed_line")).otherwise(pl.lit("mobile")).alias("line_type"),
        pl.when(_random(15) < 0.5).then(pl.lit("directory")).otherwise(pl.lit("website")).alias("platform"),
        pl.format("tsk_{}", pl.col("row") // 5_000).alias("task_id"),
        pl.format("led_{}", pl.col("digits")).alias("lead_id"),
        pl.format("obs_{}", pl.col("row")).alias("observation_id"),
        pl.lit("Mo-Fr 08:00-18:00").alias("hours"),
        _known(16, 0.3, pl.format("https://www.facebook.com/business{}", "business")).alias("profile"),
    )  # fmt: skip
    told = pl.concat_str(["name", "street", "city", "postal_code", "category"], separator=" ")
    return _as_log(frame.with_columns(told.alias("told")), tenant)


def _as_log(frame: pl.DataFrame, tenant: str) -> pl.DataFrame:
    ms = int(STARTED.timestamp() * 1000)
    frame = frame.with_columns(
        pl.lit(tenant).alias("tenant"),
        (pl.col("row") // 1_000 + 1).alias("batch"),
        (pl.lit(ms) + pl.col("row") * 10_000).alias("stream_ms"),
        pl.lit(0, pl.Int64).alias("stream_seq"),
        pl.format("{}-0", pl.lit(ms) + pl.col("row")).alias("event_id"),
        pl.format("{} in {}", "category", "city").alias("query"),
        *(_words(pl.col(source)).alias(name) for name, source in _LISTS.items()),
        pl.col("validity").alias("best_validity"),
        pl.lit(TEXT).alias("description"),
        # as schema.fold does it, for the letters that occur above
        pl.col("told").str.to_lowercase().str.normalize("NFKD").str.replace_all(r"\p{M}", "").str.replace_all("ß", "ss")
        .alias("search"),
        pl.concat_list(
            pl.format("phone:{}", "e164"),
            pl.format("domain:{}", "domain"),
            pl.format("name:{}", pl.col("name").str.to_lowercase()),
        ).alias("identifiers"),
    )  # fmt: skip
    whole = frame.with_columns(_lead().struct.json_encode().alias("lead"))
    # leads that no model was asked about: the columns of its answers are null
    known = [pl.col(name) if name in whole.columns else pl.lit(None).alias(name) for name in LOG_SCHEMA.names()]
    return whole.select(known).cast(dict(LOG_SCHEMA.items()))


_LISTS = {
    "phones": "international",
    "phones_e164": "e164",
    "phone_types": "line_type",
    "phone_validity": "validity",
    "emails": "email",
    "categories": "category",
    "opening_hours": "hours",
    "socials": "profile",
}


def _lead() -> pl.Expr:
    """The Lead's JSON as a struct; it has the fields that filters and exports read, and the lists of one."""
    phone = pl.struct(
        pl.col("international").alias("raw"),
        pl.col("e164").alias("normalized_e164"),
        "international",
        "line_type",
        pl.col("validity").alias("validation_status"),
        pl.lit("tel_link").alias("source"),
    )
    seen = pl.col("found_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return pl.struct(
        "lead_id", "observation_id", "task_id", "platform", "query", pl.col("name").alias("display_name"),
        pl.concat_list(phone).alias("phones"), "emails", "website",
        pl.struct("street", "city", "region", "postal_code", "country").alias("address"),
        "categories", "opening_hours", "rating", "review_count", "description", "source_url",
        seen.alias("found_at"), seen.alias("first_seen_at"), seen.alias("last_seen_at"), "score", "score_band",
    )  # fmt: skip


def _random(salt: int) -> pl.Expr:
    """Uniform in [0, 1), the same for both rows of a business."""
    return (pl.col("business").hash(seed=salt) % 1_000_003).cast(pl.Float64) / 1_000_003


def _pick(index: pl.Expr, values: list[str] | list[float]) -> pl.Expr:
    return index.replace_strict(list(range(len(values))), values)


def _known(salt: int, share: float, value: pl.Expr) -> pl.Expr:
    return pl.when(_random(salt) < share).then(value)


def _words(text: pl.Expr) -> pl.Expr:
    return pl.when(text.is_null()).then(pl.lit([], pl.List(pl.String))).otherwise(pl.concat_list(text))
