"""The whole template as these tests see it: every resource of every part, with the nodes n1 and n2 written out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from infra.aws.parts import Resource, parts

NODES = ("n1", "n2")

PARTS = {part.name: part for part in parts()}

RESOURCES = {
    (resource.part, resource.name): resource
    for part in PARTS.values()
    for resource in part.resources({"NodeIds": NODES})
}


def of_type(kind: str) -> dict[tuple[str, str], Resource]:
    """All resources of a type, by part and logical id."""
    found = {key: resource for key, resource in RESOURCES.items() if resource.kind == kind}
    assert found, f"the template has no {kind}"
    return found


def one(part: str, name: str) -> dict[str, Any]:
    """The properties of a resource."""
    return RESOURCES[part, name].properties


def tasks() -> dict[str, dict[str, Any]]:
    """Task definitions by part; a node's by its logical id."""
    return {
        name if part == "Nodes" else part: resource.properties
        for (part, name), resource in of_type("AWS::ECS::TaskDefinition").items()
    }


def node_tasks() -> dict[str, dict[str, Any]]:
    """By node id."""
    return {node: tasks()[f"Task{node}"] for node in NODES}


def container(task: dict[str, Any]) -> dict[str, Any]:
    """A task's only container."""
    (found,) = task["ContainerDefinitions"]
    return found


def variables(task: dict[str, Any]) -> dict[str, Any]:
    """Plain variables of a task's container."""
    return {item["Name"]: item["Value"] for item in container(task).get("Environment", [])}


def secrets(task: dict[str, Any]) -> dict[str, Any]:
    """Where each secret variable of a task's container comes from."""
    return {item["Name"]: item["ValueFrom"] for item in container(task).get("Secrets", [])}


def attributes(listed: list[dict[str, str]]) -> dict[str, str]:
    """Load balancers have their settings in lists of keys and values."""
    return {item["Key"]: item["Value"] for item in listed}


def statements() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement of every policy that gives a role or a person a right, with whose it is."""
    for (part, name), resource in RESOURCES.items():
        documents = []
        if resource.kind == "AWS::IAM::Role":
            documents = [policy["PolicyDocument"] for policy in resource.properties.get("Policies", [])]
        elif resource.kind == "AWS::IAM::ManagedPolicy":
            documents = [resource.properties["PolicyDocument"]]
        for document in documents:
            for statement in document["Statement"]:
                yield f"{part}.{name}", statement


def listed(value: Any) -> list[Any]:
    """Policies write one thing or many."""
    return value if isinstance(value, list) else [value]
