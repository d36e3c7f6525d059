"""Extraction over saved pages: the manifest in, one line a page out, and bytes of every charset."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from control_plane.extract_manifest import decode_html, main


def test_one_line_a_page_in_the_manifests_order(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<title>Café Roma</title><p>info@cafe-roma.it</p>", encoding="utf-8")
    rows = [
        {"id": "b", "path": "missing.html", "url": "https://b.it/"},
        {"id": "a", "path": "a.html", "url": "https://cafe-roma.it/"},
    ]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    out = io.StringIO()
    main(manifest, out)
    missing, found = map(json.loads, out.getvalue().splitlines())
    assert (missing["id"], missing["leads"]) == ("b", [])
    assert "missing.html" in missing["error"]
    assert (found["id"], found["leads"][0]["emails"]) == ("a", ["info@cafe-roma.it"])
    assert found["leads"][0]["display_name"] == "Café Roma"


def test_a_malformed_line_is_named(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text('{"id": "a"}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="manifest line 1"):
        main(manifest, io.StringIO())


@pytest.mark.parametrize(
    "data",
    [
        "Größe".encode(),
        b"\xef\xbb\xbf" + "Größe".encode(),
        b"\xff\xfe" + "Größe".encode("utf-16-le"),
        b"<meta charset='iso-8859-1'>" + "Größe".encode("iso-8859-1"),
        b"<meta charset='no-such-charset'>" + "Größe".encode("cp1252"),
        "Größe".encode("cp1252"),
    ],
    ids=["utf-8", "bom", "utf-16", "declared", "unknown charset", "undeclared"],
)
def test_charsets(data: bytes) -> None:
    assert decode_html(data).endswith("Größe")
