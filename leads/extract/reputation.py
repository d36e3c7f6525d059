"""Ratings in the layout of a page: "4.7 out of 5 stars (128 reviews)", written or told to screen readers.

A page that shows several different ratings shows those of products or of single reviewers; then none is the
business's.
"""

from __future__ import annotations

import re

from leads.extract.document import Document

MAX_LINE = 120
REACH = 2  # lines between a rating and how many gave it

_DIGIT = re.compile(r"\d")
_RATING = re.compile(
    r"(?<![\d.,/])(?P<value>[0-5](?:[.,]\d{1,2})?)\s?(?:/|out of|von|sur|de|su|van|av|z)\s?5(?:[.,]0)?(?![\d/.,])",
    re.IGNORECASE,
)
_STARS = re.compile(
    r"(?<![\d.,/])(?P<value>[0-5][.,]\d{1,2})\s?(?:stars?|★|sterne|étoiles|estrellas|stelle)", re.IGNORECASE
)
_CONTEXT = re.compile(
    r"star|rat(?:ed|ing)|review|stern|bewert|étoile|avis|estrella|valoraci|opini|recension|stelle|beoordel|★|☆",
    re.IGNORECASE,
)
_COUNT = re.compile(
    r"(?<![\d.,])(?P<count>\d{1,3}(?:[.,]\d{3}){1,2}|\d{1,7})\s?(?:google\s|customer\s|verified\s)?"
    r"(?:reviews?|ratings?|votes?|bewertungen|rezensionen|avis|opiniones|valoraciones|reseñas|recensioni|beoordelingen|opinii)\b",
    re.IGNORECASE,
)


def page_rating(document: Document) -> tuple[float, int | None] | None:
    """The one rating out of five that the page shows, and by how many; ``None`` without or with several."""
    told = [(line.number, line.text) for line in document.lines if len(line.text) <= MAX_LINE]
    told += [(each.line, each.text) for each in document.told if len(each.text) <= MAX_LINE]
    found: dict[float, int] = {}
    for line, text in told:
        if not _DIGIT.search(text):
            continue
        rating = _RATING.search(text)
        rating = rating if rating and _CONTEXT.search(text) else _STARS.search(text)
        if rating:
            found.setdefault(float(rating["value"].replace(",", ".")), line)
    if len(found) != 1:
        return None
    ((value, place),) = found.items()
    near = (_COUNT.search(text) for line, text in told if abs(line - place) <= REACH)
    count = next((re.sub(r"\D", "", match["count"]) for match in near if match), None)
    return (value, int(count) if count else None) if value <= 5 else None
