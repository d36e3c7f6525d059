"""Which businesses a task asks for: only what a page says can speak against one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_node.scraping.options import UnitOptions
from browser_node.scraping.sources.base import PageView, Visit
from browser_node.scraping.sources.directory import Directory
from browser_node.scraping.wanted import Wanted, distance_km
from leads.model import Address, Geo, Lead, Phone, Validation

BERLIN = Geo(latitude=52.52, longitude=13.405)
VALID = Phone(raw="030 23125852", normalized_e164="+493023125852", validation_status=Validation.VALID)


def lead(**fields: Any) -> Lead:
    return Lead(display_name="Oak", emails=["post@oak.example"], **fields)


@pytest.mark.parametrize(
    ("asked", "fields", "kept"),
    [
        ({}, {}, True),
        ({"business_type": ["dentist"]}, {}, True),  # not known is not against it
        ({"business_type": ["Dentists"]}, {"categories": ["Dentist"]}, True),
        ({"business_type": ["dentist", "baker"]}, {"categories": ["Bakery"]}, True),
        ({"business_type": ["auto repair"]}, {"categories": ["AutoRepair"]}, True),
        ({"business_type": ["dentist"]}, {"categories": ["LocalBusiness"]}, True),  # says nothing
        ({"business_type": ["oak"]}, {"categories": ["Florist"]}, True),  # its name says so
        ({"business_type": ["dentist"]}, {"categories": ["Florist"]}, False),
        ({"location": "Berlin"}, {}, True),
        ({"location": "Berlin"}, {"address": Address(street="Hauptstr. 1")}, True),
        ({"location": "berlin, Germany"}, {"address": Address(city="Berlin", country="DE")}, True),
        ({"location": "Köln"}, {"address": Address(city="Koln")}, True),
        ({"location": "Frankfurt"}, {"address": Address(city="Frankfurt am Main")}, True),
        ({"location": "10115"}, {"address": Address(postal_code="10115", city="Berlin")}, True),
        ({"location": "Texas"}, {"address": Address(city="Austin", region="Texas")}, True),
        ({"location": "Berlin"}, {"address": Address(city="Hamburg")}, False),
        ({"location": "Bern"}, {"address": Address(city="Bernau")}, False),
        ({"location": "52.5, 13.4"}, {"geo": BERLIN}, True),
        ({"location": "52.5, 13.4", "radius_km": 1}, {"geo": BERLIN}, False),
        ({"location": "53.55,10.0", "radius_km": 100}, {"geo": BERLIN}, False),
        ({"location": "53.55,10.0", "radius_km": 300}, {"geo": BERLIN}, True),
        ({"location": "53.55,10.0"}, {"address": Address(city="Berlin")}, True),  # no coordinates, no distance
        ({"phone_only": True}, {}, False),
        ({"phone_only": True}, {"phones": [VALID]}, True),
        ({"phone_only": True}, {"phones": [VALID.model_copy(update={"validation_status": "invalid"})]}, False),
        ({"location": 5, "business_type": "dentist", "radius_km": "far"}, {"categories": ["Florist"]}, True),
    ],
)
def test_only_what_is_known_to_be_something_else_is_left_out(
    asked: dict[str, Any], fields: dict[str, Any], kept: bool
) -> None:
    assert (lead(**fields) in UnitOptions.parse(asked).wanted) == kept


def test_nobody_to_reach_is_no_lead() -> None:
    assert Lead(display_name="Oak") not in Wanted()
    assert Lead(display_name="Oak", address=Address(street="Hauptstr. 1")) in Wanted()


def test_a_listed_business_that_its_own_site_makes_a_wanted_one_is_new() -> None:
    source = Directory("http://dir.test/", UnitOptions.parse({"phone_only": True, "enrich_websites": True}))
    entry = lead(website="http://oak.test/")
    detail = source.after(
        PageView(Visit("http://dir.test/b/oak", kind="detail"), "http://dir.test/b/oak", leads=[entry]), {}
    )
    assert not detail.leads
    (site,) = detail.visits
    step = source.after(PageView(site, "http://oak.test/", leads=[lead(phones=[VALID])]), {})
    assert ([told.phones for told in step.leads], step.grown) == ([[VALID]], [])
    nothing = source.after(PageView(site, "http://oak.test/", leads=[lead(description="since 1900")]), {})
    assert not nothing.leads
    assert not nothing.grown


@given(st.floats(-90, 90), st.floats(-180, 180), st.floats(-90, 90), st.floats(-180, 180))
def test_distance_is_one(a: float, b: float, c: float, d: float) -> None:
    one, other = Geo(latitude=a, longitude=b), Geo(latitude=c, longitude=d)
    assert distance_km(one, other) == pytest.approx(distance_km(other, one), abs=1e-3)
    assert 0 <= distance_km(one, other) <= 20_016
    assert distance_km(one, one) == pytest.approx(0, abs=1e-3)


def test_distance_is_that_of_the_map() -> None:
    assert distance_km(BERLIN, Geo(latitude=53.55, longitude=10.0)) == pytest.approx(255, abs=3)
