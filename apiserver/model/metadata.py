"""The metadata that all objects have: what the server sets on creation, restores on updates, and checks on both.

Upstream's rules and messages: apimachinery ``api/validation/objectmeta.go``, apiserver ``registry/rest/update.go``.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from itertools import chain
from typing import Any

import orjson

from apiserver.model.kind import Kind
from machinery.errors import BadRequest, FieldError
from machinery.objects import Object, now, random_suffix
from machinery.validation import is_finalizer_name, is_label_value, is_qualified_name

SUFFIX_LENGTH = 5
ANNOTATIONS_LIMIT = 256 * 1024
# Set by the server: on an update they are restored.
_SERVERS_OWN = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
_REPEATED_OWNERS = (
    ".metadata.ownerReferences contains duplicate entries{}; API server dedups owner references in 1.20+, and may "
    "reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}"
)
_IMMUTABLE = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def place(kind: Kind, namespace: str, obj: Object) -> None:
    """Set the namespace to that of the request's path; raises BadRequest if the object says another."""
    metadata = obj["metadata"]
    if not kind.namespaced:
        if metadata.get("namespace"):
            raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
        return
    if metadata.setdefault("namespace", namespace) != namespace:
        if metadata["namespace"]:
            raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
        metadata["namespace"] = namespace


def check_name(obj: Object, name: str, namespace: str) -> None:
    """Raise BadRequest unless the object is the one that the path names (upstream: handlers' checkName)."""
    metadata = obj["metadata"]
    found, found_namespace = metadata.get("name"), metadata.get("namespace")
    if not found:
        why = f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        raise BadRequest(why)
    if found != name:
        raise BadRequest(f"the name of the object ({found}) does not match the name on the URL ({name})")
    if namespace and found_namespace and found_namespace != namespace:
        raise BadRequest(
            f"the namespace of the object ({found_namespace}) does not match the namespace on the request ({namespace})"
        )


def stamp(obj: Object) -> None:
    """Set uid and creationTimestamp of a new object, and drop what else only the server sets.

    Raises BadRequest if the client has sent a resourceVersion.
    """
    metadata = obj["metadata"]
    if metadata.get("resourceVersion"):
        raise BadRequest("resourceVersion should not be set on objects to be created")
    for field in (*_SERVERS_OWN, "resourceVersion", "selfLink"):
        metadata.pop(field, None)
    metadata["uid"] = str(uuid.UUID(int=random.getrandbits(128), version=4))
    metadata["creationTimestamp"] = now()


def unique_owners(obj: Object, when: str = "") -> list[str]:
    """Remove repeated ownerReferences; return warnings about them. ``when`` is a part of the warning's text."""
    owners = obj["metadata"].get("ownerReferences") or ()
    if len(owners) < 2:
        return []
    unique: dict[bytes, Object] = {}
    repeated: list[str] = []
    for owner in owners:
        if unique.setdefault(orjson.dumps(owner, option=orjson.OPT_SORT_KEYS), owner) is not owner:
            repeated.append(str(owner.get("uid", "")))
    if not repeated:
        return []
    obj["metadata"]["ownerReferences"] = list(unique.values())
    return [_REPEATED_OWNERS.format(when, ", ".join(repeated))]


def generate_name(kind: Kind, base: str) -> str:
    """Return a name of ``base`` and a random suffix; a long base is cut so that the name is not too long."""
    return base[: kind.strategy.max_name_length - SUFFIX_LENGTH] + random_suffix(SUFFIX_LENGTH)


def keep(new: Object, old: Object) -> None:
    """Restore, on an update, what only the server may set.

    A uid, name or namespace that the client has sent is left as it is: ``validate_update`` compares it.
    """
    metadata, before = new["metadata"], old["metadata"]
    for field in ("selfLink", "generation"):
        metadata.pop(field, None)
    for field in _SERVERS_OWN:
        if field in before and (field in ("generation",) or not metadata.get(field)):
            metadata[field] = before[field]
        elif field not in before and field in ("deletionTimestamp", "deletionGracePeriodSeconds"):
            metadata.pop(field, None)
    for field in ("name", "namespace"):
        if field in before:
            metadata.setdefault(field, before[field])
    metadata["resourceVersion"] = before["resourceVersion"]


