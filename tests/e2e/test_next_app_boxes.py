"""The box of a phone in the Next app's live view, held against the pixels of the picture it is drawn on."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pytest
from PIL import Image, ImageChops
from playwright.async_api import expect

from tests.e2e.next_app import NextApp
from tests.e2e.tab import PATIENCE_MS
from tests.stacks import Client, Gate
from tests.support import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

GROUND = (255, 0, 200)
"""What the number stands on, and nothing else on that page: the ground of an inline text ends where its box does."""

BOX = (22, 163, 74)
"""Of the frame that the client draws."""

NEAR = 60
"""How far a JPEG and a scaled picture may be off, of 255."""

GAP_PX = (-1.0, 3.0)
"""What may lie between the number's ground and the inner edge of its frame; the client means it to be 1 CSS pixel."""

HOST = "painted.gate.test"
PAINTED = """<!doctype html><meta charset="utf-8"><title>Painted</title>
<style>
  body { margin: 0; background: #fff; font: 40px/2 "DejaVu Sans", sans-serif; }
  p { margin: 190px 0 0 420px; }
  span { background: rgb(255, 0, 200); color: #000; }
</style>
<p><span>(202) 555-0142</span></p>
"""

SHAPES = {"16 / 9": False, "4 / 3": True, "21 / 9": True}
"""Of the stage, and whether a picture of 1280 x 720 leaves bars on it."""


@dataclass(frozen=True)
class Seen:
    """``gaps`` are the CSS pixels from the number's ground to its frame: left, top, right and bottom."""

    gaps: tuple[float, float, float, float]
    letterboxed: bool


@pytest.mark.parametrize("page", [1, 2], indirect=True, ids=["1x", "2x"])
async def test_a_box_lies_around_its_number(app: NextApp, client: Client, gate: Gate) -> None:
    gate.open[HOST] = PAINTED
    page = app.page
    density = await page.evaluate("devicePixelRatio")
    task = await app.start(*[f"http://{HOST}/"] * 50)
    await expect(page.get_by_text("Opened page").first).to_be_visible()
    for shape, letterboxed in SHAPES.items():
        await page.locator(".stage").evaluate("(stage, shape) => { stage.style.aspectRatio = shape; }", shape)

        async def boxed() -> Seen | None:
            return measured(await app.picture(), density)

        seen = await wait_until(boxed, timeout=PATIENCE_MS / 1000, description=f"a box at {shape}")
        assert seen is not None
        assert seen.letterboxed == letterboxed, (shape, seen)
        assert all(GAP_PX[0] <= gap <= GAP_PX[1] for gap in seen.gaps), (shape, seen)
    await client.post(f"/api/scraper/stop/{task}")
    await app.ended("stopped")


def measured(png: bytes, density: int) -> Seen | None:
    """What a picture of the stage shows; None while it shows no number, or no box."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    ground, frame = _like(image, GROUND), _like(image, BOX)
    patch, box = ground.getbbox(), frame.getbbox()
    if patch is None or box is None:
        return None
    left, top, right, bottom = patch
    middle, end = (top + bottom) // 2, right - 4 * density  # the label above the frame ends before that
    gaps = (
        left - _last(frame.crop((0, middle, left, middle + 1)), 0),
        top - _last(frame.crop((end, 0, end + 1, top)), 1),
        _first(frame.crop((right, middle, image.width, middle + 1)), 0),
        _first(frame.crop((end, bottom, end + 1, image.height)), 1),
    )
    corner = image.getpixel((2 * density, image.height // 2)), image.getpixel((image.width // 2, 2 * density))
    letterboxed = (0, 0, 0) in corner
    across, upward, over, down = (gap / density for gap in gaps)
    return Seen((across, upward, over, down), letterboxed)


def _like(image: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """White where the picture has nearly that colour, black elsewhere."""
    near = [
        band.point(lambda value, wanted=wanted: 255 if abs(value - wanted) < NEAR else 0)
        for band, wanted in zip(image.split(), colour, strict=True)
    ]
    return ImageChops.darker(ImageChops.darker(near[0], near[1]), near[2])


def _last(line: Image.Image, axis: int) -> float:
    """Behind the last white pixel of a line; far away where there is none."""
    box = line.getbbox()
    return box[axis + 2] if box else float("-inf")


def _first(line: Image.Image, axis: int) -> float:
    """The first white pixel of a line; far away where there is none."""
    box = line.getbbox()
    return box[axis] if box else float("inf")
