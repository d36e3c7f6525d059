"""The pixels of a colour on a JPEG, and how a box lies over them."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw

from leads.model import PhoneCoordinates

Colour = tuple[int, int, int]
Area = tuple[int, int, int, int]

LEAST_CONTRAST = 50  # between a channel that the colour has and one that it lacks; JPEG and dimming leave 90 and more

PADDING = 5
"""A line of text is higher than its digits, by some pixels at the sizes that are drawn."""

FEW = 20
COVERED = 0.95
LARGEST = 1.3


@dataclass(frozen=True)
class Overlay:
    """A picture as a viewer gets it, on which boxes are drawn."""

    image: Image.Image

    @classmethod
    def of(cls, jpeg: bytes) -> Overlay:
        return cls(Image.open(BytesIO(jpeg)).convert("RGB"))

    def area(self, box: PhoneCoordinates) -> Area:
        """``box`` in pixels of this picture, whatever its size."""
        width, height = self.image.size
        return (
            round(box.x * width - 0.5),
            round(box.y * height - 0.5),
            round((box.x + box.width) * width + 0.5),
            round((box.y + box.height) * height + 0.5),
        )

    def fault(self, box: PhoneCoordinates, colour: Colour) -> str | None:
        """What is wrong with ``box`` as a frame around everything that has ``colour``."""
        mask = self.mask(colour)
        drawn = mask.getbbox()
        if drawn is None:
            return "the number is not on the picture"
        area = self.area(box)
        covered = _count(mask.crop(area)) / _count(mask)
        if covered < COVERED:
            return f"the box {area} covers {covered:.0%} of the number, which is at {drawn}"
        padded = (drawn[2] - drawn[0] + 2 * PADDING) * (drawn[3] - drawn[1] + 2 * PADDING)
        size = (area[2] - area[0]) * (area[3] - area[1])
        if size > LARGEST * padded:
            return f"the box {area} is {size / padded:.1f} times the number, which is at {drawn}"
        return None

    def shows(self, colour: Colour) -> bool:
        """Whether more than a few pixels have ``colour``."""
        return _count(self.mask(colour)) > FEW

    def save(self, path: Path, *boxes: PhoneCoordinates) -> Path:
        """The picture with ``boxes``, for people to look at."""
        painted = self.image.copy()
        for box in boxes:
            ImageDraw.Draw(painted).rectangle(self.area(box), outline=(0, 120, 0), width=2)
        painted.save(path, quality=90)
        return path

    def mask(self, colour: Colour) -> Image.Image:
        """White where every channel of ``colour`` outshines every channel that it lacks."""
        channels = self.image.split()
        mask = Image.new("L", self.image.size, 255)
        for strong in (channel for channel, level in zip(channels, colour, strict=True) if level):
            for weak in (channel for channel, level in zip(channels, colour, strict=True) if not level):
                difference = ImageChops.subtract(strong, weak)
                mask = ImageChops.darker(mask, difference.point(lambda value: 255 if value > LEAST_CONTRAST else 0))
        return mask


def _count(mask: Image.Image) -> int:
    return mask.histogram()[255]
