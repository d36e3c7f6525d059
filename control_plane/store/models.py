"""What clients ask of the leads store and what they get: the public edge of filters and exports.

Unlike requests elsewhere, these refuse keys they do not know: a misspelt filter that was ignored would answer
with all leads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from control_plane.errors import BadRequest, FieldError, Invalid, Problem
from leads.model import Lead, Validation

MAX_DEPTH = 5
MAX_GROUP = 20
"""Bounds of a nested ``where``: far beyond what a person writes, and cheap to evaluate."""

MAX_COMPARISONS = 300
"""Of a whole ``where``: each value counts one and each word of ``q`` five, which is about what they take."""

MAX_REVIEWS = 1_000_000_000
"""Nobody has more, and it fits what the columns hold."""

MAX_PAGE = 500
DEFAULT_PAGE = 50
MAX_BUCKETS = 200


def _each_once(values: list[Any]) -> list[Any]:
    repeated = [value for value in values if values.count(value) > 1]
    if repeated:
        raise ValueError(f"{repeated[0]} is named more than once")
    return values


def _as_list(value: object) -> object:
    return value if isinstance(value, list) or value is None else [value]


def _moment(value: object, at: time) -> object:
    """ISO 8601, UTC unless it says otherwise; a day alone means its first or last moment."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    try:
        day = date.fromisoformat(text)
    except ValueError:
        parsed = datetime.fromisoformat(text)
    else:
        parsed = datetime.combine(day, at)
    try:
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except OverflowError as exc:
        raise ValueError("it is before the year 1 or after 9999 in UTC") from exc


def _first_moment(value: object) -> object:
    return _moment(value, time.min)


def _last_moment(value: object) -> object:
    return _moment(value, time.max)


Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Words = Annotated[list[Word], BeforeValidator(_as_list), Field(min_length=1, max_length=100)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)


class Near(_Request):
    """A circle around a point, in WGS 84 degrees."""

    lat: Annotated[float, Field(ge=-90, le=90)]
    lon: Annotated[float, Field(ge=-180, le=180)]
    radius_km: Annotated[float, Field(gt=0, le=20_000)] = 10.0


class Where(_Request):
    """Which leads. All members that are given must hold; a list means any of its values. Text is compared without
    regard to case, and in ``q`` and ``category`` without accents too."""

    q: Word | None = Field(None, description="every word stands somewhere in the name, address or categories")
    lead_id: Words | None = Field(None, description="also ids that the lead went by before it was merged")
    has_phone: bool | None = Field(None, description="a number that is valid, or at least possible")
    has_email: bool | None = None
    has_website: bool | None = None
    phone_validity: Annotated[list[Validation], BeforeValidator(_as_list)] | None = Field(
        None, description="of the lead's best number"
    )
    phone_type: Words | None = Field(None, description="fixed_line, mobile, toll_free …: any of its numbers")
    city: Words | None = None
    region: Words | None = None
    country: Words | None = Field(None, description="ISO 3166-1 alpha-2")
    postal_code: Words | None = None
    near: Near | None = None
    category: Words | None = None
    rating_min: float | None = None
    rating_max: float | None = None
    reviews_min: Annotated[int, Field(ge=0, le=MAX_REVIEWS)] | None = None
    reviews_max: Annotated[int, Field(ge=0, le=MAX_REVIEWS)] | None = None
    score_min: float | None = None
    score_max: float | None = None
    score_band: Words | None = Field(None, description="hot, warm, cold")
    enriched_category: Words | None = Field(None, description="of the enrichment: health, retail, legal …")
    fit_min: float | None = Field(None, description="of the enrichment: how well it suits its objective, 0 to 100")
    fit_max: float | None = None
    platform: Words | None = None
    task_id: Words | None = None
    date_from: Annotated[datetime, BeforeValidator(_first_moment)] | None = Field(
        None, description="seen then or later; a day, or ISO 8601"
    )
    date_to: Annotated[datetime, BeforeValidator(_last_moment)] | None = Field(
        None, description="seen then or earlier; a day counts whole"
    )
    all_of: Annotated[list[Where], Field(min_length=1, max_length=MAX_GROUP)] | None = Field(None, alias="and")
    any_of: Annotated[list[Where], Field(min_length=1, max_length=MAX_GROUP)] | None = Field(None, alias="or")
    none_of: Where | None = Field(None, alias="not")

    @model_validator(mode="after")
    def _not_too_deep(self) -> Self:
        if self._depth() > MAX_DEPTH:
            raise ValueError(f"groups are nested more than {MAX_DEPTH} deep")
        if self._comparisons() > MAX_COMPARISONS:
            raise ValueError("there is too much to compare: ask for fewer words and values, or in several requests")
        return self

    def _depth(self) -> int:
        return 1 + max((group._depth() for group in self._groups()), default=0)  # noqa: SLF001 - its own class

    def _comparisons(self) -> int:
        own = 5 * len(self.q.split()) if self.q else 0
        for name in self.model_fields_set - {"q", "all_of", "any_of", "none_of"}:
            value = getattr(self, name)
            own += len(value) if isinstance(value, list) else value is not None
        return own + sum(group._comparisons() for group in self._groups())  # noqa: SLF001 - its own class

    def _groups(self) -> list[Where]:
        return [*(self.all_of or ()), *(self.any_of or ()), *([self.none_of] if self.none_of else ())]


SortField = Literal[
    "name", "city", "country", "rating", "review_count", "score", "fit", "first_seen_at", "last_seen_at",
    "-name", "-city", "-country", "-rating", "-review_count", "-score", "-fit", "-first_seen_at", "-last_seen_at",
]  # fmt: skip


