"""The rules' answer: there is always one, in any language, and it never says more than the lead does."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leads.enrichment import CATEGORIES, by_rules
from leads.enrichment.answers import MAX_SUMMARY
from leads.model import Address, Lead
from leads.phones import normalise_phone
from leads.score import LEAD_OBJECTIVES, fit

AT = datetime(2026, 3, 1, tzinfo=UTC)
PHONE = normalise_phone("+44 20 7946 0000", None)


def category(**members: object) -> str:
    return by_rules(Lead.model_validate(members), None, AT).category


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Oak Dental", "health"),
        ("Zahnarztpraxis Dr. Müller", "health"),
        ("Familienzahnarzt Köln", "health"),
        ("Cabinet Dentiste Dupont", "health"),
        ("Farmácia Central", "health"),
        ("Abogados Pérez", "legal"),
        ("Autofficina Rossi", "automotive"),
        ("Loodgieter Jansen", "construction_and_trades"),
        ("Frisör Lund", "beauty_and_wellness"),
        ("Ravintola Aino", "food_and_drink"),
        ("Księgowość Nowak", "finance_and_insurance"),
        ("Étterem Budapest", "food_and_drink"),
        ("Otel Ankara", "lodging"),
        ("Ресторан Волга", "food_and_drink"),
        ("鈴木歯科", "health"),
        ("김치식당", "food_and_drink"),
        ("Barbara Ltd", "other"),
        ("", "other"),
    ],
)
def test_a_name_tells_the_category(name: str, expected: str) -> None:
    assert category(display_name=name) == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("Dentist", "health"),
        ("AutoRepair", "automotive"),
        ("RealEstateAgent", "real_estate"),
        ("Bäckerei", "food_and_drink"),
    ],
)
def test_what_the_page_calls_itself_goes_before_its_name(told: str, expected: str) -> None:
    named = by_rules(Lead(display_name="Hotel Adler", categories=[told]), None, AT)
    called = by_rules(Lead(display_name="Hotel Adler", categories=["LocalThing"], description="A law office"), None, AT)
    described = by_rules(Lead(display_name="Adler", description="A law office"), None, AT)
    assert (named.category, called.category, described.category) == (expected, "lodging", "legal")
    assert named.confidence > called.confidence > described.confidence > by_rules(Lead(), None, AT).confidence


def test_the_summary_is_its_own_description_without_what_reaches_a_person() -> None:
    text = "We bake bread. Call 030 1234567 now! Write to joe@oak.example.com. See www.oak.example.com. Since 1990."
    assert by_rules(Lead(description=text), None, AT).summary == "We bake bread. Since 1990."


def test_without_a_description_it_says_what_and_where() -> None:
    lead = Lead(display_name="Oak Dental", address=Address(city="London"))
    assert by_rules(lead, None, AT).summary == "Oak Dental: health, London"
    assert by_rules(Lead(display_name="<b>Oak</b>"), None, AT).summary is None


def test_a_long_description_is_cut_between_sentences_or_words() -> None:
    sentences = by_rules(Lead(description="All good things come to those who wait. " * 20), None, AT).summary
    words = by_rules(Lead(description="word " * 190), None, AT).summary
    assert sentences
    assert sentences.endswith("wait.")
    assert words
    assert words.endswith("word…")


def test_fit_follows_the_objective_and_needs_one() -> None:
    caller = Lead(display_name="Oak", phones=[PHONE])
    assert by_rules(caller, None, AT).fit is None
    assert by_rules(caller, "world_domination", AT).fit is None
    fits = {each["value"]: by_rules(caller, each["value"], AT).fit for each in LEAD_OBJECTIVES}
    assert fits["cold_calling"] == 85
    assert fits["email_outreach"] == 0
    assert fits["web_services"] == 100  # it has no website and somebody can be told so
    assert fits["field_sales"] == 0
    with_site = caller.model_copy(update={"website": "https://oak.example.com/"})
    assert fit(with_site, "web_services") < fits["web_services"]  # type: ignore[operator]


@given(
    st.builds(
        Lead,
        display_name=st.none() | st.text(max_size=200),
        description=st.none() | st.text(max_size=1_000),
        categories=st.lists(st.text(max_size=50), max_size=5),
    ),
    st.sampled_from([None, *(each["value"] for each in LEAD_OBJECTIVES)]),
)
def test_there_is_an_answer_to_any_lead(lead: Lead, objective: str | None) -> None:
    answer = by_rules(lead, objective, AT)
    assert answer.category in CATEGORIES
    assert answer.source == "rules"
    assert (answer.fit is None) == (objective is None)
    assert answer.summary is None or 0 < len(answer.summary) <= MAX_SUMMARY
