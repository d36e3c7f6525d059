"""What operators read is what the code has: every setting of a node, and every file that is linked. The control plane's
settings and the metrics are held to the same page by ``test_routes``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from browser_node.settings import Settings
from egress.settings import Settings as EgressSettings

ROOT = Path(__file__).resolve().parents[2]


def test_every_setting_of_a_node_is_listed() -> None:
    _, _, page = (ROOT / "docs/reference.md").read_text(encoding="utf-8").partition("## Settings of a browser node")
    for name, field in Settings.model_fields.items():
        assert f"| `LEADFLEET_{name.upper()}` |" in page
        assert (field.description or "?").replace("|", "/") in page


def test_every_setting_of_the_egress_proxy_is_listed_once() -> None:
    text = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    before, *pages = text.split("## Settings of the egress proxy\n")
    assert before
    (page,) = (page.partition("\n## ")[0] for page in pages)
    rows = re.findall(r"^\| `(LEADFLEET_\w+)` \|[^|]*\| (.*) \|$", page, re.MULTILINE)
    assert rows == [
        (f"LEADFLEET_{name.upper()}", field.description) for name, field in EgressSettings.model_fields.items()
    ]


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_readme_sets_what_its_commands_use() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    known: set[str] = set()
    for command in re.findall(r"^    (.*)", page, re.MULTILINE):
        assert set(re.findall(r"\$([A-Z]+)", command)) <= known, command
        known |= set(re.findall(r"^([A-Z]+)=", command))
    assert known == {"KEY", "API", "TASK", "TOKEN"}
