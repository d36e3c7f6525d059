"""Scratch folders of processes that live and of one that was killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from control_plane.store.scratch import Scratch

_HOLD = """
import sys
from pathlib import Path
from control_plane.store.scratch import Scratch
with Scratch(Path(sys.argv[1])) as scratch:
    (scratch.path / "rows").write_text("x")
    print(scratch.path, flush=True)
    sys.stdin.read()
"""


def hold(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_worker_left_is_removed_and_what_a_living_one_uses_is_not(tmp_path: Path) -> None:
    killed, left = hold(tmp_path)
    living, used = hold(tmp_path)
    try:
        killed.kill()
        killed.communicate()
        assert left.exists()
        with Scratch(tmp_path) as own:
            assert not left.exists()
            assert (used / "rows").exists()
            assert own.path.parent == tmp_path
        assert not own.path.exists()
    finally:
        living.communicate("", timeout=10)
    assert living.returncode == 0
    assert list(tmp_path.iterdir()) == []
