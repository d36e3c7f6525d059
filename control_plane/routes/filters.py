"""Leads: filters, facets, one lead with its history, and the lists of what can be asked for."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from quart import Blueprint, Response, request

from control_plane import web
from control_plane.admission import BUILT
from control_plane.auth import access, principal
from control_plane.errors import BadRequest, Unavailable
from control_plane.openapi import describes
from control_plane.services import services
from control_plane.store.client import LeadStore
from control_plane.store.models import FacetQuery, Facets, LeadDetail, LeadPage, LeadQuery, Where, problem_of
from leads.score import LEAD_OBJECTIVES

Model = TypeVar("Model", bound=BaseModel)

blueprint = Blueprint("filters", __name__)

BUSINESS_TYPES = (
    "accountant", "architect", "bakery", "bank", "bar", "beauty salon", "bookshop", "builder", "butcher", "cafe",
    "car dealer", "car repair", "carpenter", "cleaning", "clinic", "clothes shop", "consultant", "dentist",
    "doctor", "electrician", "estate agent", "florist", "furniture shop", "garden centre", "grocery", "gym",
    "hairdresser", "hotel", "insurance agent", "it services", "jeweller", "laundry", "lawyer", "locksmith",
    "marketing agency", "museum", "optician", "painter", "pet shop", "pharmacy", "photographer",
    "physiotherapist", "plumber", "restaurant", "roofer", "school", "software company", "spa", "tax adviser",
    "travel agency", "vet", "wholesaler",
)  # fmt: skip
"""Words that narrow a search; any other word is taken too."""

WHERE_QUERY = {
    name: field.description or ""
    for name, field in Where.model_fields.items()
    if name not in {"near", "all_of", "any_of", "none_of"}
} | {"near": "latitude,longitude,kilometres"}
"""Members of a ``where`` that a query string can carry; the same name again means any of the values."""

WORDS = TypeAdapter(list[str])
OBJECTIVES = TypeAdapter(list[dict[Literal["value", "label"], str]])

_QUERY_MEMBERS = ("sort", "limit", "cursor")


@blueprint.post("/api/filters/leads")
@access("leads:read", "filter")
@describes(body=LeadQuery, body_required=False, answer=LeadPage)
async def find_leads() -> Response:
    """A page of the tenant's leads that match."""
    return await _page(checked(LeadQuery, await web.read_json(optional=True)))


@blueprint.get("/api/filters/leads")
@access("leads:read", "filter")
@describes(
    answer=LeadPage,
    query=WHERE_QUERY | {"sort": "a field, - in front for descending", "limit": "1 to 500", "cursor": "next_cursor"},
)
async def list_leads() -> Response:
    """The same with a flat query: ``?city=Berlin&city=Potsdam&has_phone=true&sort=-rating``."""
    return await _page(checked(LeadQuery, query_members(_QUERY_MEMBERS)))


@blueprint.post("/api/filters/facets")
@access("leads:read", "filter")
@describes(body=FacetQuery, body_required=False, answer=Facets)
async def count_facets() -> Response:
    """How many of the leads that match have each value."""
    query = checked(FacetQuery, await web.read_json(optional=True))
    body = await lead_store().facets(principal().tenant, query)
    return Response(body, mimetype="application/json")


@blueprint.get("/api/leads/<lead_id>")
@access("leads:read")
@describes(answer=LeadDetail)
async def one_lead(lead_id: str) -> Response:
    """One lead with its provenance, the observations it was merged from, and its former ids."""
    return web.answer(await lead_store().lead(principal().tenant, lead_id))


@blueprint.get("/api/filters/platforms")
@access("leads:read")
@describes(answer=WORDS)
async def platforms() -> Response:
    """Platforms that can be scraped."""
    return web.answer(list(BUILT))


@blueprint.get("/api/filters/business-types")
@access("leads:read")
@describes(answer=WORDS)
async def business_types() -> Response:
    """Suggestions for ``business_type``."""
    return web.answer(list(BUSINESS_TYPES))


@blueprint.get("/api/filters/job-levels")
@access("leads:read")
@describes(answer=WORDS)
async def job_levels() -> Response:
    """Empty: we collect businesses, not people."""
    return web.answer([])


@blueprint.get("/api/filters/education-levels")
@access("leads:read")
@describes(answer=WORDS)
async def education_levels() -> Response:
    """Empty: we collect businesses, not people."""
    return web.answer([])


@blueprint.get("/api/filters/degree-types")
@access("leads:read")
@describes(answer=WORDS)
async def degree_types() -> Response:
    """Empty: we collect businesses, not people."""
    return web.answer([])


@blueprint.get("/api/filters/lead-objectives")
@access("leads:read")
@describes(answer=OBJECTIVES)
async def lead_objectives() -> Response:
    """What the score can be tuned to."""
    return web.answer(LEAD_OBJECTIVES)


def checked(model: type[Model], members: Any) -> Model:
    """``members`` as ``model``; the problem names what is wrong and what would be known."""
    try:
        return model.model_validate(members)
    except ValidationError as exc:
        raise problem_of(exc, model) from exc


def query_members(own: tuple[str, ...]) -> dict[str, Any]:
    """The query string as a request: ``own`` members beside a ``where`` of all others, lists where a name repeats.

    ``near=52.5,13.4,10`` is latitude, longitude and kilometres; ``token`` is the edge's.
    """
    members: dict[str, Any] = {}
    where: dict[str, Any] = {}
    for name, values in request.args.lists():
        if name == "token":
            continue
        value = _near(values[0]) if name == "near" else values if len(values) > 1 else values[0]
        (members if name in own else where)[name] = value
    return members | {"where": where}


def lead_store() -> LeadStore:
    """The leads store of the current app; Unavailable in an app that was made without one."""
    store = services().store
    if store is None:
        raise Unavailable("this process runs without a leads store")
    return store


async def _page(query: LeadQuery) -> Response:
    body = await lead_store().filter(principal().tenant, query)
    return Response(body, mimetype="application/json")


def _near(text: str) -> dict[str, str]:
    parts = text.split(",")
    if len(parts) not in {2, 3}:
        raise BadRequest("?near= is latitude,longitude or latitude,longitude,kilometres, such as 52.52,13.40,10")
    return dict(zip(("lat", "lon", "radius_km"), parts, strict=False))
