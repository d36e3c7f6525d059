"""The set-up: what it does again, what it leaves alone, and what it says when it cannot go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from browser_node.chrome_binary import ChromeBinary, ChromeUnusable
from infra.bootstrap import apt, browsers, chromium, environment
from infra.bootstrap.console import SetupError

CHROME = ChromeBinary(Path("/opt/chrome"), "installed")


class Machine:
    """What the set-up asks of a machine, recorded; ``has`` is the Chrome it finds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, distribution: str) -> None:
        self.has: ChromeBinary | None = None
        self.download_works = False
        self.apt_works = False
        self.did: list[str] = []
        monkeypatch.setattr(apt, "distribution", lambda: distribution)
        monkeypatch.setattr(apt, "install", lambda *packages: self._get("apt", self.apt_works))
        monkeypatch.setattr(chromium, "_download", lambda: self._get("download", self.download_works))
        monkeypatch.setattr(chromium, "find_chrome", lambda: self.has)
        monkeypatch.setattr(chromium, "chrome_version", lambda chrome: "Chromium 1")

    def _get(self, how: str, works: bool) -> bool:
        self.did.append(how)
        if works:
            self.has = CHROME
        return works


def test_a_chrome_that_is_here_is_taken_and_nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, distribution="debian")
    machine.has = CHROME
    assert chromium.ensure() == (CHROME, "Chromium 1")
    assert machine.did == []


def test_the_download_comes_first_and_the_package_only_where_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, distribution="debian")
    machine.apt_works = True
    assert chromium.ensure()[0] == CHROME
    assert machine.did == ["download", "apt"]


@pytest.mark.parametrize(
    ("distribution", "said"), [("debian", "apt-get install -y chromium"), ("ubuntu", "not a snap")]
)
def test_where_nothing_works_it_says_what_to_type(
    monkeypatch: pytest.MonkeyPatch, distribution: str, said: str
) -> None:
    machine = Machine(monkeypatch, distribution=distribution)
    with pytest.raises(SetupError, match=said):
        chromium.ensure()
    assert machine.did == (["download", "apt"] if distribution == "debian" else ["download"])


def test_a_named_chrome_that_does_not_run_is_the_callers_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, distribution="debian")
    machine.has = ChromeBinary(Path("/opt/mine"), "LEADFLEET_CHROME")

    def broken(chrome: ChromeBinary) -> str:
        raise ChromeUnusable(chrome.path, "libnss3.so is missing")

    monkeypatch.setattr(chromium, "chrome_version", broken)
    with pytest.raises(ChromeUnusable, match="libnss3"):
        chromium.ensure()
    assert machine.did == [], "nothing is installed over somebody's own choice"


def test_an_environment_that_fits_the_lock_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    did: list[str] = []
    monkeypatch.setattr(environment, "LOCK", tmp_path / "dev.lock")
    monkeypatch.setattr(environment, "_has_pip", lambda python: python.exists())
    monkeypatch.setattr(environment, "_create", lambda venv: did.append("create"))
    monkeypatch.setattr(environment, "_pip", lambda *arguments: did.append("pip"))
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)

    environment.LOCK.write_text("a==1 --hash=…\n")
    environment.ensure(venv)
    assert did == ["create", "pip", "pip"]

    did.clear()
    environment.ensure(venv)
    assert did == [], "the second time there is nothing to do"

    (venv / "bin" / "python").touch()
    environment.LOCK.write_text("a==2 --hash=…\n")
    environment.ensure(venv)
    assert did == ["pip", "pip"], "another lock is installed into the same environment"


def test_pip_says_why_it_failed(tmp_path: Path) -> None:
    python = program(tmp_path, "echo Collecting something; echo ERROR: hashes do not match; exit 1")
    with pytest.raises(SetupError, match="hashes do not match"):
        environment._pip(Path(python), ["-r", "x"], tmp_path / "log", 1)


def test_a_download_that_fails_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(chromium.sys, "executable", program(tmp_path, "echo Error: no route to host; exit 1"))
    assert chromium._download() is False
    assert capsys.readouterr().out == "· Playwright could not download one (no route to host)\n"


def test_a_download_that_hangs_is_cut_off_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(chromium, "DOWNLOAD_TIMEOUT_S", 0.2)
    monkeypatch.setattr(chromium.sys, "executable", program(tmp_path, "sleep 600 & wait"))
    assert chromium._download() is False
    assert "deadline" in capsys.readouterr().out


@pytest.mark.parametrize("allowed", [True, False])
def test_only_the_browsers_that_are_missing_are_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], allowed: bool
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(browsers, "install_locked", lambda venv, lock: None)
    monkeypatch.setattr(browsers.sys, "prefix", str(tmp_path))
    monkeypatch.setattr(browsers.shutil, "which", lambda name: name if name in {"firefox-esr", "Xvfb"} else None)
    monkeypatch.setattr(apt, "install", lambda *packages: asked.append(packages) or allowed)
    assert browsers.main() == 0, "the tests of what is missing are skipped"
    assert asked == [("chromium-driver", "webkit2gtk-driver")]
    assert ("apt-get install -y chromium-driver webkit2gtk-driver" in capsys.readouterr().out) is not allowed


def test_what_drives_browsers_is_installed_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed: list[Path] = []
    monkeypatch.setattr(browsers, "install_locked", lambda venv, lock: installed.append(lock))
    monkeypatch.setattr(browsers.sys, "prefix", str(tmp_path))
    monkeypatch.setattr(browsers, "find", lambda program: program)
    assert [browsers.main(), browsers.main()] == [0, 0]
    assert installed == [browsers.LOCK]


def program(folder: Path, script: str) -> str:
    file = folder / "program"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(file)
