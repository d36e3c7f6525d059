"""The OpenAPI document, from the marks on the views: what is served is what is described."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, cast

from pydantic import BaseModel, TypeAdapter
from quart import Quart
from werkzeug.routing import Rule

from control_plane.auth import PUBLIC, Access
from control_plane.models import WebhookMessage

View = TypeVar("View", bound=Callable[..., Any])
Shape = type[BaseModel] | TypeAdapter[Any]
Mode = Literal["validation", "serialization"]

TITLE, VERSION = "Leadfleet", "0.1.0"
REF = "#/components/schemas/{model}"
_ARGUMENT = re.compile(r"<(?:[^:<>]+(?:\([^)]*\))?:)?([^<>]+)>")
_CHOICE = re.compile(r"<any\(([^)]*)\):[^<>]+>")
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "loc": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
                    "message": {"type": "string"},
                },
            },
        },
    },
}


@dataclass(frozen=True)
class Description:
    """What a view takes and gives. ``query`` and ``headers`` map a name to a sentence, ``also`` a further status."""

    body: Shape | None = None
    answer: Shape | None = None
    media: str = "application/json"
    status: int = 200
    also: Mapping[int, str] = field(default_factory=dict)
    body_required: bool = True
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def describes(
    *,
    body: Shape | None = None,
    answer: Shape | None = None,
    media: str = "application/json",
    status: int = 200,
    also: Mapping[int, str] | None = None,
    body_required: bool = True,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Callable[[View], View]:
    """Say what a view takes and gives; its docstring is the summary."""

    def mark(view: View) -> View:
        cast("Any", view).description = Description(
            body, answer, media, status, also or {}, body_required, query or {}, headers or {}
        )
        return view

    return mark


def document(app: Quart) -> dict[str, Any]:
    """The OpenAPI 3.1 document of all routes. WebSockets have no place in it; /docs lists them too."""
    schemas: dict[str, Any] = {"Problem": _PROBLEM}
    paths: dict[str, dict[str, Any]] = {}
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        view = app.view_functions.get(rule.endpoint)
        if view is None or rule.websocket:
            continue
        described: Description = getattr(view, "description", Description())
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            for path in paths_of(rule):
                operation = _operation(rule, path, view, described, cast("Any", view).access, schemas)
                paths.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION},
        "paths": paths,
        "webhooks": {"task-ended": {"post": _webhook(schemas)}},
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "an API key, lfk_…"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "token": {"type": "apiKey", "in": "query", "name": "token"},
            },
        },
    }


def paths_of(rule: Rule) -> list[str]:
    """``/a/<b>`` as OpenAPI writes it: ``/a/{b}``; ``/a/<any(b, c):d>`` is two paths, ``/a/b`` and ``/a/c``.

    OpenAPI knows no two templates that differ in the name of a part only, and clients are better told the values.
    """
    choice = _CHOICE.search(rule.rule)
    if choice is None:
        return [_ARGUMENT.sub(r"{\1}", rule.rule)]
    values = [value.strip() for value in choice[1].split(",")]
    return [_ARGUMENT.sub(r"{\1}", rule.rule.replace(choice[0], value)) for value in values]


def _operation(
    rule: Rule, path: str, view: Any, described: Description, policy: Access, schemas: dict[str, Any]
) -> dict[str, Any]:
    content: dict[str, Any] = {described.media: {}}
    if described.answer is not None:
        content = {"application/json": {"schema": _schema(described.answer, schemas, "serialization")}}
    operation: dict[str, Any] = {
        "operationId": f"{rule.endpoint}_{path}".replace(".", "_").replace("/", "_"),
        "summary": summary_of(view),
        "tags": [rule.endpoint.partition(".")[0]],
        "x-scope": policy.scope,
        "x-rate-class": policy.rate,
        "parameters": _parameters(re.findall(r"{(.*?)}", path), described.query, described.headers),
        "responses": {
            str(described.status): {"description": "the answer", "content": content},
            **{str(status): {"description": sentence} for status, sentence in described.also.items()},
            "default": {
                "description": "a problem",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        },
        "security": _security(policy),
    }
    if described.body is not None:
        shape = {"schema": _schema(described.body, schemas, "validation")}
        operation["requestBody"] = {"required": described.body_required, "content": {"application/json": shape}}
    return operation


def summary_of(view: Any) -> str:
    """The first line of a view's docstring, as people read it."""
    return str(view.__doc__ or "").strip().splitlines()[0].replace("``", "`")


def _webhook(schemas: dict[str, Any]) -> dict[str, Any]:
    """What we post to a task's ``webhook_url``: the one call in this document that we make."""
    told = {
        "webhook-id": "the same in all attempts: a repeat is known by it",
        "webhook-timestamp": "Unix seconds of the attempt; refuse what is older than five minutes",
        "webhook-signature": "v1,<base64 HMAC-SHA256 of id.timestamp.body>, Standard Webhooks; "
        "the key is at /api/auth/webhook-secret",
    }
    return {
        "summary": "A task has ended.",
        "parameters": _parameters({}, {}, told),
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _schema(WebhookMessage, schemas, "serialization")}},
        },
        "responses": {
            "2XX": {"description": "delivered"},
            "410": {"description": "given up at once"},
            "default": {"description": "sent again, for about a day; redirects are not followed"},
        },
    }


def _parameters(path: Iterable[str], query: Mapping[str, str], headers: Mapping[str, str]) -> list[dict[str, Any]]:
    text = {"type": "string"}
    return [
        *({"name": name, "in": "path", "required": True, "schema": text} for name in sorted(path)),
        *({"name": n, "in": "query", "description": d, "schema": text} for n, d in query.items()),
        *({"name": n, "in": "header", "description": d, "schema": text} for n, d in headers.items()),
    ]


def _security(policy: Access) -> list[dict[str, list[str]]]:
    if policy.scope == PUBLIC:
        return []
    names = ["key", "header"] + (["token"] if policy.token else [])
    return [{name: []} for name in names]


def _schema(shape: Shape, schemas: dict[str, Any], mode: Mode) -> dict[str, Any]:
    """A reference to the shape's schema, which joins ``schemas`` with all it uses.

    What has a default may be left out of what we are sent ("validation"), and is always in what we send
    ("serialization").
    """
    if isinstance(shape, TypeAdapter):
        return shape.json_schema(ref_template=REF, mode=mode)
    schema = shape.model_json_schema(ref_template=REF, by_alias=True, mode=mode)
    schemas.update(schema.pop("$defs", {}))
    schemas[shape.__name__] = schema
    return {"$ref": REF.format(model=shape.__name__)}
