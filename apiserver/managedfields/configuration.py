"""Read the body of an apply: a part of an object, in YAML or JSON (upstream: apiserver endpoints/handlers/patch.go)."""

from __future__ import annotations

from apiserver.model.fieldmanager import Configuration
from apiserver.model.kind import Kind
from apiserver.schema import body as bodies
from apiserver.schema.tree import MismatchError
from machinery.errors import BadRequest
from machinery.objects import Object


def read(kind: Kind, version: str, body: bytes, field_validation: str) -> Configuration:
    """Return the configuration in a body; raises BadRequest unless it is of the kind and version of the path."""
    obj, source = _parse(body)
    api_version = f"{kind.group}/{version}" if kind.group else version
    if (obj.get("apiVersion"), obj.get("kind")) != (api_version, kind.kind):
        raise BadRequest(f"invalid object type: {describe(obj)}")
    duplicates = ""
    if field_validation != "Ignore":
        if source.json and bodies.may_have_duplicates(source):
            source = bodies.parse_yaml(body)[1]
        duplicates = "".join(f"error converting YAML to JSON: {text}" for text in source.duplicates)
    if kind.convert is not None and (version != kind.version or kind.stored_as is not None):
        kind.convert(obj, version, True)
    stored = kind.stored_as or kind
    obj["apiVersion"], obj["kind"] = stored.api_version, stored.kind
    return Configuration(obj, duplicates)


def _parse(body: bytes) -> tuple[Object, bodies.Source]:
    """Return the object and its source. JSON is YAML too, but as YAML takes 100 times as long to read."""
    is_json = body.lstrip()[:1] == b"{"
    try:
        try:
            value, source = bodies.parse(body, bodies.JSON if is_json else bodies.YAML)
        except bodies.MalformedError:
            if not is_json:
                raise
            value, source = bodies.parse_yaml(body)
    except bodies.MalformedError as error:
        raise BadRequest(f"error decoding YAML: {error}") from None
    if value is None:
        value = {}
    if not isinstance(value, dict):
        why = f"error unmarshaling JSON: while decoding JSON: {MismatchError(value, 'map[string]interface {}')}"
        raise BadRequest(f"error decoding YAML: {why}")
    return value, source


def describe(obj: Object) -> str:
    """Return the object's group, version and kind as Go prints a GroupVersionKind."""
    api_version, kind = obj.get("apiVersion"), obj.get("kind")
    group, _, version = api_version.rpartition("/") if isinstance(api_version, str) else ("", "", "")
    return f"{group}/{version}, Kind={kind if isinstance(kind, str) else ''}"
