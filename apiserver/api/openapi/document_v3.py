"""The OpenAPI 3.0 document of a group version, which kubectl since 1.27 uses for validation, apply and explain."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apiserver.api.openapi.definitions import collect, published, v3_form
from apiserver.api.openapi.document_v2 import INFO, described, path
from apiserver.api.openapi.operations import JSON_TYPES, Operation, Parameter, paths
from apiserver.model.kind import Kind


def document(kinds: Iterable[Kind], group: str, version: str) -> dict[str, Any]:
    """Return the document of one group version, with every definition that it needs."""
    kinds = tuple(kinds)
    only = (group, version)
    schemas = {name: v3_form(name, definition) for name, definition in collect(kinds, only).items()}
    schemas |= published((kind for kind in kinds if (kind.group, kind.version) == only), v2=False)
    bearer = {"description": "Bearer Token authentication", "type": "apiKey", "name": "authorization", "in": "header"}
    return {
        "openapi": "3.0.0",
        "info": INFO,
        "paths": {each.path: path(each, _operation, _parameter) for each in paths(kinds, only)},
        "components": {"schemas": schemas, "securitySchemes": {"BearerToken": bearer}},
        "security": [{"BearerToken": []}],
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {**described(parameter), "schema": {"type": parameter.type, "uniqueItems": True}}


def _operation(operation: Operation) -> dict[str, Any]:
    written: dict[str, Any] = {
        "description": operation.description,
        "tags": [operation.tag],
        "operationId": operation.id,
        "responses": {
            code: {"description": text, **({} if name == "-" else {"content": _content(operation.produces, name)})}
            for code, text, name in operation.responses
        },
        "x-kubernetes-action": operation.action,
    }
    if operation.parameters:
        written["parameters"] = [_parameter(parameter) for parameter in operation.parameters]
    if operation.body:
        consumes = JSON_TYPES if operation.consumes == ("*/*",) else operation.consumes
        body: dict[str, Any] = {"content": _content(consumes, operation.body)}
        written["requestBody"] = {**body, "required": True} if operation.body_required else body
    if operation.gvk is not None:
        written["x-kubernetes-group-version-kind"] = operation.gvk._asdict()
    return written


def _content(types: Iterable[str], name: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{name}"} if name else {"type": "string"}
    return {media_type: {"schema": schema} for media_type in types}
