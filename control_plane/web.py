"""JSON in and out: bodies that were checked, answers from models, problems as RFC 9457 documents."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError
from quart import Response, has_websocket_context, request, websocket
from werkzeug.exceptions import RequestEntityTooLarge

from control_plane.errors import BadRequest, FieldError, Invalid, Problem

Model = TypeVar("Model", bound=BaseModel)

_JSON = re.compile(r"application/(?:[\w.-]+\+)?json", re.IGNORECASE)

MAX_BODY = 1024 * 1024
"""Bytes of a request body. The largest real one, 50 queries of 2,048 characters, is a tenth of this."""

BODY_TIMEOUT_S = 15
"""How long a body may take to arrive."""

MAX_ERRORS = 20  # of one answer: a list of thousands helps nobody


async def bound_body() -> None:
    """Raise RequestEntityTooLarge for a body that is too large, before the request waits for anything: what comes
    meanwhile is taken in for nothing."""
    if (request.content_length or 0) > MAX_BODY:
        raise RequestEntityTooLarge
    if "Transfer-Encoding" in request.headers:  # how large it is shows as it comes
        await request.get_data(as_text=False)


async def read_body(model: type[Model], *, optional: bool = False) -> Model:
    """The request's JSON body as ``model``; an absent one is ``{}`` when ``optional``.

    Raises BadRequest for what is not JSON (NaN, lone surrogates and nesting past 1,024 included) and Invalid,
    naming each field, for what is JSON of another shape.
    """
    checked: Model = parse_as(TypeAdapter(model), await read_json(optional=optional))
    return checked


async def read_json(*, optional: bool = False) -> Any:
    """The request's JSON body. Raises BadRequest, and a 415 for a body that says it is something else."""
    raw = await request.get_data(cache=False, as_text=False)
    if not raw and optional:
        return {}
    if raw and request.mimetype and not _JSON.fullmatch(request.mimetype):
        raise Problem(
            f"the body is sent as {request.mimetype[:60]!r}: send JSON, with 'Content-Type: application/json'",
            status=415,
            title="Unsupported media type",
        )
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as exc:
        raise BadRequest(f"the body is not JSON: {exc.msg} at character {exc.pos}") from exc


def parse_as(adapter: TypeAdapter[Any], value: Any) -> Any:
    """``value`` checked by ``adapter``. Raises Invalid with one entry a field."""
    try:
        return adapter.validate_python(value)
    except ValidationError as exc:
        errors: list[FieldError] = [
            {"loc": list(error["loc"]), "message": _sentence(dict(error))}
            for error in exc.errors(include_url=False, include_input=False)[:MAX_ERRORS]
        ]
        where = ".".join(str(step) for step in errors[0]["loc"]) or "body"
        raise Invalid(f"{where}: {errors[0]['message']}", errors=errors) from exc


def _sentence(error: dict[str, Any]) -> str:
    """pydantic's words where a client can use them; ours where they speak of Python."""
    context = error.get("ctx", {})
    match error["type"]:
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be a JSON object"
        case "too_long":
            return f"may hold at most {context['max_length']}, not {context['actual_length']}"
        case _:
            return str(error["msg"]).removeprefix("Value error, ")


def whole_number(name: str, default: int, *, least: int, most: int) -> int:
    """The query parameter ``name``. Raises BadRequest when it is not a number within ``least`` to ``most``."""
    text = (websocket if has_websocket_context() else request).args.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or not least <= int(text) <= most:
        raise BadRequest(f"?{name}= must be a whole number from {least} to {most}, not {text[:20]!r}")
    return int(text)


def answer(value: BaseModel | dict[str, Any] | list[Any], status: int = 200) -> Response:
    """``value`` as a JSON response."""
    if isinstance(value, BaseModel):
        return Response(value.model_dump_json(by_alias=True), status, mimetype="application/json")
    return Response(orjson.dumps(value), status, mimetype="application/json")


def problem_response(problem: Problem) -> Response:
    """``problem`` as ``application/problem+json`` with its headers."""
    body = orjson.dumps(problem.body())
    return Response(body, problem.status, problem.headers, content_type="application/problem+json")
