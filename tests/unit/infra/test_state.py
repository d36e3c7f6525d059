"""What a stack keeps between two runs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from control_plane.keyring import KEY_PREFIX
from infra.stack.errors import StateUnusable
from infra.stack.state import Secrets, StateDirectory


def test_its_key_looks_like_every_other_key(tmp_path: Path) -> None:
    assert StateDirectory(tmp_path).secrets().api_key.startswith(KEY_PREFIX)


def test_a_key_of_an_earlier_run_is_kept_whatever_it_looks_like(tmp_path: Path) -> None:
    earlier = Secrets(control_password="c", join_password="j", signing_secret="s", api_key="lf_earlier")
    (tmp_path / "secrets.json").write_text(json.dumps(asdict(earlier)))
    assert StateDirectory(tmp_path).secrets() == earlier


def test_a_folder_that_cannot_be_made_is_told_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateUnusable, match=r"file/state cannot be used \(Not a directory\): set LEADFLEET_STATE"):
        StateDirectory(tmp_path / "file" / "state").acquire()
