"""The demo before its stack runs, and what its screen makes of events."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from infra.demo.screen import Progress
from tests.support import REPOSITORY


def test_ctrl_c_during_its_imports_is_no_traceback(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "infra.demo"],
        cwd=REPOSITORY,
        env=os.environ | {"LEADFLEET_STATE": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert demo.stdout is not None
    assert demo.stdout.readline().startswith("starting")
    demo.send_signal(signal.SIGINT)
    _, said = demo.communicate(timeout=30)
    assert (demo.returncode, said) == (130, "")


def test_a_number_that_has_no_international_form_is_shown_as_it_stood() -> None:
    seen = Progress(live_view="")
    phones = [{"raw": "030 1", "international": "+49 30 1"}, {"raw": "0800 PIZZA", "international": None}]
    seen.see({"type": "result", "data": {"name": "A", "phones": phones}})
    assert seen.newest == ["A  +49 30 1, 0800 PIZZA"]
