"""fleet.credentials: who passes for whom, and who does not."""

from __future__ import annotations

import base64

import pytest

from fleet.credentials import CONTROL_PLANE, BadCredentials, Holder, authorization, holder_of, node_key

SECRET = "a secret of the tests"
UNIT = Holder("n1", "tsk_01hv0000000000000000000000.3", 1234)


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("holder", [UNIT, Holder("n1"), Holder("a-b_c", "-", 7), Holder.replica("r-1_a")])
def test_a_node_proves_its_units(holder: Holder) -> None:
    assert holder_of([SECRET], authorization(node_key(SECRET, holder.node), holder)) == holder


def test_a_node_passes_for_no_other() -> None:
    stolen = authorization(node_key(SECRET, "n2"), UNIT)
    with pytest.raises(BadCredentials, match="the password of node n1 is not of this proxy's secret"):
        holder_of([SECRET], stolen)


def test_a_password_is_good_for_one_unit_under_one_fence() -> None:
    password = (
        base64.b64decode(authorization(node_key(SECRET, "n1"), UNIT).partition(" ")[2]).decode().rpartition(":")[2]
    )
    for other in (Holder("n1", UNIT.unit, 1235), Holder("n1", "tsk_01hv0000000000000000000000.4", 1234), Holder("n1")):
        with pytest.raises(BadCredentials):
            holder_of([SECRET], basic(f"{other.user}:{password}"))


def test_while_the_secret_is_changed_both_are_taken() -> None:
    old = authorization(node_key(SECRET, "n1"), UNIT)
    assert holder_of(["the next secret", SECRET], old) == UNIT
    with pytest.raises(BadCredentials):
        holder_of(["the next secret"], old)


def test_the_secret_does_not_prove_a_node_by_itself() -> None:
    with pytest.raises(BadCredentials):
        holder_of([SECRET], authorization(SECRET, UNIT))


def test_a_replica_is_a_machine_of_its_own_and_no_unit() -> None:
    one, other = Holder.replica("r-1"), Holder.replica("r-2")
    assert (one.node, one.is_unit, UNIT.is_unit, Holder("n1").is_unit) == (CONTROL_PLANE, False, True, False)
    assert len({one.machine, other.machine, UNIT.machine}) == 3
    assert UNIT.machine == Holder("n1").machine == "n1"


def test_a_node_is_no_replica() -> None:
    pretended = Holder("n1", "replica-r-1")
    with pytest.raises(BadCredentials, match="the node n1 has no replicas"):
        holder_of([SECRET], authorization(node_key(SECRET, "n1"), pretended))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no Proxy-Authorization was sent"),
        ("", "does not parse|not of the scheme"),
        ("Basic ???", "does not parse"),
        ("Basic w6TDtg==", "does not parse"),
        (basic("no colon"), "not of the scheme Basic"),
        ("Bearer " + basic("n1.-.0:x").partition(" ")[2], "not of the scheme Basic"),
        (basic("n1:x"), "the user is not node.unit.fence"),
        (basic("N1.-.0:x"), "the user is not node.unit.fence"),
        (basic("n1.tsk_x.1.0:x"), "the user is not node.unit.fence"),
        (basic("n1.-.-1:x"), "the user is not node.unit.fence"),
        (basic("n1.-.0\n:x"), "the user is not node.unit.fence"),
        (basic("n1.-.0:"), "the password of node n1"),
    ],
)
def test_what_proves_nothing_says_why(value: str | None, reason: str) -> None:
    with pytest.raises(BadCredentials, match=reason):
        holder_of([SECRET], value)
