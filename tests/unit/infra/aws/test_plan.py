"""``make deploy-plan`` leaves nothing out."""

from __future__ import annotations

from infra.aws.parts import NESTED, parts
from infra.aws.plan import plan


def test_it_lists_every_resource_with_its_reason() -> None:
    said = " ".join(" ".join(plan(["n1", "n2"])).split())
    for part in parts():
        for resource in part.resources({"NodeIds": ["n1", "n2"]}):
            if resource.kind != NESTED:
                assert f"{resource.name} {resource.kind}" in said
            assert resource.why in said


def test_it_lists_every_parameter_and_says_which_must_be_given() -> None:
    lines = list(plan(["n1"]))
    assert "  DomainName" in lines
    assert "  NodeIds = n1" in lines
    assert "  AlarmEmail = (empty)" in lines


def test_what_stays_when_the_stack_goes_is_marked() -> None:
    kept = [line.split()[0] for line in plan(["n1"]) if "when the stack goes]" in line]
    assert kept == ["Valkey", "ExportsBucket", "LeadsBucket"]
