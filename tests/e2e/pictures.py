"""What is seen on screenshots."""

from __future__ import annotations

from PIL import Image, ImageChops

from infra.sample_town.workshop_sites import CLOCK_PHONE_COLOUR

NEAR = 60
"""Of 255, by channel: JPEG does not keep colours exactly. No other of the pages looked at comes near."""


def patch(picture: Image.Image, colour: str = CLOCK_PHONE_COLOUR, near: int = NEAR) -> tuple[int, int, int, int] | None:
    """Where a picture has a colour: ``left, top, right, bottom`` in pixels. By default around the clock's number."""
    wanted = Image.new("RGB", picture.size, colour)
    channels = ImageChops.difference(picture, wanted).split()
    red, green, blue = (channel.point([255] * near + [0] * (256 - near)) for channel in channels)
    return ImageChops.darker(red, ImageChops.darker(green, blue)).getbbox()


def differ(one: Image.Image, other: Image.Image) -> bool:
    """Whether two screenshots of the same size show different things."""
    return ImageChops.difference(one, other).getbbox() is not None
