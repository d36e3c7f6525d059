"""Create ``.venv`` and install the locked dependencies into it; quick when nothing has changed.

Run as ``python3 -m infra.bootstrap.environment`` from the repository's folder, by any Python 3.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from infra.bootstrap import apt
from infra.bootstrap.console import SetupError, exit_status, progress, progress_done, say

REPOSITORY = Path(__file__).resolve().parents[2]
LOCK = REPOSITORY / "requirements" / "dev.lock"
PYTHON_FLOOR = (3, 11)


def main() -> int:
    """Exit status 0 when the environment is ready, 1 with a sentence on stderr when it cannot be made."""
    _need_python()
    venv = Path(os.environ.get("LEADFLEET_VENV") or REPOSITORY / ".venv")
    return exit_status(lambda: ensure(venv))


def ensure(venv: Path) -> None:
    """Make ``venv`` hold exactly what the lock names, and the project itself, editable."""
    stamp, wanted = venv / "leadfleet-setup", _fingerprint()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    python = venv / "bin" / "python"
    if not _has_pip(python):
        _create(venv)
    install_locked(venv, LOCK)
    _pip(python, ["--no-deps", "--no-build-isolation", "-e", str(REPOSITORY)], venv / "setup.log", 1)
    stamp.write_text(wanted)


def ensure_tools(venv: Path, lock: Path) -> None:
    """Make ``venv`` hold what ``lock`` names and nothing of ours: tools whose dependencies do not fit beside it."""
    stamp, wanted = venv / "leadfleet-tools", f"{sys.version_info[:3]} {hashlib.sha256(lock.read_bytes()).hexdigest()}"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    _create(venv)
    install_locked(venv, lock)
    stamp.write_text(wanted)


def install_locked(venv: Path, lock: Path) -> None:
    """Install what ``lock`` names into ``venv``. Raises `SetupError` with pip's words."""
    count = sum(1 for line in lock.read_text().splitlines() if "==" in line)
    say(f"installing the locked dependencies (up to {count}, checked by hash) into {venv.name}")
    # the lock is complete, so there is nothing to resolve; and of all these modules few are ever compiled
    locked = ["--require-hashes", "--no-deps", "--no-compile", "-r", str(lock)]
    _pip(venv / "bin" / "python", locked, venv / "setup.log", count)


def _fingerprint() -> str:
    """Changes whenever what has to be installed does."""
    content = LOCK.read_bytes() + (REPOSITORY / "pyproject.toml").read_bytes()
    return f"{sys.version_info[:3]} {REPOSITORY} {hashlib.sha256(content).hexdigest()}"


def _has_pip(python: Path) -> bool:
    """False as well for an environment whose interpreter has gone, or that was cut off while being made."""
    try:
        return subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True).returncode == 0
    except OSError:
        return False


def _create(venv: Path) -> None:
    say(f"creating the virtual environment {venv.name} (Python {sys.version.split()[0]})")
    make = [sys.executable, "-m", "venv", "--clear", str(venv)]
    made = subprocess.run(make, capture_output=True, text=True)
    if made.returncode == 0:
        return
    # Debian and Ubuntu keep ensurepip in a package of its own
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    if not apt.install(package):
        why = (made.stderr or made.stdout).strip()[-500:]
        raise SetupError(f"this Python cannot create virtual environments ({why}).\n  {apt.command(package)}")
    subprocess.run(make, check=True)


def _pip(python: Path, arguments: list[str], log: Path, expected: int) -> None:
    """``pip install``, drawn as a counter; its words go to ``log`` and are shown only when it fails."""
    command = [str(python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *arguments]
    seen = 0
    with (
        log.open("a", encoding="utf-8") as output,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            output.write(line)
            if line.startswith(("Collecting ", "Installing ")):
                seen += line.startswith("Collecting")
                progress(f"{min(seen, expected)}/{expected} {line.split()[1]}")
    progress_done()
    if process.returncode != 0:
        tail = "\n  ".join(log.read_text(encoding="utf-8").splitlines()[-12:])
        raise SetupError(f"pip could not install the dependencies (all of it in {log}):\n  {tail}")


def _need_python() -> None:
    """Go on under a newer interpreter of this machine when the one that runs us is too old."""
    if sys.version_info >= PYTHON_FLOOR:
        return
    for minor in range(14, PYTHON_FLOOR[1] - 1, -1):
        newer = shutil.which(f"python3.{minor}")
        if newer:
            os.execv(newer, [newer, "-m", "infra.bootstrap.environment"])  # noqa: S606
    needed = ".".join(map(str, PYTHON_FLOOR))
    sys.exit(f"Leadfleet needs Python {needed} or newer; python3 here is {sys.version.split()[0]}")


if __name__ == "__main__":
    sys.exit(main())
