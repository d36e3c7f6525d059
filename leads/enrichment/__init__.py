"""What a business is, in one word and one sentence, and how well it suits an objective.

Two can say: rules, which always answer, and a language model, which is asked only where an operator wants that. Pure:
what is sent (``subject``, ``prompt``), what is believed of an answer (``answers``), and the rules (``rules``).
The machine that asks is in ``control_plane/enrichment``.
"""

from leads.enrichment.answers import Answers, read_answers
from leads.enrichment.categories import CATEGORIES
from leads.enrichment.prompt import ANSWER_SCHEMA, messages
from leads.enrichment.rules import by_rules
from leads.enrichment.subject import Subject, digest_of, subject_of

__all__ = [
    "ANSWER_SCHEMA", "CATEGORIES", "Answers", "Subject", "by_rules", "digest_of", "messages", "read_answers",
    "subject_of",
]  # fmt: skip
