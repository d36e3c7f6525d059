"""The columns of a lead: what the observation log stores and the current view holds, and how a Lead becomes a row.

The log carries every column that filters and exports need, beside the whole Lead as JSON. A lead that was seen once,
which is most of them, therefore goes from the log into the view without touching Python.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import polars as pl

from leads import identity
from leads.enrichment import by_rules
from leads.model import Lead, Validation
from leads.score import score

Row = dict[str, Any]

WORDS = pl.List(pl.String)
MOMENT = pl.Datetime("us", "UTC")

LEAD_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "name": pl.String,
    "phones": WORDS,  # international format with spaces; the next three run parallel to it
    "phones_e164": WORDS,
    "phone_types": WORDS,
    "phone_validity": WORDS,
    "best_validity": pl.String,
    "emails": WORDS,
    "website": pl.String,
    "domain": pl.String,
    "street": pl.String,
    "city": pl.String,
    "region": pl.String,
    "postal_code": pl.String,
    "country": pl.String,
    "latitude": pl.Float64,
    "longitude": pl.Float64,
    "categories": WORDS,
    "opening_hours": WORDS,
    "rating": pl.Float64,
    "review_count": pl.Int64,
    "socials": WORDS,
    "description": pl.String,
    "score": pl.Int64,
    "score_band": pl.String,
    "enriched_category": pl.String,
    "summary": pl.String,
    "fit": pl.Int64,
    "search": pl.String,  # name, address and categories, folded: what `q` looks through
    "identifiers": WORDS,  # what may make it the same business as another: see leads.identity
    "lead": pl.String,  # the whole Lead as JSON
}

LOG_SCHEMA = pl.Schema(
    {
        "tenant": pl.String,
        "batch": pl.Int64,
        "stream_ms": pl.Int64,  # the two halves of the entry's id on the results stream: the order of the log
        "stream_seq": pl.Int64,
        "event_id": pl.String,
        "task_id": pl.String,
        "observation_id": pl.String,
        "lead_id": pl.String,
        "platform": pl.String,
        "query": pl.String,
        "source_url": pl.String,
        "found_at": MOMENT,
        **LEAD_COLUMNS,
    }
)

_VIEW_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "lead_id": pl.String,
    **LEAD_COLUMNS,
    "platforms": WORDS,
    "task_ids": WORDS,
    "source_urls": WORDS,
    "first_seen_at": MOMENT,
    "last_seen_at": MOMENT,
    "stream_ms": pl.Int64,  # of the first sighting: the older of two leads lends its id when they become one
    "stream_seq": pl.Int64,
}
VIEW_SCHEMA = pl.Schema(_VIEW_COLUMNS)

ROW_SCHEMA = pl.Schema(
    {
        **_VIEW_COLUMNS,
        # What filters compare, worked out once a row.
        "city_key": pl.String,
        "region_key": pl.String,
        "country_key": pl.String,
        "postal_key": pl.String,
        "band_key": pl.String,
        "category_keys": WORDS,
        "has_phone": pl.Boolean,
        "has_email": pl.Boolean,
        "has_website": pl.Boolean,
    }
)

_BETWEEN = "\x1f"  # ASCII's unit separator, made for this; a text that holds one gets a blank instead

_BEST_FIRST = (Validation.VALID, Validation.POSSIBLE, Validation.INVALID)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place on the results stream: the id of an entry, as numbers."""

    ms: int = 0
    seq: int = 0

    @classmethod
    def parse(cls, stream_id: bytes | str) -> Position:
        text = stream_id.decode() if isinstance(stream_id, bytes) else stream_id
        ms, _, seq = text.partition("-")
        return cls(int(ms), int(seq or 0))

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"


@dataclass(frozen=True)
class Sighting:
    """One observation where it stands on the stream or in the log."""

    position: Position
    tenant: str
    task_id: str
    event_id: str
    lead: Lead

    @property
    def lead_id(self) -> str:
        assert self.lead.lead_id is not None  # ``sighting_of`` and ``sighting_from_log`` see to it
        return self.lead.lead_id

    @cached_property
    def identifiers(self) -> list[str]:
        """What may make it the same business as another: worked out once, and asked for three times."""
        return identifying(self.lead)

    @property
    def same_as(self) -> tuple[str, str]:
        """Equal for two deliveries of one observation."""
        return self.task_id, self.lead.observation_id or str(self.position)


