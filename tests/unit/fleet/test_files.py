"""A file is there whole or not at all: the writer is ended at each of its calls to the kernel."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fleet.files import write_whole

STEPS = ("open", "fchmod", "fsync", "replace", "close")

ENDED_AT = """
import os, pathlib, signal, sys
from fleet.files import write_whole
file, step = pathlib.Path(sys.argv[1]), sys.argv[2]
def end(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(pathlib.Path if step == "replace" else os, step, end)
write_whole(file, "the new one")
"""


def test_it_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "password"
    write_whole(file, "secret")
    assert file.read_text() == "secret"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [left.name for left in tmp_path.iterdir()] == ["password"]


@pytest.mark.parametrize("before", [None, "the old one"])
@pytest.mark.parametrize("step", STEPS)
def test_a_writer_that_is_ended_leaves_the_old_or_the_new(tmp_path: Path, step: str, before: str | None) -> None:
    file = tmp_path / "password"
    if before is not None:
        file.write_text(before)
    done = subprocess.run([sys.executable, "-c", ENDED_AT, str(file), step], timeout=30)
    assert done.returncode == -signal.SIGKILL
    after = file.read_text() if file.exists() else None
    assert after == ("the new one" if step == "close" else before)
    write_whole(file, "the next one")
    assert file.read_text() == "the next one", "what the other left is in nobody's way"


def test_its_bytes_are_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a machine that stops may leave the name and no bytes."""
    file, done = tmp_path / "password", []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        done.append(f"fsync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def replaced(path: Path, target: Path) -> Path:
        done.append(f"{path.name} → {target.name}")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    write_whole(file, "secret")
    assert done == ["fsync password.new", "password.new → password", f"fsync {tmp_path.name}"]
