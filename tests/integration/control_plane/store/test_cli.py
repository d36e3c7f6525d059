"""Leads on the command line: lists, files, and tasks that have none."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from redis.asyncio import Redis

from control_plane import cli
from control_plane.settings import Settings
from control_plane.store.client import LeadStore
from control_plane.store.options import StoreOptions
from fleet.keys import Keys
from tests.integration.control_plane.api.conftest import KEY, Client, serving
from tests.integration.control_plane.store.sample import found, lead


@pytest.fixture
async def api(store: LeadStore, options: StoreOptions, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """A client of a replica that has the test's store, which is the one that `leadfleet` uses."""
    settings = Settings(redis_url=options.redis_url, fleet="test", bootstrap_key=KEY, secret="s" * 32)
    async with serving(settings) as served:
        served.services.store = store
        monkeypatch.setenv("LEADFLEET_URL", served.url)
        monkeypatch.setenv("LEADFLEET_API_KEY", KEY)
        yield served.client()


async def leadfleet(*arguments: str) -> Result:
    """Run the command in a thread: it has an event loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, cli.main, arguments)


async def test_leads_are_listed_and_written(api: Client, valkey: Redis, keys: Keys, tmp_path: Path) -> None:
    await found(valkey, keys, *(lead(number) for number in range(3)), tenant="default")
    listed = await leadfleet("leads")
    assert "Café Nummer 2\t" in listed.stdout
    assert "3 of 3" in listed.stderr
    target = tmp_path / "leads.csv"
    written = await leadfleet("export", "-o", str(target))
    assert f"{target}: 3 leads, {target.stat().st_size} bytes" in written.stdout


async def test_a_task_that_is_not_there_is_an_error(api: Client, tmp_path: Path) -> None:
    target = tmp_path / "x.csv"
    for command in (["leads"], ["export", "-o", str(target)]):
        for name, said in (("tsk_" + "0" * 26, "there is no task"), ("../keys", "is not the id of a task")):
            missing = await leadfleet(*command, "--task", name)
            assert missing.exit_code == 1
            assert said in missing.output
    assert not target.exists()


async def test_a_task_without_leads_is_no_error(api: Client) -> None:
    task = await api.start("http://a.example/")
    none_yet = await leadfleet("leads", "--task", task)
    assert none_yet.exit_code == 0
    assert "0 of 0" in none_yet.stderr


async def test_leads_are_erased_and_opted_out(api: Client, valkey: Redis, keys: Keys) -> None:
    told = [lead(number, emails=[f"info@cafe-{number}.com"]) for number in range(4)]
    await found(valkey, keys, *told, tenant="default")
    gone = await leadfleet("leads", "erase", "lead_000001")
    assert "erased lead_000001: 1 lead, 1 observation, 0 events, 0 exports removed" in gone.stdout
    added = await leadfleet("opt-outs", "add", "INFO@cafe-2.com", "--reason", "asked")
    assert "i•••@cafe-2.com: 1 lead, 1 observation" in added.stderr
    (opt_out,) = re.findall(r"^opt_[0-9a-f]+$", added.stdout, re.MULTILINE)
    assert (await leadfleet("opt-outs", "add", "030 0000003", "--region", "de")).exit_code == 0
    listed = await leadfleet("opt-outs", "list")
    assert f"{opt_out}\temail\ti•••@cafe-2.com" in listed.stdout
    assert "lead_000000" in (await leadfleet("leads")).stdout
    assert "1 of 1" in (await leadfleet("leads")).stderr
    assert "removed i•••@cafe-2.com" in (await leadfleet("opt-outs", "remove", opt_out)).stdout
    assert "removed +49•••••••03" in (await leadfleet("opt-outs", "remove", "+49 30 0000003")).stdout
    for command, said in (
        (("leads", "erase", "../keys"), "is not the id of a lead"),
        (("leads", "erase", "lead_nobody"), "there is no lead"),
        (("opt-outs", "add", "12"), "not a phone number"),
        (("opt-outs", "remove", "cafe-9.com"), "there is no opt-out"),
    ):
        refused = await leadfleet(*command)
        assert refused.exit_code != 0
        assert said in refused.output
