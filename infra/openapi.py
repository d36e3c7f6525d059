"""``python -m infra.openapi``: the OpenAPI document of the API on standard output, without a running server.

What generates code from it wants the same text from the same code, whatever the environment says.
"""

from __future__ import annotations

import json

from control_plane.app import create_app
from control_plane.openapi import document
from control_plane.settings import Settings

__all__ = ["text"]


def text() -> str:
    """The document as JSON with two blanks of indentation and a final newline."""
    return json.dumps(document(create_app(Settings(), background=False)), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(text(), end="")
