"""The command line against a real API."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from control_plane import cli, cli_fleet
from tests.integration.control_plane.api.conftest import KEY, Client, Served
from tests.integration.control_plane.scheduling.world import World
from tests.support import REPOSITORY, free_port


@pytest.fixture
def local(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory as a running local stack leaves it."""
    (tmp_path / "stack.json").write_text(json.dumps({"urls": [served.url]}))
    (tmp_path / "api_key").write_text(KEY + "\n")
    monkeypatch.setenv("LEADFLEET_STATE", str(tmp_path))
    monkeypatch.delenv("LEADFLEET_URL", raising=False)
    monkeypatch.delenv("LEADFLEET_API_KEY", raising=False)
    return tmp_path


async def leadfleet(*arguments: str) -> Result:
    """Run the command in a thread: it has an event loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, cli.main, arguments)


def last_line(result: Result) -> str:
    """What the command said; the replica, which runs in this process, logs before it."""
    return result.output.splitlines()[-1]


async def test_tasks_and_nodes_are_listed(local: Path, api: Client, world: World) -> None:
    await world.node("n1")
    task = await api.start("http://a.town.test/")
    assert task in (await leadfleet("tasks")).output
    assert "n1" in (await leadfleet("nodes")).output


async def test_nodes_are_listed_from_all_pages(
    local: Path, api: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_fleet, "LISTED_AT_ONCE", 2)
    for number in range(5):
        await world.node(f"n{number}")
    listed = (await leadfleet("nodes")).output.splitlines()
    assert [line.split("\t")[0] for line in listed] == [f"n{number}" for number in range(5)]


async def test_a_tenant_is_limited(local: Path, api: Client, world: World) -> None:
    limited = await leadfleet("tenants", "limit", "acme", "--max-running", "3", "--max-queued", "70")
    assert (limited.exit_code, last_line(limited)) == (0, "acme: running 3, queued 70")
    assert await world.client.hmget(world.keys.tenant("acme"), "max_running", "max_queued") == [b"3", b"70"]
    again = await leadfleet("tenants", "limit", "acme", "--max-queued", "default")
    assert last_line(again) == "acme: running 3, queued as the fleet has it"
    assert last_line(await leadfleet("tenants", "limit", "acme")) == last_line(again), "without options it only tells"
    for wrong in ("0", "many", "-1"):
        assert (await leadfleet("tenants", "limit", "acme", "--max-running", wrong)).exit_code == 2
    assert (await leadfleet("tenants", "limit", "../keys")).exit_code == 2


async def test_a_node_is_drained(local: Path, api: Client, world: World) -> None:
    await world.node("n1", slots=2)
    await api.start("http://a.town.test/")
    drained = await leadfleet("nodes", "drain", "n1")
    assert (drained.exit_code, "1 of 2 slots are still at work" in drained.output) == (0, True), drained.output
    assert (await leadfleet("nodes", "drain", "n1")).exit_code == 0, "said twice it is the same"
    assert (await leadfleet("nodes", "drain", "n2")).exit_code == 1
    assert (await leadfleet("nodes", "drain", "../keys")).exit_code == 2
    assert await world.free() == []
    await world.leave("n1")
    assert "down already" in (await leadfleet("nodes", "drain", "n1")).output
    await world.node("n1", slots=2, boot="another")
    assert (await world.slot("n1/0"))["state"] == "leased", "an agent in its place serves again"


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


async def test_piped_lists_are_whole_and_plain(local: Path, api: Client) -> None:
    url = f"http://a.town.test/{'long/' * 40}"
    task = await api.start(url, "http://b.town.test/[red]")
    listed = (await leadfleet("tasks")).stdout
    assert f"{task}\tqueued\t0\t0\t\t{url} http://b.town.test/[red]\n" in listed


async def test_a_task_is_stopped_by_its_id(local: Path, api: Client) -> None:
    task = await api.start("http://a.town.test/")
    stopped = await leadfleet("stop", task)
    assert stopped.exit_code == 0
    assert f"stopped {task}\n" in stopped.output
    assert (await api.get(f"/api/tasks/{task}"))[1]["status"] == "stopped"


async def test_ctrl_c_stops_the_task_and_says_so(local: Path, api: Client) -> None:
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "control_plane.cli", "scrape", "http://a.town.test/", "-o", str(local / "x.csv"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=REPOSITORY,
    )  # fmt: skip
    assert command.stdout is not None
    task = (await command.stdout.readline()).decode().removeprefix("task ").strip()
    command.send_signal(signal.SIGINT)
    shown, said = await asyncio.wait_for(command.communicate(), 30)
    assert command.returncode == 130
    assert shown.decode() == f"stopped: 0 leads from 0 pages\nno leads, so {local / 'x.csv'} was not written\n"
    assert b"stopping the task" in said
    assert (await api.get(f"/api/tasks/{task}"))[1]["status"] == "stopped"


async def test_no_key_says_where_it_was_looked_for(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (local / "api_key").write_text("lfk_of_another_stack")
    assert f"the key in {local / 'api_key'} was refused" in (await leadfleet("tasks")).output
    (local / "api_key").unlink()
    without = await leadfleet("tasks")
    assert without.exit_code == 1
    for named in ("LEADFLEET_API_KEY", str(local / "api_key"), "LEADFLEET_STATE"):
        assert named in without.output
    monkeypatch.setenv("LEADFLEET_API_KEY", "lfk_wrong")
    assert "the key in LEADFLEET_API_KEY was refused" in (await leadfleet("tasks")).output


async def test_nobody_there_is_told_in_words(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("LEADFLEET_URL", url)
    nobody = await leadfleet("tasks")
    assert nobody.exit_code == 1
    assert f"nobody answers at {url} (connection refused): start a stack with `leadfleet up`" in nobody.output
    monkeypatch.setenv("LEADFLEET_URL", "localhost:18077")
    assert "must begin with http:// or https://" in (await leadfleet("tasks")).output
