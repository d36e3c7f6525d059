"""What the answers of boxes.js mean; a page may answer anything."""

from __future__ import annotations

import pytest

from browser_node.scraping import boxes
from leads.model import Lead, Phone

PHONE = Phone(raw="(030) 123 456", normalized_e164="+4930123456", international="+49 30 123456")


def test_a_number_is_looked_for_as_written_in_full_and_without_its_country() -> None:
    (question,) = boxes.wanted([Lead(phones=[PHONE]), Lead(phones=[PHONE])])
    assert question == {"id": "+4930123456", "raw": "(030) 123 456", "digits": ["4930123456", "030123456", "30123456"]}


def test_a_box_is_a_fraction_of_the_viewport_and_a_place_in_the_document() -> None:
    answer = {
        "viewport": [1000, 500],
        "scroll": [0, 300],
        "boxes": [{"id": "+4930123456", "x": 100, "y": 50, "width": 200, "height": 20, "selector": "#tel"}],
    }
    (lead,) = boxes.placed([Lead(phones=[PHONE])], boxes.read(answer))
    found = lead.phones[0].phone_coordinates
    assert found is not None
    assert (found.x, found.y, found.width, found.height) == (0.1, 0.1, 0.2, 0.04)
    assert (found.absolute_x, found.absolute_y, found.viewport_height) == (100, 350, 500)
    assert lead.phones[0].phone_element_selector == "#tel"


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {"viewport": [0, 0], "scroll": [0, 0], "boxes": []},
        {"viewport": [1, "x"], "scroll": [0, 0]},
        {"viewport": [10, 10], "scroll": [0, 0], "boxes": "many"},
        {"viewport": [10, 10], "scroll": [0, 0], "boxes": [7, {"id": 1}, {"id": "a", "x": float("nan")}]},
        {"viewport": [10, 10], "scroll": [0, 0], "boxes": [{"id": "a", "x": 1e300, "y": 1, "width": 1, "height": 1}]},
    ],
)
def test_nonsense_gives_no_box(answer: object) -> None:
    assert boxes.read(answer) == []
