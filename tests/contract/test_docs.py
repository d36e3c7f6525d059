"""What operators read is what the code has: every setting, every metric, every file that is linked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from browser_node.settings import Settings as NodeSettings
from control_plane.settings import Settings as ControlPlaneSettings

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("settings", [ControlPlaneSettings, NodeSettings])
def test_every_setting_is_listed(settings: type[ControlPlaneSettings] | type[NodeSettings]) -> None:
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    for name, field in settings.model_fields.items():
        assert f"| `LEADFLEET_{name.upper()}` |" in page
        assert (field.description or "?").replace("|", "/") in page


def test_every_metric_is_listed_and_no_other() -> None:
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    source = (ROOT / "control_plane/telemetry.py").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(leadfleet_\w+)` \|", page, re.MULTILINE))
    assert listed == set(re.findall(r'"(leadfleet_\w+)"', source))


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
