"""What the answers of boxes.js mean; a page may answer anything."""

from __future__ import annotations

import pytest

from browser_node.scraping import boxes
from leads.model import Lead, Phone

PHONE = Phone(raw="(030) 123 456", normalized_e164="+4930123456", international="+49 30 123456")


def entry(**parts: object) -> dict[str, object]:
    """A number in an answer."""
    return {"id": "+4930123456", "selector": "#tel", "seen": True, **parts}


def test_a_number_is_looked_for_as_written_in_full_and_without_its_country() -> None:
    (question,) = boxes.wanted([Lead(phones=[PHONE]), Lead(phones=[PHONE])])
    assert (question["id"], question["raw"]) == ("+4930123456", "(030) 123 456")
    prefixes = ("00490", "0049", "01149", "490", "49", "0", "")
    assert set(question["digits"]) == {f"{prefix}30123456" for prefix in prefixes}
    assert question["digits"] == sorted(question["digits"], key=len, reverse=True)


def test_a_box_is_a_fraction_of_the_viewport_and_a_place_in_the_document() -> None:
    answer = {
        "viewport": [1000, 500],
        "scroll": [0, 300],
        "scale": 1,
        "boxes": [entry(box={"x": 100, "y": 50, "width": 200, "height": 20})],
    }
    (lead,) = boxes.placed([Lead(phones=[PHONE])], boxes.on_picture(boxes.read(answer)))
    found = lead.phones[0].phone_coordinates
    assert found is not None
    assert (found.x, found.y, found.width, found.height) == (0.1, 0.1, 0.2, 0.04)
    assert (found.absolute_x, found.absolute_y, found.viewport_height) == (100, 350, 500)
    assert lead.phones[0].phone_element_selector == "#tel"


def test_a_number_that_cannot_be_seen_has_an_element_and_no_coordinates() -> None:
    answer = {"viewport": [1000, 500], "scroll": [0, 0], "scale": 1, "boxes": [entry(box=None, seen=True)]}
    (box,) = boxes.on_picture(boxes.read(answer))
    assert (box.selector, box.coordinates, box.seen) == ("#tel", None, False)


def test_a_selector_that_is_too_long_is_left_out_and_not_cut() -> None:
    answer = {"viewport": [1, 1], "scroll": [0, 0], "scale": 1, "boxes": [entry(box=None, selector="a" * 1_001)]}
    assert boxes.on_picture(boxes.read(answer))[0].selector is None


PAGE: dict[str, object] = {"viewport": [10, 10], "scroll": [0, 0], "scale": 1}
BOX = {"x": 1, "y": 1, "width": 1, "height": 1}


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        PAGE | {"viewport": [0, 0], "boxes": [entry(box=BOX)]},
        PAGE | {"viewport": [1, "x"], "boxes": [entry(box=BOX)]},
        PAGE | {"scale": 0, "boxes": [entry(box=BOX)]},
        PAGE | {"boxes": "many"},
        PAGE | {"boxes": [7, {"id": 1}, entry(box=BOX | {"x": float("nan")}), entry(box={"x": 1}), entry(box=7)]},
        PAGE | {"boxes": [entry(box=BOX | {"x": 1e300}), entry(box=BOX | {"width": -1})]},
    ],
)
def test_nonsense_gives_no_box(answer: object) -> None:
    assert boxes.on_picture(boxes.read(answer)) == []


@pytest.mark.parametrize(
    ("moved", "same"),
    [({}, True), ({"x": 2}, True), ({"y": 4}, False), ({"height": 7}, False), ({"seen": False}, False)],
)
def test_boxes_agree_within_what_a_picture_shows(moved: dict[str, object], *, same: bool) -> None:
    def told(**changes: object) -> list[boxes.Box]:
        box = {side: changes.get(side, value) for side, value in BOX.items()}
        found = entry(box=box, seen=changes.get("seen", True))
        return boxes.on_picture(boxes.read(PAGE | {"viewport": [100, 100], "boxes": [found]}))

    assert boxes.same_places(told(), told(**moved)) == same
