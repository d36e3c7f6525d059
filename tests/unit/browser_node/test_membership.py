"""The node's own password: made once, kept, refused when it is none."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from browser_node.membership import EmptyPassword, own_password


def test_it_is_made_once_and_kept_for_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "password"
    made = own_password(file)
    assert len(made) >= 32
    assert own_password(file) == made
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert own_password(tmp_path / "another") != made


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_one_is_refused_with_the_way_out(tmp_path: Path, content: str) -> None:
    file = tmp_path / "password"
    file.write_text(content)
    with pytest.raises(EmptyPassword, match="password is empty: remove it"):
        own_password(file)
    assert file.read_text() == content
