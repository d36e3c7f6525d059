"""What is believed of a model's answer. Three fields of the leads that were asked about can come of it, nothing else.

Each lead is judged alone: one that is answered badly keeps the rules' answer and does not cost the others theirs.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from leads.domains import has_known_suffix
from leads.enrichment.categories import CATEGORIES
from leads.enrichment.subject import Subject
from leads.model import Enrichment

MAX_SUMMARY = 300
"""Two sentences. A longer one is refused, not cut: who does not keep to the length did not keep to the question."""

MAX_CONTENT = 256_000
"""Letters of an answer that are looked at: ten times what fifty leads need."""

AI_CONFIDENCE = 0.7
"""Of what a model says: better than words in a description, worse than what the page declares."""

FIELDS = frozenset({"id", "category", "summary", "fit"})

_FENCE = "```"  # what chat models put around JSON
_HOST = re.compile(r"[\w-]{1,63}(?:\.[\w-]{1,63})+")
_NUMBER = re.compile(r"\+?\d(?:[\s()./-]{0,3}\d){6}")
_MARKUP = re.compile(r"[<>`\\{}]|\]\(|://|www\.|&#?\w{1,10};", re.IGNORECASE)
_KEPT_CATEGORIES = frozenset("LMNPSZ")  # of Unicode: letters, marks, numbers, punctuation, symbols, blanks


@dataclass(frozen=True, slots=True)
class Answers:
    """``accepted`` by the ids that were asked with; ``refused`` says why not, in a few words, for each other one.

    ``strangers`` counts what was said of leads that nobody asked about.
    """

    accepted: dict[str, Enrichment] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    strangers: int = 0


def read_answers(content: str, subjects: Mapping[str, Subject], model: str, at: datetime) -> Answers:
    """What of ``content``, the text a model gave, is an answer about ``subjects``."""
    told = _leads_in(content)
    if told is None:
        return Answers(refused=dict.fromkeys(subjects, "not_json"))
    by_id = [(item.get("id") if isinstance(item, dict) else None, item) for item in told]
    times = Counter(name for name, _ in by_id if isinstance(name, str))
    answers = Answers(strangers=sum(not isinstance(name, str) or name not in subjects for name, _ in by_id))
    of_id = {name: item for name, item in by_id if isinstance(name, str)}
    for name, subject in subjects.items():
        reason = "missing" if not times[name] else "repeated" if times[name] > 1 else _flaw(of_id[name], subject)
        if reason:
            answers.refused[name] = reason
            continue
        item = of_id[name]
        answers.accepted[name] = Enrichment(
            category=item["category"],
            summary=item["summary"].strip(),
            fit=item["fit"] if subject.objective else None,
            objective=subject.objective,
            source="ai",
            model=model[:200],
            confidence=AI_CONFIDENCE,
            enriched_at=at,
        )
    return answers


def plain_text(text: str) -> str:
    """``text`` on one line, or nothing where it is more than plain words: markup, links, numbers to call."""
    line = " ".join(text.split())
    return line if line and _flaw_of_text(line) is None else ""


def _leads_in(content: str) -> list[Any] | None:
    if len(content) > MAX_CONTENT:
        return None
    try:
        told = orjson.loads(_unfenced(content))
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return None
    leads = told.get("leads") if isinstance(told, dict) else None
    return leads if isinstance(leads, list) else None


def _unfenced(content: str) -> str:
    text = content.strip()
    if not (text.startswith(_FENCE) and text.endswith(_FENCE)):
        return text
    language, _, inside = text.removeprefix(_FENCE).removesuffix(_FENCE).partition("\n")
    return inside if language.strip() in {"", "json"} else text


def _flaw(item: dict[str, Any], subject: Subject) -> str | None:
    """Why an answer is not one: a word for the metrics; ``None`` when it is."""
    if item.keys() != FIELDS:
        return "fields"
    if item["category"] not in CATEGORIES:
        return "category"
    suits = item["fit"]
    is_number = isinstance(suits, int) and not isinstance(suits, bool) and 0 <= suits <= 100
    if not is_number and (suits is not None or subject.objective is not None):
        return "fit"
    summary = item["summary"]
    if not isinstance(summary, str) or not 0 < len(summary.strip()) <= MAX_SUMMARY:
        return "length"
    return _flaw_of_text(summary)


def _flaw_of_text(text: str) -> str | None:
    """``controls``, ``markup`` or ``contact``: what a plain sentence about a business does not hold."""
    if any(char != " " and unicodedata.category(char)[0] not in _KEPT_CATEGORIES for char in text):
        return "controls"
    if any(unicodedata.category(char) in ("Zl", "Zp") for char in text):
        return "controls"
    if _MARKUP.search(text):
        return "markup"
    if "@" in text or _NUMBER.search(text) or any(has_known_suffix(host) for host in _HOST.findall(text)):
        return "contact"
    return None
