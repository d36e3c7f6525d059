"""The container's health: a Chrome that answers, found by the port in its profile."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser_node import health
from tests.support import free_port


class _DebugPort(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/json/version" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


@pytest.fixture
def debug_port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _DebugPort) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def profile(state: Path, slot: int, content: str) -> None:
    folder = state / "slots" / str(slot) / "profile"
    folder.mkdir(parents=True)
    (folder / health.PORT_FILE).write_text(content)


def test_a_chrome_that_answers_is_enough(tmp_path: Path, debug_port: int) -> None:
    profile(tmp_path, 0, f"{free_port()}\n/devtools/browser/dead")
    profile(tmp_path, 1, f"{debug_port}\n/devtools/browser/live")
    assert health.answering(tmp_path) == [debug_port]


def test_a_chrome_that_is_just_starting_does_not_answer_yet(tmp_path: Path) -> None:
    profile(tmp_path, 0, "")
    assert health.answering(tmp_path) == []


@pytest.mark.parametrize(("live", "status"), [(True, 0), (False, 1)])
def test_the_exit_status_is_what_the_engine_reads(
    tmp_path: Path, debug_port: int, monkeypatch: pytest.MonkeyPatch, live: bool, status: int
) -> None:
    profile(tmp_path, 0, f"{debug_port if live else free_port()}\n")
    monkeypatch.setenv("LEADFLEET_STATE", str(tmp_path))
    assert health.main() == status


def test_settings_that_cannot_be_used_are_not_healthy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEADFLEET_SLOTS", "none")
    assert health.main() == 1
    assert "LEADFLEET_SLOTS" in capsys.readouterr().err
