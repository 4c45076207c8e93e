"""The Swagger 2.0 document: what kubectl before 1.27 validates, applies and explains with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apiserver.kind import Kind
from apiserver.openapi.definitions import collect, v2_form
from apiserver.openapi.operations import Operation, Parameter, Path, paths

INFO = {"title": "Kubernetes", "version": "v1.32.0"}


def document(kinds: Iterable[Kind]) -> dict[str, Any]:
    """The whole document."""
    kinds = tuple(kinds)
    return {
        "swagger": "2.0",
        "info": INFO,
        "paths": {path.path: _path(path) for path in paths(kinds)},
        "definitions": {name: v2_form(name, definition) for name, definition in collect(kinds).items()},
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


def _path(path: Path) -> dict[str, Any]:
    operations: dict[str, Any] = {operation.method: _operation(operation) for operation in path.operations}
    return {**operations, "parameters": [_parameter(parameter) for parameter in path.parameters]}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    written: dict[str, Any] = {
        "name": parameter.name,
        "in": parameter.place,
        "type": parameter.type,
        "description": parameter.description,
        "uniqueItems": True,
    }
    if parameter.place == "path":
        written["required"] = True
    return written


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
