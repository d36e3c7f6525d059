"""Names: one hash tag for all of a fleet, the same in Lua, and nothing but safe words in them."""

from __future__ import annotations

import inspect
import re

import pytest

from fleet import ids
from fleet.errors import BadName
from fleet.keys import Keys, lua_keys

KEYS = Keys("local")


def test_every_key_carries_the_fleets_hash_tag() -> None:
    for name, method in inspect.getmembers(Keys, inspect.isfunction):
        if name.startswith("_") or name == "node_acl":
            continue
        arguments = ["x"] * (len(inspect.signature(method).parameters) - 1)
        key = method(KEYS, *arguments)
        assert key.startswith("lf:{local}:"), name
        assert key.count("{") == 1, name


def test_every_key_says_its_type_its_life_and_who_writes_and_reads_it() -> None:
    for name, method in inspect.getmembers(Keys, inspect.isfunction):
        if name.startswith("_") or name in {"node_acl", "node_prefix"}:
            continue
        assert (inspect.getdoc(method) or "").count("·") >= 2, name


def test_lua_builds_the_same_names() -> None:
    rendered = dict(re.findall(r"function K\.(\w+)\(.*?\) return R \.\. (.+) end", lua_keys()))
    assert rendered["task"] == "':task:' .. task"
    assert rendered["queue"] == "':queue:' .. label .. ':' .. tenant"
    assert rendered["out"] == "':n:' .. node .. ':out'"
    assert "node_acl" not in rendered


@pytest.mark.parametrize("name", ["", "Local", "a b", "a*", "a{b}", "a:b", "x" * 65, "-a", "a/b", "naïve"])
def test_a_name_that_could_reach_other_keys_is_refused(name: str) -> None:
    with pytest.raises(BadName, match="fleet"):
        Keys(name)
    with pytest.raises(BadName, match="node"):
        ids.name("node", name)


def test_ids_sort_by_time_and_parse_back() -> None:
    task = ids.new_task_id()
    assert ids.is_task_id(task)
    assert ids.split_unit_id(ids.unit_id(task, 7)) == (task, 7)
    assert ids.split_slot_id(ids.slot_id("n-1", 3)) == ("n-1", 3)
    assert len({ids.new_task_id() for _ in range(1_000)}) == 1_000


@pytest.mark.parametrize(
    "text", ["", "tsk_", "tsk_00000000000000000000000000", "x.1", "tsk_0000000000000000000000000u.1"]
)
def test_what_is_no_unit_id_is_refused(text: str) -> None:
    with pytest.raises(BadName):
        ids.split_unit_id(text)


@pytest.mark.parametrize(
    ("text", "position"),
    [("5-1", (5, 1)), ("5", (5, 0)), ("$", None), ("", None), ("1-", None), ("-1", None), ("9" * 30, None)],
)
def test_stream_positions(text: str, position: tuple[int, int] | None) -> None:
    assert ids.stream_position(text) == position