def sighting_of(stream_id: bytes, fields: dict[bytes, bytes]) -> Sighting:
    """The sighting in an entry of the results stream; ValueError (or KeyError) when it is none."""
    position = Position.parse(stream_id)
    tenant, task = fields[b"tenant"].decode(), fields[b"task"].decode()
    lead = Lead.model_validate_json(fields[b"lead"])
    seen_at = lead.found_at or datetime.fromtimestamp(position.ms / 1000, UTC)
    seen_at = seen_at if seen_at.tzinfo else seen_at.replace(tzinfo=UTC)
    lead = lead.model_copy(
        update={
            "lead_id": lead.lead_id or identity.lead_id(tenant, lead),
            "task_id": task,
            "found_at": seen_at,
            "first_seen_at": seen_at,
            "last_seen_at": seen_at,
        }
    )
    if lead.score is None:
        lead = scored(lead)
    return Sighting(position, tenant, task, fields.get(b"event", b"").decode(), lead)


def sighting_from_log(row: Row) -> Sighting:
    """The sighting in a row of the log."""
    return Sighting(
        Position(row["stream_ms"], row["stream_seq"]),
        row["tenant"],
        row["task_id"],
        row["event_id"],
        Lead.model_validate_json(row["lead"]),
    )


def log_row(sighting: Sighting, batch: int) -> Row:
    """A row of the observation log."""
    lead = sighting.lead
    return {
        "tenant": sighting.tenant,
        "batch": batch,
        "stream_ms": sighting.position.ms,
        "stream_seq": sighting.position.seq,
        "event_id": sighting.event_id,
        "task_id": sighting.task_id,
        "observation_id": lead.observation_id,
        "lead_id": lead.lead_id,
        "platform": lead.platform,
        "query": lead.query,
        "source_url": lead.source_url,
        "found_at": lead.found_at,
        **_lead_row(lead, sighting.identifiers),
    }


def view_row(lead: Lead, sightings: Sequence[Sighting]) -> Row:
    """A row of the current view: ``lead`` is the merge of ``sightings``, which are in order of the stream."""
    found = [sighting.lead.found_at for sighting in sightings if sighting.lead.found_at]
    first, last = min(found), max(found)
    lead = lead.model_copy(update={"first_seen_at": first, "last_seen_at": last})
    return {
        "lead_id": lead.lead_id,
        **_lead_row(lead, sightings[0].identifiers if len(sightings) == 1 else identifying(lead)),
        "platforms": _distinct(sighting.lead.platform for sighting in sightings),
        "task_ids": _distinct(sighting.task_id for sighting in sightings),
        "source_urls": _distinct(sighting.lead.source_url for sighting in sightings),
        "first_seen_at": first,
        "last_seen_at": last,
        "stream_ms": sightings[0].position.ms,
        "stream_seq": sightings[0].position.seq,
    }


def view_of_log(log: pl.DataFrame) -> pl.DataFrame:
    """View rows of log rows whose leads were seen once; the same rows as ``view_row`` gives."""

    def alone(column: str) -> pl.Expr:
        return pl.when(pl.col(column).is_null()).then(pl.lit([], WORDS)).otherwise(pl.concat_list(column))

    return log.select(
        "lead_id",
        *LEAD_COLUMNS,
        alone("platform").alias("platforms"),
        alone("task_id").alias("task_ids"),
        alone("source_url").alias("source_urls"),
        pl.col("found_at").alias("first_seen_at"),
        pl.col("found_at").alias("last_seen_at"),
        "stream_ms",
        "stream_seq",
    )


def judged(lead: Lead) -> Lead:
    """A merged ``lead`` with its own score and, unless a model has answered, its own answer of the rules."""
    known = lead.enrichment
    if known is not None and known.source == "rules":
        lead = lead.model_copy(update={"enrichment": by_rules(lead, lead.lead_objective, known.enriched_at)})
    return scored(lead)


