"""Settings from files: read once, refused when they are given twice, never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet.environment import BadSettingFile, from_files


def test_a_file_holds_the_value_without_its_last_newline(tmp_path: Path) -> None:
    file = tmp_path / "join_url"
    file.write_text("redis://join:secret@valkey:6379/0\n")
    environment = {"LEADFLEET_JOIN_URL_FILE": str(file), "LEADFLEET_SLOTS": "2", "OTHER_FILE": str(tmp_path / "no")}
    assert from_files(environment) == {"LEADFLEET_JOIN_URL": "redis://join:secret@valkey:6379/0"}


def test_an_empty_name_is_no_file() -> None:
    assert from_files({"LEADFLEET_SECRET_FILE": ""}) == {}


def test_a_setting_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("the one of the file")
    with pytest.raises(BadSettingFile, match="LEADFLEET_SECRET is set too") as told:
        from_files({"LEADFLEET_SECRET_FILE": str(file), "LEADFLEET_SECRET": "the other"})
    assert "the one of the file" not in str(told.value)
    assert "the other" not in str(told.value)


@pytest.mark.parametrize("content", ["", "\n", " \n"])
def test_a_file_without_a_value_is_refused(tmp_path: Path, content: str) -> None:
    """It is what a machine leaves that stopped while the file was written."""
    file = tmp_path / "secret"
    file.write_text(content)
    with pytest.raises(BadSettingFile, match=f"LEADFLEET_SECRET_FILE: {file} is empty"):
        from_files({"LEADFLEET_SECRET_FILE": str(file)})


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xff"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadSettingFile, match=f"LEADFLEET_SECRET_FILE: {file} cannot be read"):
        from_files({"LEADFLEET_SECRET_FILE": str(file)})
