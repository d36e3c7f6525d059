"""The CloudFormation template and its parts, read without AWS: what they make, and why, with loops written out."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]

ROOT = REPOSITORY / "template.yaml"

LOOP = "Fn::ForEach::"

NESTED = "AWS::CloudFormation::Stack"

Tree = dict[str, Any]


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML ships no types
    """Reads ``!Ref X`` as ``{"Ref": X}`` and ``!Sub x`` as ``{"Fn::Sub": x}``."""


def _intrinsic(loader: _Loader, suffix: str, node: yaml.Node) -> Tree:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _intrinsic)


@dataclass(frozen=True, slots=True)
class Resource:
    """``part`` is the logical id of the nested stack, ``why`` the comment above the resource."""

    part: str
    name: str
    kind: str
    why: str
    body: Tree

    @property
    def properties(self) -> Tree:
        found: Tree = self.body.get("Properties", {})
        return found


@dataclass(frozen=True, slots=True)
class Part:
    """One template file. ``given`` is what the root hands to its parameters; the root itself is given nothing."""

    name: str
    path: Path
    given: Tree
    tree: Tree

    def resources(self, lists: Mapping[str, Sequence[str]] | None = None) -> list[Resource]:
        """All resources, loops over the parameters in ``lists`` (or over their defaults) written out."""
        whys = comments(self.path.read_text(encoding="utf-8"))
        listed = defaults(self.tree) | dict(lists or {})
        return [
            Resource(self.name, name, body["Type"], whys.get(pattern, ""), body)
            for pattern, name, body in written_out(self.tree["Resources"], listed)
        ]


def load(path: Path) -> Tree:
    """A template as plain dictionaries and lists."""
    read: Tree = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe one, with `!` tags
    return read


def parts() -> list[Part]:
    """The root, then its parts in the order in which it names them."""
    root = load(ROOT)
    nested = [
        Part(name, ROOT.parent / body["Properties"]["TemplateURL"], body["Properties"].get("Parameters", {}), {})
        for name, body in root["Resources"].items()
        if body["Type"] == NESTED
    ]
    return [
        Part("(root)", ROOT, {}, root),
        *(Part(part.name, part.path, part.given, load(part.path)) for part in nested),
    ]


def defaults(tree: Tree) -> dict[str, Sequence[str]]:
    """What lists hold when nobody says otherwise."""
    return {
        name: str(parameter["Default"]).split(",")
        for name, parameter in tree.get("Parameters", {}).items()
        if parameter["Type"] == "CommaDelimitedList" and "Default" in parameter
    }


def comments(text: str) -> dict[str, str]:
    """Logical id, as it is written, → the comment right above it."""
    found: dict[str, str] = {}
    above: list[str] = []
    for line in text.splitlines():
        stripped = line.strip().removeprefix("- ")
        if stripped.startswith("#"):
            above.append(stripped.lstrip("# "))
            continue
        key = re.match(r"([A-Za-z0-9:${}]+):$", stripped)
        if key and above:
            found.setdefault(key.group(1), " ".join(above))
        above = []
    return found


def loops(part: Part, lists: Mapping[str, Sequence[str]]) -> Tree:
    """A template of what the part's loops make, for tools that look into none; empty without a loop."""
    made = [
        (name, body)
        for pattern, name, body in written_out(part.tree["Resources"], defaults(part.tree) | dict(lists))
        if pattern != name
    ]
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": dict(made)} if made else {}


def written_out(resources: Tree, lists: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str, Tree]]:
    """``(logical id as written, logical id, resource)`` of each."""
    for name, body in resources.items():
        if not name.startswith(LOOP):
            yield name, name, body
            continue
        variable, over, inside = body
        for item in lists[over["Ref"]]:
            for pattern, repeated in inside.items():
                yield pattern, put(pattern, variable, item), put(repeated, variable, item)


def put(tree: Any, variable: str, item: str) -> Any:
    """``tree`` with ``${variable}`` replaced wherever it stands; a `Ref` of what that makes whole becomes plain."""
    if isinstance(tree, str):
        return tree.replace(f"${{{variable}}}", item)
    if isinstance(tree, list):
        return [put(each, variable, item) for each in tree]
    if not isinstance(tree, dict):
        return tree
    made = {put(key, variable, item): put(value, variable, item) for key, value in tree.items()}
    name = made.get("Ref")
    if isinstance(name, dict) and isinstance(name.get("Fn::Sub"), str) and "${" not in name["Fn::Sub"]:
        return {"Ref": name["Fn::Sub"]}
    return made


def main() -> int:
    """``python -m infra.aws.parts FOLDER``: write what loops make into a file a part."""
    folder = Path(sys.argv[1])
    for part in parts():
        if written := loops(part, {"NodeIds": ["n1"]}):
            (folder / f"{part.path.stem}.json").write_text(json.dumps(written, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
