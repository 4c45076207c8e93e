"""Decode a body to an object of the kind that the path names, or raise upstream's 400 that says why not.

The rules are those of upstream's create handler and JSON serializer. The kind and apiVersion of the body may be absent,
else they must be those of the path. Unknown and duplicate fields are dropped, and what else happens is for
fieldValidation to say: Strict refuses the body, Warn adds a warning for each, Ignore does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import orjson

from apiserver.model.kind import Kind
from apiserver.schema import body as bodies
from apiserver.schema import protobuf
from apiserver.schema.body import Source
from apiserver.schema.compiled import is_registered
from apiserver.schema.tree import MismatchError, Problem, SchemaNode, Struct, listed
from machinery.errors import ApiError, BadRequest, FieldError, Invalid, invalid, quote
from machinery.objects import Object

# The Go struct that upstream first decodes a body into, as messages show it.
_IDENTITY = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
_NO_SOURCE = Source()
_SCHEME = "pkg/api/legacyscheme/scheme.go:30"


def decode(
    kind: Kind, node: SchemaNode, body: bytes, content_type: str, *, field_validation: str, version: str
) -> tuple[Object, list[str]]:
    """Return the object in a body and warnings about what was dropped: see ``Codec.decode``."""
    api_version = f"{kind.group}/{version}" if kind.group and version else version or kind.api_version
    if bodies.is_protobuf(content_type):
        obj, source = _read_protobuf(kind, api_version, body), _NO_SOURCE
    else:
        obj, source = read(kind, body, content_type)
    found_version, found_kind = _check_identity(kind, api_version, obj)
    if version not in ("", kind.version) and kind.convert is not None:
        kind.convert(obj, version, True)
    refuse = partial(cannot_be_handled, kind, found_version, found_kind)
    warnings = fit(node, obj, source, field_validation=field_validation, refuse=refuse)
    obj["apiVersion"], obj["kind"] = kind.api_version, kind.kind
    if "metadata" not in obj and node.child("metadata") is not None:
        obj["metadata"] = {}
    return obj, warnings


def _read_protobuf(kind: Kind, api_version: str, body: bytes) -> Object:
    """Return the object in a body in protobuf; raises BadRequest."""
    try:
        obj = protobuf.parse(body, api_version, kind.kind, kind.codec.definition)
        bodies.written(obj)
    except protobuf.MalformedBodyError as error:
        if error.kind:
            raise cannot_be_handled(kind, error.api_version, error.kind, str(error)) from None
        raise unrecognized(kind, str(error), body) from None
    except bodies.MalformedError as error:
        raise cannot_be_handled(kind, api_version, kind.kind, str(error)) from None
    return obj


def read(kind: Kind, body: bytes, content_type: str) -> tuple[Object, Source]:
    """Return the object in a body, and the body for ``fit``; raises BadRequest if the body is not an object.

    Raises UnsupportedMediaType for other forms than JSON and YAML.
    """
    try:
        obj, source = bodies.parse(body, content_type)
        obj = {} if obj is None else obj
    except bodies.MalformedError as error:
        text = str(error)
        if not text.startswith("error converting YAML"):
            text = f"couldn't get version/kind; json parse error: {text}"
        raise unrecognized(kind, text, body) from None
    if type(obj) is not dict:
        mismatch = MismatchError(obj, _IDENTITY)
        raise unrecognized(kind, f"couldn't get version/kind; json parse error: {mismatch}", body)
    for field in ("apiVersion", "kind"):
        if not isinstance(obj.get(field) or "", str):
            mismatch = MismatchError(obj[field], "string")
            text = f"json: cannot unmarshal {mismatch.word} into Go struct field .{field} of type string"
            raise unrecognized(kind, f"couldn't get version/kind; json parse error: {text}", body)
    return obj, source


def fit(
    node: SchemaNode,
    obj: Object,
    source: Source = _NO_SOURCE,
    *,
    field_validation: str,
    refuse: Callable[[str], ApiError],
) -> list[str]:
    """Bring an object into its stored form, in place; return warnings about the fields that were dropped.

    Duplicate fields are found in the source, because the object no longer has them. Raises what ``refuse`` returns for
    the reason why the object does not fit the schema.
    """
    try:
        problems: Sequence[Problem] | None = node.walk(obj) if node.walk else None
    except MismatchError as mismatch:
        raise refuse(str(mismatch)) from None
    if field_validation == "Ignore":
        return []
    if source.json and bodies.may_have_duplicates(source):
        problems = bodies.fields(source, node)
    texts = [*source.duplicates, *map(str, listed(problems or ()))]
    if texts and field_validation == "Strict":
        raise refuse(f"strict decoding error: {', '.join(texts)}")
    return texts


def check(node: SchemaNode, obj: Object, *, field_validation: str) -> tuple[Object, list[str]]:
    """Prune and normalize an object that a patch produced: see ``Codec.check``."""
    warnings = fit(node, obj, field_validation=field_validation, refuse=partial(invalid_patch, obj))
    if isinstance(node, Struct) and "metadata" in node.specs:
        obj.setdefault("metadata", {})
    return obj, warnings


def _check_identity(kind: Kind, api_version: str, obj: Object) -> tuple[str, str]:
    """Return the apiVersion and kind of the body; raises BadRequest unless they are those of the path."""
    found_version, found_kind = obj.get("apiVersion") or api_version, obj.get("kind") or kind.kind
    if (found_version, found_kind) == (api_version, kind.kind):
        return found_version, found_kind
    if not is_registered(found_version, found_kind) or found_kind != kind.kind:
        raise cannot_be_handled(kind, found_version, found_kind, unfitting(kind, found_version, found_kind))
    if kind.definition.startswith("io.k8s.apimachinery."):
        return found_version, found_kind  # DeleteOptions and its like belong to every group
    raise BadRequest(
        f"the API version in the data ({found_version}) does not match the expected API version ({api_version})"
    )


def unfitting(kind: Kind, found_version: str, found_kind: str) -> str:
    """Return the text of upstream's scheme about an object of another kind."""
    if not is_registered(found_version, found_kind):
        return (
            f"no kind {quote(found_kind)} is registered for version {quote(found_version)} in scheme {quote(_SCHEME)}"
        )
    wrong = f"{found_version.rpartition('/')[2]}.{found_kind}"
    return f"converting ({wrong}) to ({kind.group.partition('.')[0] or 'core'}.{kind.kind}): unknown conversion"


def cannot_be_handled(kind: Kind, version: str, found: str, why: str) -> BadRequest:
    """Return upstream's 400 for a body whose kind is known."""
    version = version.rpartition("/")[2]
    return BadRequest(f"{found} in version {quote(version)} cannot be handled as a {kind.kind}: {why}")


def unrecognized(kind: Kind, why: str, body: bytes) -> BadRequest:
    """Return upstream's 400 for a body whose kind is not known."""
    return BadRequest(f"the object provided is unrecognized (must be of type {kind.kind}): {why} ({_summary(body)})")


def _summary(body: bytes) -> str:
    """Return the first 30 bytes of a body: as text if it looks like JSON, in hexadecimal otherwise."""
    if not body:
        return "<empty>"
    head = body[:30]
    text = head.decode(errors="replace") if body[:1] == b"{" else head.hex()
    return f"{text} ..." if len(body) > 30 else text


def invalid_patch(obj: Object, why: str) -> Invalid:
    """Return upstream's 422 for a patch whose result does not fit the schema."""
    return invalid("", "", [FieldError.invalid("patch", orjson.dumps(obj).decode(), why)])
