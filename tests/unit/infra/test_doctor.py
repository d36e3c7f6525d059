"""What the doctor says of a machine, well and ill."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from infra import doctor
from infra.doctor import Finding, Verdict


def test_this_machine_lacks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.run() == 0
    shown = capsys.readouterr().out
    for what in ("Python", "Chrome", "sandbox", "Valkey", "port", "disk", "shared memory"):
        assert what in shown
    assert "Leadfleet can run here" in shown


def test_what_is_missing_comes_with_a_remedy_and_a_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ill = Finding("Valkey", Verdict.MISSING, "no server", "make setup")
    monkeypatch.setattr(doctor, "CHECKS", (lambda: ill,))
    assert doctor.run() == 1
    shown = capsys.readouterr().out
    assert "missing" in shown
    assert "make setup" in shown
    assert "cannot run here yet: 1 missing" in shown


def test_no_chrome_is_missing_and_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_chrome", lambda: None)
    finding = doctor.check_chrome()
    assert finding.verdict is Verdict.MISSING
    assert "playwright install" in finding.remedy


def test_a_chrome_that_does_not_run_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEADFLEET_CHROME", str(tmp_path / "absent"))
    assert doctor.check_chrome().verdict is Verdict.MISSING


def test_a_taken_port_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(doctor, "DEFAULT_HTTP_PORT", taken.getsockname()[1])
        assert doctor.check_port().verdict is Verdict.NOTE
    assert doctor.check_port().verdict is Verdict.OK


def test_a_full_disk_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DISK_NEEDED", 2**60)
    assert doctor.check_disk().verdict is Verdict.MISSING
