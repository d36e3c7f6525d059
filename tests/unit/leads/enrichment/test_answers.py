"""What is believed of a model: three fields of the leads that were asked about, each judged alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leads.enrichment import CATEGORIES, Subject, read_answers
from leads.enrichment.answers import MAX_CONTENT, MAX_SUMMARY

AT = datetime(2026, 3, 1, tzinfo=UTC)
SUBJECTS = {"a1": Subject({"name": "Oak"}, "cold_calling"), "b2": Subject({"name": "Elm"}, None)}
GOOD = {"id": "a1", "category": "health", "summary": "Mends teeth in London.", "fit": 70}
OTHER = {"id": "b2", "category": "legal", "summary": "Advises families & firms.", "fit": None}


def read(*leads: Any) -> Any:
    return read_answers(json.dumps({"leads": leads}), SUBJECTS, "gpt-test", AT)


def test_a_good_answer_is_taken_with_where_it_came_from() -> None:
    answers = read(GOOD, OTHER)
    assert answers.refused == {}
    one, other = answers.accepted["a1"], answers.accepted["b2"]
    assert (one.category, one.summary, one.fit, one.objective) == ("health", GOOD["summary"], 70, "cold_calling")
    assert (one.source, one.model, one.enriched_at) == ("ai", "gpt-test", AT)
    assert (other.category, other.fit, other.objective) == ("legal", None, None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"category": "dentist"}, "category"),
        ({"category": ["health"]}, "category"),
        ({"category": None}, "category"),
        ({"fit": 101}, "fit"),
        ({"fit": -1}, "fit"),
        ({"fit": 70.5}, "fit"),
        ({"fit": True}, "fit"),
        ({"fit": "70"}, "fit"),
        ({"fit": None}, "fit"),
        ({"phones": ["+49 30 1"]}, "fields"),
        ({"display_name": "Evil"}, "fields"),
        ({"summary": ""}, "length"),
        ({"summary": "  "}, "length"),
        ({"summary": 5}, "length"),
        ({"summary": "x" * (MAX_SUMMARY + 1)}, "length"),
        ({"summary": "two\nlines"}, "controls"),
        ({"summary": "bell\x07"}, "controls"),
        ({"summary": "turned \u202e around"}, "controls"),
        ({"summary": "wide\u2028line"}, "controls"),
        ({"summary": "<b>Teeth</b>"}, "markup"),
        ({"summary": "see [here](x)"}, "markup"),
        ({"summary": "javascript://x"}, "markup"),
        ({"summary": "&lt;script&gt;"}, "markup"),
        ({"summary": "see evil.com for more"}, "contact"),
        ({"summary": "see www.evil"}, "markup"),
        ({"summary": "mail joe@evil"}, "contact"),
        ({"summary": "call +49 (30) 123-4567"}, "contact"),
    ],
)
def test_a_bad_answer_is_refused_and_costs_the_others_nothing(change: dict[str, Any], reason: str) -> None:
    answers = read(GOOD | change, OTHER)
    assert answers.refused == {"a1": reason}
    assert answers.accepted.keys() == {"b2"}


def test_a_member_less_is_refused() -> None:
    assert read({name: value for name, value in GOOD.items() if name != "fit"}, OTHER).refused == {"a1": "fields"}


def test_leads_nobody_asked_about_are_counted_and_ids_stand_once() -> None:
    answers = read(GOOD, GOOD | {"fit": 1}, OTHER, GOOD | {"id": "c3"}, GOOD | {"id": 1}, "a1", None)
    assert answers.refused == {"a1": "repeated"}
    assert answers.accepted.keys() == {"b2"}
    assert answers.strangers == 4


def test_a_lead_that_is_not_answered_is_missing() -> None:
    assert read(OTHER).refused == {"a1": "missing"}


@pytest.mark.parametrize(
    "content",
    [
        "", "Sure! Here you are:", "[]", "null", "{}", '{"leads": {}}', '{"leads": null}', '{"leads": [NaN]}',
        '{"leads": ' * 5_000, "[" * 100_000, '{"leads": []}' + " " * MAX_CONTENT,
    ],
)  # fmt: skip
def test_what_is_no_json_of_ours_is_refused_whole(content: str) -> None:
    answers = read_answers(content, SUBJECTS, "gpt-test", AT)
    assert answers.refused == {"a1": "not_json", "b2": "not_json"}
    assert not answers.accepted


def test_json_in_a_fence_is_json() -> None:
    fenced = "```json\n" + json.dumps({"leads": [GOOD, OTHER]}) + "\n```"
    assert read_answers(fenced, SUBJECTS, "gpt-test", AT).accepted.keys() == {"a1", "b2"}


def test_fit_is_forgotten_where_nobody_asked_for_it() -> None:
    assert read(GOOD, OTHER | {"fit": 99}).accepted["b2"].fit is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["a1", "health"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "category", "summary", "fit", "leads", "x"]), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(_JSON)
def test_no_answer_raises_or_gets_anything_else_through(told: Any) -> None:
    for content in (json.dumps({"leads": told}), json.dumps(told)):
        answers = read_answers(content, SUBJECTS, "gpt-test", AT)
        assert answers.accepted.keys() | answers.refused.keys() == SUBJECTS.keys()
        assert not answers.accepted.keys() & answers.refused.keys()
        assert all(found.category in CATEGORIES for found in answers.accepted.values())


@pytest.mark.parametrize("inside", ["\n" * 250_000, " \n" * 120_000, "`" * 250_000, "```\n" * 60_000])
def test_a_fence_that_never_ends_is_no_work(inside: str) -> None:
    assert read_answers(f"```{inside}x", SUBJECTS, "gpt-test", AT).refused == dict.fromkeys(SUBJECTS, "not_json")
