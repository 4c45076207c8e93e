"""Serialize the v2 document as google/gnostic's protobuf message, for kubectl before 1.24.

Only the messages that our documents need are declared. Numbers and types are those of gnostic's OpenAPIv2.proto. There,
maps are lists of (name, value), and extensions have their values as YAML.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "openapi.v2"
# message → fields as "name number type", "*" before the type of a repeated one.
_MESSAGES = {
    "Any": "yaml 2 string",
    "NamedAny": "name 1 string, value 2 Any",
    "Document": "swagger 1 string, info 2 Info, paths 8 Paths, definitions 9 Definitions",
    "Info": "title 1 string, version 2 string",
    "Paths": "path 2 *NamedPathItem",
    "NamedPathItem": "name 1 string, value 2 PathItem",
    "PathItem": "get 2 Operation, put 3 Operation, post 4 Operation, delete 5 Operation, options 6 Operation, "
    "head 7 Operation, patch 8 Operation, parameters 9 *ParametersItem",
    "Operation": "tags 1 *string, description 3 string, operation_id 5 string, produces 6 *string, consumes 7 *string, "
    "parameters 8 *ParametersItem, responses 9 Responses, schemes 10 *string, vendor_extension 13 *NamedAny",
    "ParametersItem": "parameter 1 Parameter",
    "Parameter": "body_parameter 1 BodyParameter, non_body_parameter 2 NonBodyParameter",
    "BodyParameter": "name 2 string, in 3 string, required 4 bool, schema 5 Schema",
    "NonBodyParameter": "query_parameter_sub_schema 3 QueryParameter, path_parameter_sub_schema 4 PathParameter",
    "QueryParameter": "in 2 string, description 3 string, name 4 string, type 6 string, unique_items 20 bool",
    "PathParameter": "required 1 bool, in 2 string, description 3 string, name 4 string, type 5 string, "
    "unique_items 19 bool",
    "Responses": "response_code 1 *NamedResponse",
    "NamedResponse": "name 1 string, value 2 ResponseValue",
    "ResponseValue": "response 1 Response",
    "Response": "description 1 string, schema 2 SchemaItem",
    "SchemaItem": "schema 1 Schema",
    "Definitions": "additional_properties 1 *NamedSchema",
    "NamedSchema": "name 1 string, value 2 Schema",
    "Properties": "additional_properties 1 *NamedSchema",
    "Items": "schema 1 *Schema",
    "AdditionalProperties": "schema 1 Schema",
    "Type": "value 1 *string",
    "Schema": "_ref 1 string, format 2 string, description 4 string, required 19 *string, "
    "additional_properties 21 AdditionalProperties, type 22 Type, items 23 Items, properties 25 Properties, "
    "vendor_extension 31 *NamedAny",
}
_SCALARS = {
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
}


def serialize(document: dict[str, Any]) -> bytes:
    """Return the message of a v2 document."""
    message = _document_class()(
        swagger=document["swagger"],
        info=document["info"],
        paths={"path": _named(document["paths"], _path)},
        definitions={"additional_properties": _named(document["definitions"], _schema)},
    )
    content: bytes = message.SerializeToString()
    return content


@cache
def _document_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="openapiv2.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in fields.split(", "):
            field_name, number, kind = field.split()
            declared = message.field.add(name=field_name, number=int(number))
            label = "LABEL_REPEATED" if kind.startswith("*") else "LABEL_OPTIONAL"
            declared.label = getattr(descriptor_pb2.FieldDescriptorProto, label)
            kind = kind.removeprefix("*")
            if kind in _SCALARS:
                declared.type = _SCALARS[kind]
            else:
                declared.type = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
                declared.type_name = f".{_PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Document"))


def _named(values: dict[str, Any], convert: Any) -> list[dict[str, Any]]:
    return [{"name": name, "value": convert(value)} for name, value in values.items()]


def _extensions(source: dict[str, Any]) -> list[dict[str, Any]]:
    # The values are written as JSON, which is also YAML.
    return [
        {"name": name, "value": {"yaml": orjson.dumps(value).decode()}}
        for name, value in source.items()
        if name.startswith("x-")
    ]


def _path(path: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"parameters": [_parameter(parameter) for parameter in path["parameters"]]}
    for method, operation in path.items():
        if method != "parameters":
            message[method] = _operation(operation)
    return message


def _operation(operation: dict[str, Any]) -> dict[str, Any]:
    return {
        "tags": operation["tags"],
        "description": operation["description"],
        "operation_id": operation["operationId"],
        "produces": operation["produces"],
        "consumes": operation["consumes"],
        "schemes": operation["schemes"],
        "parameters": [_parameter(parameter) for parameter in operation.get("parameters", ())],
        "responses": {"response_code": _named(operation["responses"], _response)},
        "vendor_extension": _extensions(operation),
    }


def _parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    written = {key: value for key, value in parameter.items() if key not in ("schema", "uniqueItems")}
    if parameter["in"] == "body":
        return {"parameter": {"body_parameter": {**written, "schema": _schema(parameter["schema"])}}}
    written["unique_items"] = parameter["uniqueItems"]
    place = "query" if parameter["in"] == "query" else "path"
    return {"parameter": {"non_body_parameter": {f"{place}_parameter_sub_schema": written}}}


def _response(response: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"description": response["description"]}
    if "schema" in response:
        message["schema"] = {"schema": _schema(response["schema"])}
    return {"response": message}


def _schema(schema: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {key: schema[key] for key in ("format", "description", "required") if key in schema}
    if "$ref" in schema:
        message["_ref"] = schema["$ref"]
    if "type" in schema:
        message["type"] = {"value": [schema["type"]]}
    if "items" in schema:
        message["items"] = {"schema": [_schema(schema["items"])]}
    if isinstance(schema.get("additionalProperties"), dict):
        message["additional_properties"] = {"schema": _schema(schema["additionalProperties"])}
    if "properties" in schema:
        message["properties"] = {"additional_properties": _named(schema["properties"], _schema)}
    if extensions := _extensions(schema):
        message["vendor_extension"] = extensions
    return message
