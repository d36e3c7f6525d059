"""The scripts do what the model says, whatever happens in whatever order; and the machine that says so can fail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from control_plane.scheduling.scripts import script_sources
from fleet.errors import StoreUnavailable
from tests.integration.control_plane.scheduling.machine import CLOCK, Driver, Fleet
from tests.servers import ClusterModeServer, ValkeyServer

QUICK = settings(
    max_examples=30, stateful_step_count=40, deadline=None, database=None, derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
LONG = settings(QUICK, max_examples=1_000, stateful_step_count=80, derandomize=False, print_blob=True)
# A mutant must be caught, not explained: nothing is shrunk.
MUTANT = settings(QUICK, max_examples=200, phases=[Phase.generate], report_multiple_bugs=False)


CLUSTER = settings(QUICK, max_examples=8)

ONE_SLOT = "#!lua\n"
"""With it, a cluster holds each script to the slot of the key it was called with, also where it declares no key."""

MUTANTS = {
    "a stale fence may write": ("u[1] == 'running' and u[2] == fence and u[3]", "u[1] == 'running' and u[3]"),
    "another node may write": ("and u[3] and node_of(u[3]) == node", "and u[3]"),
    "a slot is freed under any fence": ("return s[1] == unit and s[2] == fence", "return s[1] == unit"),
    "the cursor does not move": ("  redis.call('HSET', K.node(node), 'cursor', entry)\n", ""),
    "an entry counts twice": ("a_seq > b_seq", "a_seq >= b_seq"),
    "an earlier life may still write": ("if n[1] ~= boot then", "if not n[1] then"),
    "a repeated batch counts": ("if seq <= tonumber", "if seq < tonumber"),
    "running units are not counted down": ("redis.call('HINCRBY', K.tenant(tenant), 'running', -1)", ""),
    "a tenant keeps its turn": ("turn_of_served(tenant), tenant)\n    grant(", "0, tenant)\n    grant("),
    "a label has precedence": ("not oldest or tonumber(first[2]) < oldest", "not oldest"),
    "fences begin again": ("+ 1, NOW_US)", "+ 1, 0)"),
    "a slot is given twice": ("  unlist_slot(slot)\n  for _, label", "  for _, label"),
    "a broken Chrome is offered": ("if chrome ~= 'ok' then", "if chrome == '' then"),
    "a drained node is offered": ("    if state == 'up' then\n", "    if state then\n"),
    "a lost node costs nothing": ("'deliveries', 1), LIMITS", "'deliveries', 0), LIMITS"),
    "the least urgent comes first": ("(9 - tonumber(task[3]))", "tonumber(task[3])"),
    "max_parallel is not kept": ("- tonumber(t[4]) - tonumber(t[5])", "- tonumber(t[5])"),
    "a retry is not queued": ("move(unit, 'retrying', 'queued')\n  enqueue(unit)", "move(unit, 'retrying', 'queued')"),
    "a silent node is kept": ("elseif not unread or", "elseif"),
}  # fmt: skip

SOON = {
    "the cursor does not move",
    "running units are not counted down",
    "a tenant keeps its turn",
    "fences begin again",
    "a slot is given twice",
}
"""Caught within a few examples."""

Store = tuple[asyncio.AbstractEventLoop, Redis]


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    yield from _connected(ValkeyServer(tmp_path_factory.mktemp("valkey")))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    yield from _connected(ClusterModeServer(tmp_path_factory.mktemp("cluster")))


def _connected(server: ValkeyServer) -> Iterator[Store]:
    server.start()
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        client = Redis.from_url(server.url, retry=Retry(NoBackoff(), 0))
        yield loop, client
        loop.run_until_complete(client.aclose())
    server.stop()


def _play(store: Store, sources: Mapping[str, str], how: settings, *, before: str = "") -> None:
    driver = Driver(*store, {name: before + CLOCK + text for name, text in sources.items()})
    run_state_machine_as_test(lambda: Fleet(driver), settings=how)


def test_the_scripts_do_what_the_model_says(single: Store) -> None:
    _play(single, script_sources(), QUICK)


@pytest.mark.faults
def test_the_scripts_do_what_the_model_says_for_long(single: Store) -> None:
    _play(single, script_sources(), LONG)


def test_in_a_cluster_too(cluster: Store) -> None:
    _play(cluster, script_sources(), CLUSTER, before=ONE_SLOT)


def test_a_key_of_another_slot_is_caught_in_a_cluster(cluster: Store) -> None:
    broken = _mutated("return R .. ':turns'", "return 'lf:turns'")
    with pytest.raises(StoreUnavailable, match="do not hash to the same slot"):
        _play(cluster, broken, MUTANT, before=ONE_SLOT)


@pytest.mark.parametrize(
    "mutant", [name if name in SOON else pytest.param(name, marks=pytest.mark.faults) for name in MUTANTS]
)
def test_a_broken_script_is_caught(single: Store, mutant: str) -> None:
    with pytest.raises(AssertionError, match=r"the store says|stored, modelled|I1|I4|I7"):
        _play(single, _mutated(*MUTANTS[mutant]), MUTANT)


def _mutated(rule: str, broken: str) -> dict[str, str]:
    """The scripts with one rule broken, wherever it stands in them; it must be written nowhere twice."""
    sources = script_sources()
    assert max(text.count(rule) for text in sources.values()) == 1, rule
    return {name: text.replace(rule, broken) for name, text in sources.items()}
