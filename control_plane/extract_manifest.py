"""Extraction over saved pages, without any server: what ``leadfleet extract --manifest FILE`` runs.

The manifest is JSON lines ``{"id", "path", "url"}``; a relative path is relative to the manifest. One JSON line
a page goes out: ``{"id", "leads": [Lead …]}``, in the manifest's order, with ``"error"`` in place of leads for
a page that cannot be read.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TextIO

from leads.extract import extract

_CHARSET = re.compile(rb"""charset\s{0,3}=\s{0,3}["']?\s{0,3}([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_SNIFFED_BYTES = 4_096  # HTML asks for the declaration in the first 1,024; pages are less strict
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_FALLBACK = "cp1252"  # what browsers take for undeclared western pages


def main(path: Path, out: TextIO) -> None:
    """Read the manifest at ``path`` and write one line a page to ``out``.

    Raises ``OSError`` if the manifest cannot be read and ``ValueError``, naming the line, if it is malformed.
    """
    with path.open(encoding="utf-8") as manifest:
        for number, line in enumerate(manifest, start=1):
            if line.strip():
                out.write(json.dumps(_answer(line, number, path.parent), ensure_ascii=False) + "\n")


def _answer(line: str, number: int, folder: Path) -> dict[str, object]:
    try:
        entry = json.loads(line)
        ident, page, url = entry["id"], folder / entry["path"], entry["url"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"manifest line {number} is not {{id, path, url}}: {line.strip()[:200]}") from error
    try:
        html = decode_html(page.read_bytes())
    except OSError as error:
        return {"id": ident, "leads": [], "error": str(error)}
    return {"id": ident, "leads": [lead.model_dump(mode="json", exclude_none=True) for lead in extract(html, url)]}


def decode_html(data: bytes) -> str:
    """The bytes of a page as text: byte order mark, then the declared charset, then UTF-8, then windows-1252."""
    for bom, charset in _BOMS:
        if data.startswith(bom):
            return data[len(bom) :].decode(charset, "replace")
    declared = _CHARSET.search(data[:_SNIFFED_BYTES])
    for charset in ("utf-8", declared[1].decode("ascii") if declared else _FALLBACK):
        try:
            return data.decode(charset)
        except (LookupError, UnicodeDecodeError):
            continue
    return data.decode(_FALLBACK, "replace")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.stdout)
