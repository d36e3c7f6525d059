"""The secrets of compose.yaml: complete, private, made once."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from infra import containers
from tests.support import REPOSITORY


def test_it_makes_every_variable_that_compose_asks_for(tmp_path: Path) -> None:
    asked = set(re.findall(r"\$\{(\w+)", (REPOSITORY / "infra" / "compose.yaml").read_text(encoding="utf-8")))
    assert asked == set(containers.VARIABLES)
    assert containers.prepare(tmp_path)
    lines = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines())
    assert set(lines) == asked
    assert all(len(value) >= 32 for value in lines.values())


def test_the_users_have_the_passwords_of_the_variables(tmp_path: Path) -> None:
    containers.prepare(tmp_path)
    lines = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines())
    users = (tmp_path / "secrets" / "users.acl").read_text()
    assert f"user control on >{lines['CONTROL_PASSWORD']} " in users
    assert f"user join on >{lines['JOIN_PASSWORD']} " in users
    assert "user default off" in users


@pytest.mark.parametrize(("name", "mode"), [(".env", 0o600), ("secrets", 0o700)])
def test_others_on_the_machine_cannot_read_them(tmp_path: Path, name: str, mode: int) -> None:
    containers.prepare(tmp_path)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    containers.prepare(tmp_path)
    before = (tmp_path / ".env").read_text(), (tmp_path / "secrets" / "users.acl").read_text()
    assert not containers.prepare(tmp_path)
    assert before == ((tmp_path / ".env").read_text(), (tmp_path / "secrets" / "users.acl").read_text())


def test_git_does_not_see_them() -> None:
    ignored = (REPOSITORY / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"/infra/.env", "/infra/secrets/"} <= set(ignored)
