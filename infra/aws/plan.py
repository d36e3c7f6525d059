"""``make deploy-plan``: what the template would make on AWS, and why, from its files alone. Nothing calls AWS."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence

from infra.aws.parts import NESTED, Part, Resource, parts

WIDTH = 118


def plan(nodes: Sequence[str]) -> Iterator[str]:
    """Lines: the parameters, every resource by part, and how many there are of each kind."""
    all_parts = parts()
    root = all_parts[0]
    made = {part.name: part.resources({"NodeIds": nodes}) for part in all_parts}
    whys = {resource.name: resource.why for resource in made[root.name]}
    yield from _parameters(root, nodes)
    for part in all_parts[1:]:
        yield ""
        yield f"{part.name} ({part.path.relative_to(root.path.parent)}): {whys[part.name]}"
        for resource in made[part.name]:
            yield from _resource(resource)
    yield ""
    kinds = Counter(resource.kind for of_part in made.values() for resource in of_part)
    stacks = kinds.pop(NESTED)
    yield f"{kinds.total()} resources of {len(kinds)} kinds in {stacks} nested stacks, for the nodes {','.join(nodes)}:"
    yield from _wrapped(", ".join(f"{count} {kind.removeprefix('AWS::')}" for kind, count in sorted(kinds.items())), 2)


def _parameters(root: Part, nodes: Sequence[str]) -> Iterator[str]:
    yield "Parameters; those without a default are to be given:"
    for name, parameter in root.tree["Parameters"].items():
        default = ",".join(nodes) if name == "NodeIds" else parameter.get("Default")
        yield f"  {name}" + ("" if default is None else f" = {default if default != '' else '(empty)'}")
        yield from _wrapped(parameter["Description"], 6)


def _resource(resource: Resource) -> Iterator[str]:
    kept = resource.body.get("DeletionPolicy", "Delete")
    yield f"  {resource.name}  {resource.kind}" + ("" if kept == "Delete" else f"  [{kept} when the stack goes]")
    yield from _wrapped(resource.why, 6)


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make deploy-plan", description=__doc__)
    parser.add_argument("--nodes", default=None, help="names of the nodes there may be, by commas")
    given = parser.parse_args().nodes
    default = parts()[0].tree["Parameters"]["NodeIds"]["Default"]
    print("\n".join(plan((given or default).split(","))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
