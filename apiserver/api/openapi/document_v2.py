"""The Swagger 2.0 document, which kubectl before 1.27 uses for validation, apply and explain.

It is put together from sections, because custom resources come and go: that of the built-in kinds is made once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import orjson

from apiserver.api.openapi.definitions import collect, published, v2_form
from apiserver.api.openapi.operations import Operation, Parameter, Path, paths
from apiserver.model.kind import Kind

INFO = {"title": "Kubernetes", "version": "v1.32.0"}


class Section(NamedTuple):
    """The members of ``paths`` and ``definitions`` of some kinds, as JSON without the braces around them."""

    paths: bytes
    definitions: bytes


def section(kinds: Iterable[Kind]) -> Section:
    """Return the section of these kinds, which are all built-in ones or all custom ones."""
    source = contents(kinds)
    return Section(*(orjson.dumps(source[part])[1:-1] for part in Section._fields))


def contents(kinds: Iterable[Kind]) -> dict[str, Any]:
    """Return a document with only the paths and definitions of these kinds."""
    kinds = tuple(kinds)
    described = published(kinds, v2=True)
    if not described:
        described = {name: v2_form(name, definition) for name, definition in collect(kinds).items()}
    return {
        "swagger": "2.0",
        "info": INFO,
        "paths": {each.path: path(each, _operation, _parameter) for each in paths(kinds)},
        "definitions": described,
    }


def document(sections: Iterable[tuple[bytes, ...]]) -> bytes:
    """Return the whole document as JSON; each section has the members of a ``Section``."""
    paths, definitions = (b",".join(filter(None, parts)) for parts in zip(*sections, strict=True))
    return orjson.dumps(
        {
            "swagger": "2.0",
            "info": INFO,
            "paths": orjson.Fragment(b"{%b}" % paths),
            "definitions": orjson.Fragment(b"{%b}" % definitions),
            "securityDefinitions": {
                "BearerToken": {
                    "description": "Bearer Token authentication",
                    "type": "apiKey",
                    "name": "authorization",
                    "in": "header",
                }
            },
            "security": [{"BearerToken": []}],
        }
    )


def path(source: Path, operation: Callable[[Operation], Any], parameter: Callable[[Parameter], Any]) -> dict[str, Any]:
    """Return the member of ``paths`` for a path; the functions make its parts in the form of one version of OpenAPI."""
    operations = {each.method: operation(each) for each in source.operations}
    return {**operations, "parameters": [parameter(each) for each in source.parameters]}


def described(parameter: Parameter) -> dict[str, Any]:
    """Return what both versions of OpenAPI say about a parameter in the same way."""
    required = {"required": True} if parameter.place == "path" else {}
    return {"name": parameter.name, "in": parameter.place, "description": parameter.description, **required}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {**described(parameter), "type": parameter.type, "uniqueItems": True}


def _operation(operation: Operation) -> dict[str, Any]:
    parameters = [_parameter(parameter) for parameter in operation.parameters]
    if operation.body:
        body = {"name": "body", "in": "body", "schema": _reference(operation.body)}
        parameters.insert(0, {**body, "required": True} if operation.body_required else body)
    written: dict[str, Any] = {
        "description": operation.description,
        "consumes": list(operation.consumes),
        "produces": list(operation.produces),
        "schemes": ["https"],
        "tags": [operation.tag],
        "operationId": operation.id,
        "responses": {
            code: {"description": text, **({} if name == "-" else {"schema": _reference(name)})}
            for code, text, name in operation.responses
        },
        "x-kubernetes-action": operation.action,
    }
    if parameters:
        written["parameters"] = parameters
    if operation.gvk is not None:
        written["x-kubernetes-group-version-kind"] = operation.gvk._asdict()
    return written


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/definitions/{name}"} if name else {"type": "string"}
