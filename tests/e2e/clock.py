"""The coloured patch around the phone number of the town's clock, by which a box is seen to lie where it should."""

from __future__ import annotations

from typing import Any

import pytest

PADDING_PX = (22, 10)
"""Of the patch around the number, in the page's own pixels."""


def assert_on_patch(seen: dict[str, Any]) -> None:
    """The box frames the number: it lies within its coloured patch, away from each edge by the patch's padding.

    ``box`` and ``patch`` are ``left, top, right, bottom`` on the screen; ``scale`` is its pixels to one of the page.
    """
    (left, top, right, bottom), patch, scale = seen["box"], seen["patch"], seen["scale"]
    across, down = (length * scale for length in PADDING_PX)
    assert (left - patch[0], patch[2] - right) == pytest.approx((across, across), abs=4), seen
    assert (top - patch[1], patch[3] - bottom) == pytest.approx((down, down), abs=8), seen
