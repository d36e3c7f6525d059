"""The template as a whole: what the linter says, that its parts fit together, that everything says why it exists."""

from __future__ import annotations

import re

import cfnlint.api
import cfnlint.config
import pytest

from infra.aws.parts import Resource, comments, parts, put
from tests.contract.aws.template import PARTS, RESOURCES


@pytest.mark.parametrize("name", list(PARTS))
def test_the_linter_has_nothing_to_say(name: str) -> None:
    config = cfnlint.config.ManualArgs(regions=["us-east-1", "eu-central-1"])
    text = PARTS[name].path.read_text(encoding="utf-8")
    assert [str(match) for match in cfnlint.api.lint(text, config=config)] == []


@pytest.mark.parametrize("name", [name for name in PARTS if name != "(root)"])
def test_a_part_is_given_what_it_asks_for(name: str) -> None:
    part = PARTS[name]
    asked = set(part.tree.get("Parameters", {}))
    optional = {p for p in asked if part.tree["Parameters"][p].get("Default") == ""}
    assert asked - optional <= set(part.given) <= asked


def test_what_the_root_takes_from_a_part_is_there() -> None:
    taken = re.findall(r"'Fn::GetAtt': \['(\w+)', 'Outputs\.(\w+)'\]", str(PARTS["(root)"].tree))
    assert len(taken) > 30
    assert [(part, output) for part, output in taken if output not in PARTS[part].tree["Outputs"]] == []


def test_every_output_of_a_part_is_used() -> None:
    taken = set(re.findall(r"'Fn::GetAtt': \['(\w+)', 'Outputs\.(\w+)'\]", str(PARTS["(root)"].tree)))
    made = {(name, output) for name, part in PARTS.items() for output in part.tree.get("Outputs", {})}
    assert {(part, output) for part, output in made - taken if part != "(root)"} == set()


def test_every_parameter_of_the_root_is_described_and_used() -> None:
    root = PARTS["(root)"].tree
    used = set(re.findall(r"'Ref': '(\w+)'", str(root["Resources"])))
    assert set(root["Parameters"]) == used
    assert [name for name, parameter in root["Parameters"].items() if len(parameter["Description"]) < 15] == []


def test_every_resource_says_why_it_exists() -> None:
    assert [key for key, resource in RESOURCES.items() if len(resource.why) < 20] == []


def test_every_check_that_is_skipped_says_why() -> None:
    for part in PARTS.values():
        for line in part.path.read_text(encoding="utf-8").splitlines():
            if "checkov:skip" in line:
                assert re.search(r"# checkov:skip=CKV\w*_AWS_\d+: .{20,}", line), line


def test_cloudformation_understands_the_files() -> None:
    """It reads neither anchors nor aliases, and takes at most 500 resources and a megabyte a template."""
    for part in PARTS.values():
        text = part.path.read_text(encoding="utf-8")
        assert re.findall(r"(?m)(?::|-) [&*]\w+|<<:", text) == [], part.name
        assert len(part.resources({"NodeIds": [f"n{i}" for i in range(98)]})) <= 500
        assert len(text) < 1_000_000


def test_there_are_as_many_nodes_as_names() -> None:
    def services(*nodes: str) -> set[str]:
        made = [r for part in parts() for r in part.resources({"NodeIds": nodes}) if r.part == "Nodes"]
        return {resource.name for resource in made if resource.kind == "AWS::ECS::Service"}

    assert services("n1") == {"Servicen1"}
    assert services("a", "b", "c") == {"Servicea", "Serviceb", "Servicec"}


def test_loops_are_written_out_as_cloudformation_does() -> None:
    body = {"Ref": {"Fn::Sub": "Task${Id}"}}, {"Fn::Sub": "${Fleet}-${Id}"}, ["${Id}", 1]
    assert put(list(body), "Id", "n1") == [{"Ref": "Taskn1"}, {"Fn::Sub": "${Fleet}-n1"}, ["n1", 1]]


def test_a_comment_belongs_to_the_resource_below_it() -> None:
    text = "# one\n# more\nA:\n  Type: X\n\n# apart\n\nB:\n  - # inside\n    C${Id}:\n"
    assert comments(text) == {"A": "one more", "C${Id}": "inside"}
    assert Resource("p", "A", "X", "why", {}).properties == {}
