"""The Lead: what one page, or many, told about one business.

Everything here is a value. An *observation* is a Lead with the page it was read from; the *current
view* of a lead is the merge of its observations (see ``identity``). Field names are those of the
public contract; a field that is not known is ``None`` or empty, never a guess.

All strings are bounded: a Lead also crosses the border from a browser node, which may lie.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Short = Annotated[str, StringConstraints(max_length=200, strip_whitespace=True)]
Text = Annotated[str, StringConstraints(max_length=1_000, strip_whitespace=True)]
Url = Annotated[str, StringConstraints(max_length=2_048)]
Confidence = Annotated[float, Field(ge=0.0, le=1.0)]


class _Value(BaseModel):
    """A frozen value; unknown keys are ignored so that newer nodes may say more."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Validation(StrEnum):
    """libphonenumber's verdict on a number."""

    VALID = "valid"
    POSSIBLE = "possible"
    INVALID = "invalid"


class PhoneCoordinates(_Value):
    """A box on the picture, around all that is seen of a number.

    ``x, y, width, height`` are fractions of the layout viewport that the frame shows (top left is
    0, 0); outside of 0 to 1 the number stands further up or down the page. ``absolute_x,
    absolute_y`` are CSS pixels of the document, that is viewport position plus scroll; ``scroll_x``
    counts from the left edge of the page whichever way it is written. All other lengths are CSS pixels.
    """

    x: float
    y: float
    width: float
    height: float
    absolute_x: float
    absolute_y: float
    viewport_width: int
    viewport_height: int
    scroll_x: float = 0.0
    scroll_y: float = 0.0


class Phone(_Value):
    """One phone number as found.

    ``source`` is where it stood: ``json_ld``, ``microdata``, ``h_card``, ``tel_link``, ``text``,
    ``attribute`` … ``kind`` is ``voice`` or ``fax``; ``line_type`` is libphonenumber's type
    (``fixed_line``, ``mobile``, ``toll_free`` …). ``phone_coordinates`` is absent when the page does not show the
    number. ``phone_element_selector`` is for ``querySelector``; `` >>> `` goes into a shadow tree or an iframe.
    """

    raw: Short
    normalized_e164: Short | None = None
    international: Short | None = None
    extension: Short | None = None
    country: Short | None = Field(default=None, description="ISO 3166-1 alpha-2 region of the number")
    kind: Short = "voice"
    line_type: Short | None = None
    validation_status: Validation = Validation.INVALID
    confidence: Confidence = 0.5
    source: Short = "text"
    phone_element_selector: Text | None = None
    phone_coordinates: PhoneCoordinates | None = None


class Email(_Value):
    """One e-mail address; ``kind`` is ``role`` (info@, sales@ …) or ``personal``."""

    address: Short
    kind: Short = "role"
    confidence: Confidence = 0.5
    source: Short = "text"


class Address(_Value):
    """A postal address; ``country`` is ISO 3166-1 alpha-2 where it could be told."""

    street: Short | None = None
    city: Short | None = None
    region: Short | None = None
    postal_code: Short | None = None
    country: Short | None = None


class Geo(_Value):
    """WGS 84 degrees."""

    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]


class Provenance(_Value):
    """Where a field came from and how sure we are."""

    source: Short
    confidence: Confidence


class Enrichment(_Value):
    """What the facts of a lead amount to, in the words of a seller; its own provenance goes with it.

    ``category`` is one of `leads.enrichment.CATEGORIES`; ``fit`` is how well the business suits ``objective``, 0 to
    100, ``None`` without one. ``source`` is ``rules``, or ``ai`` where ``model`` answered.
    """

    category: Short
    summary: Annotated[str, StringConstraints(max_length=300, strip_whitespace=True)] | None = None
    fit: Annotated[int, Field(ge=0, le=100)] | None = None
    objective: Short | None = None
    source: Short
    model: Short | None = None
    confidence: Confidence
    enriched_at: datetime | None = None


class Lead(_Value):
    """One business. See the module docstring for the difference between observation and view."""

    lead_id: Short | None = None
    observation_id: Short | None = None
    task_id: Short | None = None
    platform: Short | None = None
    query: Text | None = None

    display_name: Short | None = None
    phones: list[Phone] = Field(default_factory=list, max_length=50)
    emails: list[Short] = Field(default_factory=list, max_length=50)
    email_details: list[Email] = Field(default_factory=list, max_length=50)
    website: Url | None = None
    address: Address | None = None
    geo: Geo | None = None
    categories: list[Short] = Field(default_factory=list, max_length=30)
    opening_hours: list[Short] = Field(default_factory=list, max_length=30)
    rating: Annotated[float, Field(ge=0, le=100)] | None = None
    review_count: Annotated[int, Field(ge=0, le=100_000_000)] | None = None
    socials: dict[Short, Url] = Field(default_factory=dict, max_length=20)
    description: Text | None = None
    logo: Url | None = None

    source_url: Url | None = None
    found_at: datetime | None = None
    first_seen_at: datetime | None = None
    last_seen_at: datetime | None = None

    score: Annotated[int, Field(ge=0, le=100)] | None = None
    score_band: Short | None = None
    score_reasons: list[Short] = Field(default_factory=list, max_length=20)
    lead_objective: Short | None = Field(default=None, description="of the task: what the score is tuned to")
    enrichment: Enrichment | None = None
    provenance: dict[Short, Provenance] = Field(default_factory=dict, max_length=30)
