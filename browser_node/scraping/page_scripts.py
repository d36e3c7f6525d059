"""The programs that run inside pages. They are data files; what they take and return stands in their heads."""

from __future__ import annotations

from importlib import resources

_FOLDER = resources.files(__package__)


def _source(name: str) -> str:
    """The function in a script, without the comment above it (an expression may begin with none)."""
    lines = _FOLDER.joinpath(name).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("//"))


WATCH = _source("watch.js")
SNAPSHOT = f"(options) => ({_source('snapshot.js')})(options, {_source('banners.js')})"
FRAME_SNAPSHOT = f"(options) => ({_source('snapshot.js')})(options, null)"
BOXES = _source("boxes.js")
