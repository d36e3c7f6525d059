"""The command line against a real API."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from control_plane import cli
from tests.integration.control_plane.api.conftest import KEY, Client, Served
from tests.integration.control_plane.scheduling.world import World
from tests.support import free_port


@pytest.fixture
def local(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory as a running local stack leaves it."""
    (tmp_path / "stack.json").write_text(json.dumps({"urls": [served.url]}))
    (tmp_path / "api_key").write_text(KEY + "\n")
    monkeypatch.setenv("LEADFLEET_STATE", str(tmp_path))
    monkeypatch.delenv("LEADFLEET_URL", raising=False)
    monkeypatch.delenv("LEADFLEET_API_KEY", raising=False)
    monkeypatch.setattr(cli.console, "width", 200)
    return tmp_path


async def leadfleet(*arguments: str) -> Result:
    """Run the command in a thread: it has an event loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, cli.main, arguments)


async def test_tasks_and_nodes_are_listed(local: Path, api: Client, world: World) -> None:
    await world.node("n1")
    task = await api.start("http://a.town.test/")
    assert task in (await leadfleet("tasks")).output
    assert "n1" in (await leadfleet("nodes")).output


async def test_keys_are_made_and_revoked(local: Path, served: Served) -> None:
    made = await leadfleet("keys", "create", "--name", "reader", "--scope", "tasks:read")
    key = next(line for line in made.stdout.splitlines() if line.startswith("lfk_"))
    assert (await served.client(key).get("/api/tasks"))[0] == 200
    key_id = next(line.split()[1] for line in made.stderr.splitlines() if line.startswith("id "))
    assert (await leadfleet("keys", "revoke", key_id)).exit_code == 0
    again = await leadfleet("keys", "revoke", key_id)
    assert again.exit_code == 1
    assert "there is no API key" in again.output


async def test_a_task_that_is_refused_says_why(local: Path) -> None:
    refused = await leadfleet("scrape", "http://localhost/", "file:///etc/passwd")
    assert refused.exit_code == 1
    assert "public Internet" in refused.output
    assert "only http and https" in refused.output


async def test_nobody_there_and_no_key_are_told_in_words(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (local / "api_key").unlink()
    without = await leadfleet("tasks")
    assert (without.exit_code, "LEADFLEET_API_KEY" in without.output) == (1, True)
    monkeypatch.setenv("LEADFLEET_URL", f"http://127.0.0.1:{free_port()}")
    nobody = await leadfleet("tasks")
    assert nobody.exit_code == 1
    assert "leadfleet up" in nobody.output
    assert "Traceback" not in nobody.output