def validate(kind: Kind, obj: Object) -> Iterator[FieldError]:
    """Yield everything that is wrong with a new object's metadata."""
    metadata = obj["metadata"]
    return chain(_names(kind, metadata), _maps(metadata), _owners(metadata), _finalizers(kind, metadata))


def validate_update(kind: Kind, new: Object, old: Object) -> Iterator[FieldError]:
    """Yield everything that is wrong with the metadata of a changed object."""
    metadata, before = new["metadata"], old["metadata"]
    yield from chain(_maps(metadata), _owners(metadata), _finalizers(kind, metadata))
    if before.get("deletionTimestamp"):
        known = frozenset(before.get("finalizers") or ())
        added = [name for name in metadata.get("finalizers") or () if name not in known]
        if added:
            listed = ", ".join(f'"{name}"' for name in added)
            why = "no new finalizers can be added if the object is being deleted, found new finalizers"
            yield FieldError.forbidden("metadata.finalizers", f"{why} []string{{{listed}}}")
    for field in _IMMUTABLE:
        if (metadata.get(field) or None) != (before.get(field) or None):
            yield FieldError.invalid(f"metadata.{field}", metadata.get(field), "field is immutable")


def _names(kind: Kind, metadata: Object) -> Iterator[FieldError]:
    name = metadata.get("name") or ""
    if not name:
        yield FieldError.required("metadata.name", "name or generateName is required")
    else:
        for why in kind.strategy.validate_name(name):
            yield FieldError.invalid("metadata.name", name, why)
    if kind.namespaced and not metadata.get("namespace"):
        yield FieldError.required("metadata.namespace")
    elif not kind.namespaced and metadata.get("namespace"):
        yield FieldError.forbidden("metadata.namespace", "not allowed on this type")


def _maps(metadata: Object) -> Iterator[FieldError]:
    for key, value in (metadata.get("labels") or {}).items():
        for why in is_qualified_name(key):
            yield FieldError.invalid("metadata.labels", key, why)
        for why in is_label_value(value):
            yield FieldError.invalid("metadata.labels", value, why)
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        for why in is_qualified_name(key.lower()):
            yield FieldError.invalid("metadata.annotations", key, why)
    if annotations and sum(len(k.encode()) + len(v.encode()) for k, v in annotations.items()) > ANNOTATIONS_LIMIT:
        yield FieldError.too_long("metadata.annotations", ANNOTATIONS_LIMIT)


def _owners(metadata: Object) -> Iterator[FieldError]:
    controllers: list[str] = []
    for index, owner in enumerate(metadata.get("ownerReferences") or ()):
        path = f"metadata.ownerReferences[{index}]"
        for field, what in (("apiVersion", "version"), ("kind", "kind"), ("name", "name"), ("uid", "uid")):
            if not owner.get(field):
                why = f"{what} must not be empty"
                yield FieldError.invalid(f"{path}.{field}", owner.get(field, ""), why)
        if owner.get("apiVersion") == "v1" and owner.get("kind") == "Event":
            yield FieldError.invalid(path, "/v1, Kind=Event", "/v1, Kind=Event is disallowed from being an owner")
        if owner.get("controller"):
            controllers.append(str(owner.get("name", "")))
    if len(controllers) > 1:
        why = 'Only one reference can have Controller set to true. Found "true" in references for {} and {}'
        yield FieldError.invalid("metadata.ownerReferences", metadata["ownerReferences"], why.format(*controllers[:2]))


def _finalizers(kind: Kind, metadata: Object) -> Iterator[FieldError]:
    names: list[Any] = metadata.get("finalizers") or []
    check = is_finalizer_name if kind.strategy.qualified_finalizers else is_qualified_name
    for name in names:
        for why in check(name):
            yield FieldError.invalid("metadata.finalizers", name, why)
    if "orphan" in names and "foregroundDeletion" in names:
        why = "finalizer orphan and foregroundDeletion cannot be both set"
        yield FieldError.invalid("metadata.finalizers", names, why)