class LeadQuery(_Request):
    """Body of ``POST /api/filters/leads``. ``sort`` is a list of fields, each with ``-`` in front for descending;
    what is not known comes last either way."""

    where: Where = Where()
    sort: Annotated[list[SortField], BeforeValidator(_as_list), Field(max_length=4)] = ["-last_seen_at"]
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE
    cursor: Annotated[str, StringConstraints(max_length=4_000)] | None = Field(
        None, description="`next_cursor` of the page before, with the same where and sort"
    )


FacetField = Literal[
    "city", "region", "country", "category", "platform", "phone_validity", "phone_type", "score_band",
    "enriched_category", "has_email", "has_website",
]  # fmt: skip


class FacetQuery(_Request):
    """Body of ``POST /api/filters/facets``."""

    where: Where = Where()
    fields: Annotated[list[FacetField], BeforeValidator(_as_list), Field(min_length=1)] = [
        "city", "country", "category", "platform", "phone_validity", "score_band",
    ]  # fmt: skip
    limit: Annotated[int, Field(ge=1, le=MAX_BUCKETS)] = Field(20, description="most values a field, commonest first")


class LeadPage(_Answer):
    """A page of leads; ``total`` counts all that match."""

    total: int
    items: list[Lead] = Field(description="as in the `result` events")
    next_cursor: str | None
    took_ms: float


class FacetBucket(_Answer):
    value: str | bool | None
    count: int


class Facets(_Answer):
    total: int
    facets: dict[str, list[FacetBucket]]
    took_ms: float


class LeadDetail(_Answer):
    """One lead, what it was merged from, and the ids it went by before."""

    lead: Lead
    aliases: list[str]
    observations: list[Lead] = Field(description="oldest first, each a lead as it was found")


ExportFormat = Literal["csv", "json", "jsonl", "excel", "parquet"]

ExportColumn = Literal[
    "lead_id", "name", "phones", "phone_types", "phone_validity", "emails", "website", "street", "city", "region",
    "postal_code", "country", "latitude", "longitude", "categories", "rating", "review_count", "opening_hours",
    "socials", "description", "score", "score_band", "platforms", "source_urls", "first_seen_at", "last_seen_at",
    "enriched_category", "summary", "fit",
]  # fmt: skip


class ExportRequest(_Request):
    """Body of ``POST /api/export``. ``columns`` picks and orders; ``bom`` and ``phone_format`` are for CSV;
    ``compress`` is for CSV and JSON, since Excel and Parquet files are compressed as they are."""

    format: ExportFormat = "csv"
    where: Where = Where()
    columns: Annotated[list[ExportColumn], Field(min_length=1), AfterValidator(_each_once)] | None = None
    bom: bool = Field(False, description="begin a CSV with a byte order mark, which old Excel needs to see UTF-8")
    phone_format: Literal["international", "e164"] = "international"
    compress: Literal["gzip"] | None = Field(None, description="a .gz file, a fifth of the size or less")

    @model_validator(mode="after")
    def _compressed_once(self) -> Self:
        if self.compress and self.format in {"excel", "parquet"}:
            raise ValueError(f"compress is for csv, json and jsonl; {self.format} files are compressed as they are")
        return self


ExportStatus = Literal["pending", "running", "ready", "empty", "failed", "cancelled", "expired"]


class ExportView(_Answer):
    """An export. ``url`` is there once it is ``ready``, and good until ``expires_at``."""

    export_id: str
    status: ExportStatus
    format: ExportFormat
    rows: int = Field(description="rows written so far")
    total: int | None = Field(description="rows there will be; null until that is known")
    bytes: int = Field(0, description="bytes that are in object storage so far")
    url: str | None = None
    expires_at: datetime | None = None
    created_at: datetime
    error: str | None = None


MAX_EXPORTS = 100


class ExportList(_Request):
    """Query of ``GET /api/export``."""

    limit: Annotated[int, Field(ge=1, le=MAX_EXPORTS)] = DEFAULT_PAGE
    cursor: Annotated[str, StringConstraints(max_length=100)] | None = None


class ExportPage(_Answer):
    """A tenant's exports of the last days, latest first. Only asking for one by its id gives its ``url``."""

    items: list[ExportView]
    next_cursor: str | None


def problem_of(exc: ValidationError, model: type[BaseModel]) -> Problem:
    """The answer to input that ``model`` refused: 422, or 400 when only dates do not parse."""
    errors = [_field_error(dict(error), model) for error in exc.errors(include_url=False, include_context=False)]
    if all("date_from" in error["loc"] or "date_to" in error["loc"] for error in errors):
        return BadRequest("a date is not ISO 8601, such as 2026-11-23 or 2026-11-23T09:00:00Z", errors=errors)
    return Invalid("; ".join(error["message"] for error in errors[:3]), errors=errors)


def _field_error(error: Mapping[str, Any], model: type[BaseModel]) -> FieldError:
    loc = list(error["loc"])
    if error["type"] != "extra_forbidden":
        return {"loc": loc, "message": f"{'.'.join(map(str, loc)) or 'the request'}: {error['msg']}"}
    owner = _model_at(loc[:-1], model)
    known = ", ".join(sorted(field.alias or name for name, field in owner.model_fields.items()))
    return {"loc": loc, "message": f"{'.'.join(map(str, loc))} is not known; known are: {known}"}


def _model_at(loc: Sequence[str | int], model: type[BaseModel]) -> type[BaseModel]:
    for step in loc:
        if step in {"where", "and", "or", "not"}:
            model = Where
        elif step == "near":
            model = Near
    return model
