"""Which Chrome is taken: the order of the places, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from browser_node import chrome_binary
from browser_node.chrome_binary import ChromeBinary, ChromeUnusable, chrome_version, find_chrome


def executable(path: Path, script: str = "#!/bin/sh\necho Chromium 1.2.3.4\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing on it: ``bin`` is its PATH, ``cache`` Playwright's."""
    monkeypatch.delenv("LEADFLEET_CHROME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "cache"))
    monkeypatch.setattr(chrome_binary, "WELL_KNOWN", (str(tmp_path / "opt" / "chrome"),))
    return tmp_path


def downloaded(machine: Path, revision: int, *, complete: bool = True) -> Path:
    folder = machine / "cache" / f"chromium-{revision}"
    binary = executable(folder / "chrome-linux64" / "chrome")
    if complete:
        (folder / "INSTALLATION_COMPLETE").touch()
    return binary


def test_none_when_there_is_none(machine: Path) -> None:
    assert find_chrome() is None


def test_the_setting_wins_over_everything(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(machine / "bin" / "chromium")
    mine = executable(machine / "mine")
    monkeypatch.setenv("LEADFLEET_CHROME", str(mine))
    assert find_chrome() == ChromeBinary(mine, "LEADFLEET_CHROME")


def test_a_setting_that_names_nothing_is_an_error_not_a_fallback(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable(machine / "bin" / "chromium")
    monkeypatch.setenv("LEADFLEET_CHROME", str(machine / "absent"))
    with pytest.raises(ChromeUnusable, match="LEADFLEET_CHROME"):
        find_chrome()


def test_chrome_on_path_comes_before_chromium_and_both_before_well_known_places(machine: Path) -> None:
    well_known = executable(machine / "opt" / "chrome")
    assert find_chrome() == ChromeBinary(well_known, "installed")
    chromium = executable(machine / "bin" / "chromium")
    assert find_chrome() == ChromeBinary(chromium, "installed")
    chrome = executable(machine / "bin" / "google-chrome")
    assert find_chrome() == ChromeBinary(chrome, "installed")


def test_playwright_newest_complete_download_comes_last(machine: Path) -> None:
    downloaded(machine, 900)
    newest = downloaded(machine, 1255)
    downloaded(machine, 1300, complete=False)
    assert find_chrome() == ChromeBinary(newest, "playwright")
    installed = executable(machine / "bin" / "chromium")
    assert find_chrome() == ChromeBinary(installed, "installed")


def test_a_package_that_forwards_to_a_snap_is_passed_over(machine: Path) -> None:
    executable(machine / "bin" / "chromium-browser", '#!/bin/sh\nexec /snap/bin/chromium "$@"\n')
    assert find_chrome() is None
    edge = executable(machine / "bin" / "microsoft-edge")
    assert find_chrome() == ChromeBinary(edge, "installed")


def test_version_is_what_the_program_prints(machine: Path) -> None:
    path = executable(machine / "chrome", "#!/bin/sh\necho Google Chrome 159.0.8154.6 beta\n")
    assert chrome_version(ChromeBinary(path, "installed")) == "Google Chrome 159.0.8154.6"


def test_a_chrome_that_lacks_a_library_says_which(machine: Path) -> None:
    path = executable(machine / "chrome", "#!/bin/sh\necho libnss3.so: cannot open >&2\nexit 127\n")
    with pytest.raises(ChromeUnusable, match=r"libnss3\.so"):
        chrome_version(ChromeBinary(path, "playwright"))


def test_the_real_chrome_of_this_machine_is_found_and_runs() -> None:
    chrome = find_chrome()
    assert chrome is not None, "make test installs one"
    assert chrome_version(chrome).split()[-1].split(".")[0].isdigit()
