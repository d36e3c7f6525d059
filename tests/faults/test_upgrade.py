"""Scenario 33: two versions of a message in one stream, as an upgrade of a fleet at work brings it about."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet import PROTOCOL_VERSION
from infra.upgrade.next_version import NEXT, NotUpgradable, make_next_version
from infra.upgrade.rollout import NODES, REPLICAS, upgrade


@pytest.mark.faults
async def test_33_an_upgrade_under_load_fails_no_request_and_loses_no_task(tmp_path: Path) -> None:
    report = await upgrade(tmp_path)
    print(report)
    assert len(report.steps) == REPLICAS + NODES
    assert report.failed == []
    assert report.lost == {}
    assert (report.repeated, report.missed) == (0, 0)
    assert report.tasks > report.streams > report.resumed > 0
    for side in ("nodes", "replicas"):
        assert set(report.versions[side]) == {str(PROTOCOL_VERSION), str(NEXT)}, "both versions were in use"


def test_the_next_version_is_of_this_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = make_next_version(tmp_path / "next")
    assert f"PROTOCOL_VERSION = {NEXT}" in (code / "fleet" / "__init__.py").read_text()
    monkeypatch.setitem(
        make_next_version.__globals__["_CHANGES"], "fleet/__init__.py", ("what is not there", "something else")
    )
    with pytest.raises(NotUpgradable, match=r"fleet/__init__.py does not hold 'what is not there' once"):
        make_next_version(tmp_path / "again")