def with_keys(view: pl.DataFrame) -> pl.DataFrame:
    """Rows of VIEW_SCHEMA as rows of ROW_SCHEMA."""
    return view.with_columns(
        pl.col("city").str.to_lowercase().alias("city_key"),
        pl.col("region").str.to_lowercase().alias("region_key"),
        pl.col("country").str.to_lowercase().alias("country_key"),
        pl.col("postal_code").str.to_lowercase().alias("postal_key"),
        pl.col("score_band").str.to_lowercase().alias("band_key"),
        pl.col("categories").list.eval(folded(pl.element())).alias("category_keys"),
        pl.col("best_validity").is_in(["valid", "possible"]).fill_null(value=False).alias("has_phone"),
        (pl.col("emails").list.len() > 0).alias("has_email"),
        pl.col("website").is_not_null().alias("has_website"),
    ).select(ROW_SCHEMA.names())


def folded(text: pl.Expr) -> pl.Expr:
    """Text without case and accents, as an expression; compare it with itself only, not with ``fold``."""
    plain = text.str.to_lowercase().str.normalize("NFKD").str.replace_all(r"\p{M}", "")
    return plain.str.replace_all("ß", "ss", literal=True)


def scored(lead: Lead) -> Lead:
    """``lead`` with its score for its objective, or for prospecting in general."""
    value, band, reasons = score(lead, lead.lead_objective)
    return lead.model_copy(update={"score": value, "score_band": band, "score_reasons": reasons})


def identifying(lead: Lead) -> list[str]:
    """What may make it the same business as another lead, as texts: ``phone:+49…``, ``domain:…``."""
    return sorted({f"{kind}:{value}" for kind, value in identity.identifiers(lead)})


def frame_of(rows: Sequence[Row], schema: pl.Schema) -> pl.DataFrame:
    """Rows as a frame, column by column; lists travel as one text, which is twenty times as fast as a list of lists."""
    return pl.DataFrame(
        [_column(name, [row[name] for row in rows], dtype) for name, dtype in schema.items()], schema=schema
    )


def _column(name: str, values: list[Any], dtype: pl.DataType) -> pl.Series:
    if dtype != WORDS:
        return pl.Series(name, values, dtype=dtype)
    joined = pl.Series(
        name, [_BETWEEN.join(word.replace(_BETWEEN, " ") for word in words) for words in values], pl.String
    )
    return pl.select(
        pl.when(joined == "").then(pl.lit([], WORDS)).otherwise(joined.str.split(_BETWEEN)).alias(name)
    ).to_series()


def fold(text: str) -> str:
    """``text`` without case and accents: what is compared when people search."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def _lead_row(lead: Lead, identifiers: list[str]) -> Row:
    address, geo = lead.address, lead.geo
    place = [address.street, address.city, address.region, address.postal_code] if address else []
    validities = [phone.validation_status for phone in lead.phones]
    return {
        "name": lead.display_name,
        "phones": [phone.international or phone.raw for phone in lead.phones],
        "phones_e164": [phone.normalized_e164 or phone.raw for phone in lead.phones],
        "phone_types": [phone.line_type or "unknown" for phone in lead.phones],
        "phone_validity": [validity.value for validity in validities],
        "best_validity": min(validities, key=_BEST_FIRST.index).value if validities else None,
        "emails": lead.emails,
        "website": lead.website,
        "domain": _domain(lead.website),
        "street": address.street if address else None,
        "city": address.city if address else None,
        "region": address.region if address else None,
        "postal_code": address.postal_code if address else None,
        "country": address.country if address else None,
        "latitude": geo.latitude if geo else None,
        "longitude": geo.longitude if geo else None,
        "categories": lead.categories,
        "opening_hours": lead.opening_hours,
        "rating": lead.rating,
        "review_count": lead.review_count,
        "socials": list(lead.socials.values()),
        "description": lead.description,
        "score": lead.score,
        "score_band": lead.score_band,
        "enriched_category": lead.enrichment.category if lead.enrichment else None,
        "summary": lead.enrichment.summary if lead.enrichment else None,
        "fit": lead.enrichment.fit if lead.enrichment else None,
        "search": fold(" ".join(filter(None, [lead.display_name, *place, *lead.categories]))),
        "identifiers": identifiers,
        "lead": lead.model_dump_json(exclude_defaults=True),
    }


def _domain(url: str | None) -> str | None:
    try:
        host = urlsplit(url or "").hostname
    except ValueError:  # an address a page wrote: "http://[oops"
        return None
    return host.removeprefix("www.") if host else None


def _distinct(values: Any) -> list[str]:
    return list(dict.fromkeys(value for value in values if value))
