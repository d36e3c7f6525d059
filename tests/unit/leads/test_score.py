"""The score: monotone in what a seller can use, bounded, explained, and tuned by the objective."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leads.model import Address, Lead
from leads.phones import normalise_phone
from leads.score import HOT, LEAD_OBJECTIVES, band_of, score

PHONE = normalise_phone("+44 20 7946 0000", None)
FULL = Lead(
    display_name="Oak Dental",
    phones=[PHONE],
    emails=["info@oak.example.com"],
    website="https://oak.example.com/",
    address=Address(street="1 High St", city="London", postal_code="N1 9ZZ"),
)
OBJECTIVES = [None, *(each["value"] for each in LEAD_OBJECTIVES)]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_an_empty_lead_is_cold_and_a_full_one_beats_it(objective: str | None) -> None:
    empty, band, _ = score(Lead(), objective)
    full, _, _ = score(FULL, objective)
    assert band == "cold"
    assert empty < full <= 100


def test_a_complete_lead_is_hot_and_says_why() -> None:
    points, band, reasons = score(FULL)
    assert band == "hot"
    assert points >= HOT
    assert reasons[0].startswith("has a valid phone number (+")


def test_an_invalid_number_earns_nothing() -> None:
    broken = FULL.model_copy(update={"phones": [normalise_phone("123", "GB")]})
    points, _, reasons = score(broken)
    assert points < score(FULL)[0]
    assert "no valid phone number" in reasons


def test_a_missing_website_counts_for_those_who_sell_websites_only() -> None:
    without = FULL.model_copy(update={"website": None})
    assert score(without, "web_services")[0] > score(FULL, "web_services")[0]
    assert score(without)[0] < score(FULL)[0]


def test_an_unknown_objective_counts_as_none() -> None:
    assert score(FULL, "world_domination") == score(FULL)


@settings(deadline=None)  # no machine is too slow for a pure function
@given(
    phones=st.booleans(),
    mails=st.booleans(),
    website=st.booleans(),
    rating=st.none() | st.floats(0, 5),
    reviews=st.none() | st.integers(0, 10_000),
    objective=st.sampled_from(OBJECTIVES),
)
def test_the_score_stays_in_bounds_and_agrees_with_its_band(
    *, phones: bool, mails: bool, website: bool, rating: float | None, reviews: int | None, objective: str | None
) -> None:
    lead = Lead(
        phones=[PHONE] if phones else [],
        emails=["a@example.com"] if mails else [],
        website="https://example.com" if website else None,
        rating=rating,
        review_count=reviews,
    )
    points, band, _ = score(lead, objective)
    assert 0 <= points <= 100
    assert band == band_of(points)


BY_PHONE = Lead(display_name="A", phones=[PHONE])
BY_MAIL = Lead(display_name="B", emails=["info@b.example"], website="https://b.example/")
BY_DOOR = Lead(display_name="C", address=FULL.address, opening_hours=["Mo-Fr 9-17"])


@pytest.mark.parametrize(
    ("objective", "best"),
    [("cold_calling", BY_PHONE), ("email_outreach", BY_MAIL), ("field_sales", BY_DOOR), ("web_services", BY_PHONE)],
)
def test_an_objective_decides_who_comes_first_and_why(objective: str, best: Lead) -> None:
    ranked = sorted((BY_PHONE, BY_MAIL, BY_DOOR), key=lambda lead: score(lead, objective)[0], reverse=True)
    assert ranked[0] == best
    assert score(best, objective) != score(best)
    assert score(best, objective)[2][0] != "no valid phone number"


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_reasons_add_up_to_the_score(objective: str | None) -> None:
    for lead in (FULL, BY_PHONE, BY_MAIL, BY_DOOR):
        points, _, reasons = score(lead, objective)
        told = [int(reason.partition("(+")[2].rstrip(")")) for reason in reasons if "(+" in reason]
        assert abs(min(100, sum(told)) - points) <= len(told) / 2  # each is rounded by itself
        assert told == sorted(told, reverse=True)
