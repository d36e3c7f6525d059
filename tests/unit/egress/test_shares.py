"""egress.shares: what a unit and a node may use, and that the counters stay few."""

from __future__ import annotations

import pytest

from egress import shares
from egress.refused import Refused
from egress.shares import FORGOTTEN_AFTER, Limits, Shares
from fleet.credentials import Holder

UNIT, OTHER, NOBODY = Holder("n1", "tsk_a.0", 1), Holder("n1", "tsk_b.0", 2), Holder("n1")


def test_a_unit_has_so_many_connections_and_another_one_has_its_own() -> None:
    counted = Shares(Limits(unit_connections=2))
    first, _ = counted.take(UNIT), counted.take(UNIT)
    with pytest.raises(Refused, match="the unit has 2 connections open") as refused:
        counted.take(UNIT)
    assert refused.value.status == 429
    counted.take(OTHER)
    first.release()
    counted.take(UNIT)


def test_a_node_has_so_many_whatever_its_units_are_called() -> None:
    counted = Shares(Limits(node_connections=2))
    counted.take(UNIT)
    counted.take(OTHER)
    with pytest.raises(Refused, match="n1 has 2 connections open"):
        counted.take(NOBODY)
    counted.take(Holder("n2"))


def test_each_replica_of_the_control_plane_counts_as_a_node_and_not_as_a_unit() -> None:
    counted = Shares(Limits(node_connections=2, unit_connections=1))
    one, other = Holder.replica("r-1"), Holder.replica("r-2")
    for replica in (one, one, other, other):
        counted.take(replica)
    with pytest.raises(Refused, match=r"control-plane\.replica-r-1\.0 has 2 connections open"):
        counted.take(one)


def test_a_unit_that_has_moved_its_bytes_gets_no_further_connection() -> None:
    counted = Shares(Limits(unit_bytes=2 << 20))
    share = counted.take(UNIT)
    assert share.moved(2 << 20) == ""
    assert share.moved(1) == "the unit has moved 2 MB"
    share.release()
    with pytest.raises(Refused, match="the unit has moved 2 MB"):
        counted.take(UNIT)
    counted.take(Holder("n1", UNIT.unit, UNIT.fence + 1))


def test_what_belongs_to_no_unit_has_no_end_and_so_no_cap_of_bytes() -> None:
    counted = Shares(Limits(unit_bytes=1))
    assert counted.take(NOBODY).moved(1 << 40) == ""
    counted.take(NOBODY)


def test_a_unit_that_is_over_is_forgotten() -> None:
    counted = Shares(Limits(unit_bytes=1))
    share = counted.take(UNIT)
    share.moved(2)
    counted.forget(UNIT)
    share.release()
    counted.take(UNIT)
    counted.forget(Holder("never seen"))


def test_what_is_idle_for_long_is_forgotten_and_what_is_open_is_not() -> None:
    now = [0.0]
    counted = Shares(Limits(), lambda: now[0])
    counted.take(UNIT).release()
    now[0] = FORGOTTEN_AFTER.total_seconds() - 1
    held = counted.take(OTHER)
    assert len(counted) == 2
    now[0] = 3 * FORGOTTEN_AFTER.total_seconds()
    counted.take(NOBODY)
    assert len(counted) == 2, "the first unit is gone, the one that is open and the new one are there"
    held.release()


def test_however_many_units_a_node_invents_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "UNITS_KEPT", 10)
    monkeypatch.setattr(shares, "NODES_KEPT", 5)
    counted = Shares(Limits())
    held = counted.take(UNIT)
    for number in range(100):
        counted.take(Holder("n1", "tsk_a.0", 100 + number)).release()
    assert len(counted) == 10
    for number in range(100):
        counted.take(Holder(f"x{number}")).release()
    assert len(counted) == 10 + 4, "the node that has a connection open, and the four latest"
    held.release()
