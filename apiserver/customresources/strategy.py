"""The strategy of custom resources (upstream: apiextensions-apiserver pkg/registry/customresource)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from apiserver.crdschema import embedded, fieldpath, uniqueness, values
from apiserver.customresources.codec import CustomCodec
from apiserver.customresources.scale import Paths
from apiserver.kinds.strategies import restore
from apiserver.model.kind import Strategy
from machinery.errors import FieldError, MethodNotAllowed, quote
from machinery.objects import Object
from machinery.validation import finalizer_has_owner

# After errors of these types rules are not run, because they rely on valid values.
_BLOCKING = frozenset(
    {"FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"}
)
_NOT_CHECKED = (
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)


class CustomResourceStrategy(Strategy):
    """Validate objects by the schema of a version, and keep what the subresources status and scale imply."""

    unconditional_update = False
    qualified_finalizers = False

    def __init__(
        self,
        codec: CustomCodec,
        kind: str,
        *,
        terminating: bool,
        status: bool = False,
        scale: Paths | None = None,
        selectable: Iterable[str] = (),
    ) -> None:
        self._codec = codec
        self._terminating = terminating
        self._kind = kind
        self._status = status
        self._scale = scale
        self._selectable = {path.removeprefix("."): fieldpath.keys_of(path) for path in selectable}

    def prepare_create(self, obj: Object) -> None:
        if self._terminating:
            raise MethodNotAllowed("create not allowed while custom resource definition is terminating")
        if self._status:
            obj.pop("status", None)
        obj["metadata"]["generation"] = 1

    def prepare_update(self, new: Object, old: Object) -> None:
        if self._status:
            restore(new, "status", old)
        generation = old["metadata"].get("generation", 0)
        changed = _without_metadata(new) != _without_metadata(old)
        new["metadata"]["generation"] = generation + 1 if changed else generation

    def prepare_status_update(self, new: Object, old: Object) -> None:
        """Restore everything but status and managedFields."""
        status, managed = new.get("status", values.MISSING), new["metadata"].get("managedFields")
        new.clear()
        new |= orjson.loads(orjson.dumps(old))
        if managed is not None:
            new["metadata"]["managedFields"] = managed
        new.pop("status", None)
        if status is not values.MISSING:
            new["status"] = status

    def reset_fields(self, subresource: str) -> Mapping[str, Any]:
        return super().reset_fields(subresource) if self._status else {}

    def validate(self, obj: Object) -> list[FieldError]:
        return self._validate(obj, None, spec=True)

    def validate_update(self, new: Object, old: Object) -> list[FieldError]:
        return self._validate(new, old, spec=True)

    def validate_status_update(self, new: Object, old: Object) -> list[FieldError]:
        return self._validate(new, old, spec=False)

    def _validate(self, new: Object, old: Object | None, *, spec: bool) -> list[FieldError]:
        if identity := list(self._identity(new)):
            return identity
        found = [
            *self._codec.values.check(new, values.MISSING if old is None else old),
            *self._scaled(new, spec=spec),
            *self._embedded(new),
            *(() if old is not None and any(self._repeated(old)) else self._repeated(new)),
        ]
        return self._with_rules(found, new, old)

    def _identity(self, obj: Object) -> Iterator[FieldError]:
        for field, wanted in (("kind", self._kind), ("apiVersion", self._codec.api_version)):
            if obj.get(field) != wanted:
                yield FieldError.invalid(field, obj.get(field, ""), f"must be {wanted}")

    def _scaled(self, obj: Object, *, spec: bool) -> Iterator[FieldError]:
        if self._scale is not None:
            yield from self._scale.check(obj, spec=spec)

    def _embedded(self, obj: Object) -> Iterator[FieldError]:
        if self._codec.has_embedded:
            yield from embedded.check_embedded(self._codec.schema, obj)

    def _repeated(self, obj: Object) -> Iterator[FieldError]:
        if self._codec.has_unique_elements:
            yield from uniqueness.check_uniqueness(self._codec.schema, obj)

    def _with_rules(self, found: list[FieldError], obj: Object, old: Object | None) -> list[FieldError]:
        """Return the errors found so far and those of the schema's rules; rules are not run on invalid values."""
        rules = self._codec.rules
        if rules is None:
            return found
        if any(error.type in _BLOCKING for error in found):
            return [*found, FieldError.invalid("<nil>", None, _NOT_CHECKED)]
        return [*found, *rules.check(obj, old)]

    def warnings(self, obj: Object, before: Object | None = None) -> list[str]:
        """Return warnings about new finalizers without a domain, whose names another writer may use too."""
        known = (before or {"metadata": {}})["metadata"].get("finalizers") or ()
        return [
            f"metadata.finalizers: {quote(name)}: prefer a domain-qualified finalizer name including a path (/) "
            "to avoid accidental conflicts with other finalizer writers"
            for name in sorted({*(obj["metadata"].get("finalizers") or ())} - {*known})
            if not finalizer_has_owner(name)
        ]

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {name: _label(fieldpath.value_at(obj, keys)) for name, keys in self._selectable.items()}


def _without_metadata(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key != "metadata"}


def _label(value: Any) -> str:
    """Return a value as field selectors compare it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
