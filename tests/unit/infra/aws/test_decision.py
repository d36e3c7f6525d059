"""The scaler's decision: a table of what is known, and what is to be done."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.aws.functions.scaler.decision import (
    HEADROOM,
    PATIENCE,
    SETTLED,
    Node,
    Plan,
    Work,
    backlog_per_slot,
    decide,
)

OLD, YOUNG = SETTLED, SETTLED - timedelta(seconds=1)


def up(name: str, leases: int = 0, age: timedelta = OLD) -> Node:
    return Node(name, "up", leases, age)


def draining(name: str, leases: int) -> Node:
    return Node(name, "draining", leases, OLD)


@pytest.mark.parametrize(
    ("what", "work", "nodes", "desired", "plan"),
    [
        ("nothing to do, nobody there", Work(0, 0), [], {"n1": 0, "n2": 0}, Plan(0)),
        ("the first unit", Work(1, 0), [], {"n1": 0, "n2": 0}, Plan(1, start=("n1",))),
        ("as many as the work has units for", Work(9, 0), [], {"n1": 0, "n2": 0, "n3": 0, "n4": 0},
         Plan(3, start=("n1", "n2", "n3"))),
        ("never more than there are names", Work(999, 0), [], {"n1": 0, "n2": 0}, Plan(2, start=("n1", "n2"))),
        ("one is on its way and is waited for", Work(4, 0), [], {"n1": 1, "n2": 0}, Plan(1, missing=("n1",))),
        ("those at work count", Work(1, 8), [up("n1", 4), up("n2", 4)], {"n1": 1, "n2": 1, "n3": 0},
         Plan(3, start=("n3",))),
        ("a draining node is no help", Work(4, 2), [draining("n1", 2)], {"n1": 1, "n2": 0, "n3": 0},
         Plan(2, start=("n2", "n3"), draining=("n1",))),
        ("all idle: one at a time is drained, the youngest of the settled", Work(0, 0),
         [up("n1", age=OLD * 2), up("n2")], {"n1": 1, "n2": 1}, Plan(0, retire="n2")),
        ("an idle one before one at work", Work(0, 1), [up("n1"), up("n2", 1), up("n3", age=YOUNG)],
         {"n1": 1, "n2": 1, "n3": 1}, Plan(1, retire="n1")),
        ("else the one with the fewest units", Work(0, 3), [up("n1", 2), up("n2", 1)], {"n1": 1, "n2": 1},
         Plan(1, retire="n2")),
        ("young nodes are kept", Work(0, 0), [up("n1", age=YOUNG)], {"n1": 1}, Plan(0)),
        ("headroom is kept: four of four slots in use and four free are no reason to let go", Work(0, 4),
         [up("n1", 4), up("n2")], {"n1": 1, "n2": 1}, Plan(1)),
        ("while work waits nobody is drained", Work(1, 0), [up("n1"), up("n2"), up("n3")],
         {"n1": 1, "n2": 1, "n3": 1}, Plan(1)),
        ("a drained node that holds a lease still runs", Work(0, 1), [draining("n1", 1), up("n2")],
         {"n1": 1, "n2": 1}, Plan(1, draining=("n1",))),
        ("and is stopped when it holds none", Work(0, 0), [draining("n1", 0), up("n2")], {"n1": 1, "n2": 1},
         Plan(0, stop=("n1",))),
        ("a node of somebody else is none of ours", Work(0, 0), [up("laptop"), draining("other", 0)], {"n1": 0},
         Plan(0)),
        ("a node that does not register is not drained", Work(0, 0), [], {"n1": 1}, Plan(0, missing=("n1",))),
        ("nor one that is down", Work(0, 0), [Node("n1", "down", 0, OLD)], {"n1": 1}, Plan(0, missing=("n1",))),
        ("nor the last one that is up beside it", Work(0, 2), [Node("n1", "down", 0, OLD), up("n2", 2)],
         {"n1": 1, "n2": 1}, Plan(1, missing=("n1",))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_decisions(what: str, work: Work, nodes: list[Node], desired: dict[str, int], plan: Plan) -> None:
    assert decide(work, nodes, desired, {}, least=0, slots=4) == plan, what


LONG, SHORT = PATIENCE, PATIENCE - timedelta(seconds=1)
DOWN = Node("n1", "down", 0, OLD)


@pytest.mark.parametrize(
    ("what", "nodes", "desired", "missing", "plan"),
    [
        ("what is missing is waited for", [], {"n1": 1, "n2": 0}, {"n1": SHORT}, Plan(1)),
        ("and then given up for another", [], {"n1": 1, "n2": 0}, {"n1": LONG},
         Plan(1, start=("n2",), given_up=("n1",))),
        ("whether it has ever been there or not", [DOWN], {"n1": 1, "n2": 0}, {"n1": LONG},
         Plan(1, start=("n2",), given_up=("n1",))),
        ("one that has come late is forgiven", [up("n1")], {"n1": 1, "n2": 0}, {"n1": LONG}, Plan(1, found=("n1",))),
        ("one that failed is tried last", [], {"n1": 0, "n2": 0}, {"n1": SHORT}, Plan(1, start=("n2",))),
        ("and the one that failed first before it", [], {"n1": 0, "n2": 0}, {"n1": SHORT, "n2": LONG},
         Plan(1, start=("n2",))),
        ("the only one there is is tried again", [], {"n1": 0}, {"n1": SHORT}, Plan(1, start=("n1",))),
        ("but not in the look that gives it up", [], {"n1": 1}, {"n1": LONG}, Plan(1, given_up=("n1",))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_service_whose_node_does_not_come_is_given_up(
    what: str, nodes: list[Node], desired: dict[str, int], missing: dict[str, timedelta], plan: Plan
) -> None:
    leased = sum(node.leases for node in nodes)
    assert decide(Work(4, leased), nodes, desired, missing, least=0, slots=4) == plan, what


def test_what_nobody_needs_is_given_up_as_well() -> None:
    """A task that fails again and again costs as much as one that works."""
    assert decide(Work(0, 0), [], {"n1": 1}, {"n1": LONG}, least=0, slots=4) == Plan(0, given_up=("n1",))


def test_the_least_number_runs_without_any_work() -> None:
    assert decide(Work(0, 0), [], {"n1": 0, "n2": 0}, {}, least=1, slots=4) == Plan(1, start=("n1",))
    assert decide(Work(0, 0), [up("n1")], {"n1": 1, "n2": 0}, {}, least=1, slots=4).retire is None


def test_backlog_per_slot() -> None:
    assert backlog_per_slot(Work(12, 0), 4) == 3
    assert backlog_per_slot(Work(12, 0), 0) == 12, "without a slot it is no less pressing"


NAMES = ["n1", "n2", "n3", "n4", "n5"]
FLEETS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(["up", "draining", "down"]), st.integers(0, 4), st.booleans()),
    unique_by=lambda drawn: drawn[0],
)


@given(
    waiting=st.integers(0, 60),
    fleet=FLEETS,
    counts=st.lists(st.integers(0, 1), min_size=5, max_size=5),
    minutes=st.dictionaries(st.sampled_from(NAMES), st.integers(0, 30)),
    least=st.integers(0, 3),
)
def test_no_plan_takes_a_node_away_that_holds_a_lease(
    waiting: int, fleet: list[tuple[str, str, int, bool]], counts: list[int], minutes: dict[str, int], least: int
) -> None:
    nodes = [Node(name, state, leases, OLD if old else YOUNG) for name, state, leases, old in fleet]
    desired = dict(zip(NAMES, counts, strict=True))
    leased = sum(node.leases for node in nodes)
    missing = {name: timedelta(minutes=length) for name, length in minutes.items()}
    plan = decide(Work(waiting, leased), nodes, desired, missing, least=least, slots=4)
    known = {node.name: node for node in nodes}
    assert all(known[name].leases == 0 and known[name].state == "draining" for name in plan.stop)
    assert all(known[name].state == "down" for name in plan.given_up if name in known), "its leases went with it"
    assert all(desired[name] == 0 for name in plan.start)
    if plan.retire is not None:
        assert known[plan.retire].state == "up"
        assert not waiting
        kept = sum(node.state == "up" and desired[node.name] for node in nodes) - 1
        assert kept >= least
        assert kept * 4 >= leased * HEADROOM, "the others have room for what it does"
        assert not plan.start
