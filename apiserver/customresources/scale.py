"""``scale`` of a custom resource: replicas at paths that its definition names (upstream: customresource/etcd.go)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from apiserver.crdschema.fieldpath import keys_of
from apiserver.kinds.checks import MAX_INT32
from apiserver.kinds.subresources import SUBRESOURCES, Subresource
from apiserver.kinds.subresources.scale import shown
from machinery.errors import BadRequest, FieldError, InternalError
from machinery.objects import Object


@dataclass(frozen=True)
class Paths:
    """Where replicas and selector are."""

    spec: str
    status: str
    selector: str = ""

    @classmethod
    def of(cls, scale: Object) -> Paths:
        """From a definition."""
        return cls(scale["specReplicasPath"], scale["statusReplicasPath"], scale.get("labelSelectorPath") or "")

    def show(self, obj: Object) -> Object:
        """An object's Scale."""
        try:
            replicas, ready = _number(obj, self.spec), _number(obj, self.status)
            selector = _text(obj, self.selector) if self.selector else ""
        except ValueError as error:
            raise InternalError(f"Internal error occurred: {error}") from None
        return shown(obj, replicas or 0, ready or 0, selector)

    def resize(self, obj: Object, scale: Object) -> None:
        """Takes over the replicas of a Scale."""
        if "replicas" not in (scale.get("spec") or {}) and _number(obj, self.spec) is None:
            raise BadRequest(f'the spec replicas field "{self.spec}" cannot be empty')
        *keys, last = keys_of(self.spec)
        inner: Any = obj
        for key in keys:
            inner = inner.setdefault(key, {})
        inner[last] = (scale.get("spec") or {}).get("replicas", 0)

    def check(self, obj: Object, *, spec: bool) -> Iterator[FieldError]:
        """What is wrong with the values at the paths; of the spec only when it may have changed."""
        for path in (self.spec, self.status)[0 if spec else 1 :]:
            try:
                replicas = _number(obj, path) or 0
            except ValueError as error:
                yield FieldError.invalid(path, 0, str(error))
                continue
            if replicas < 0:
                yield FieldError.invalid(path, replicas, "should be a non-negative integer")
            elif replicas > MAX_INT32:
                yield FieldError.invalid(path, replicas, f"should be less than or equal to {MAX_INT32}")
        if self.selector:
            try:
                _text(obj, self.selector)
            except ValueError as error:
                yield FieldError.invalid(self.selector, "", str(error))

    def row(self) -> Subresource:
        """The subresource with these paths."""
        owned = tuple(f"f:{key}" for key in keys_of(self.spec))
        return replace(SUBRESOURCES["scale"], show=self.show, apply=self.resize, replicas=owned)


def _number(obj: Object, path: str) -> int | None:
    found = _find(obj, path)
    if found is None or (isinstance(found, int) and not isinstance(found, bool)):
        return found
    raise ValueError(f"{path} accessor error: {found} is of the type {_go_type(found)}, expected int64")


def _text(obj: Object, path: str) -> str:
    found = _find(obj, path)
    if found is None or isinstance(found, str):
        return found or ""
    raise ValueError(f"{path} accessor error: {found} is of the type {_go_type(found)}, expected string")


def _find(value: Any, path: str) -> Any:
    for key in keys_of(path):
        if value is None:
            return None
        if not isinstance(value, dict):
            expected = "map[string]interface{}"
            raise ValueError(f"{path} accessor error: {value} is of the type {_go_type(value)}, expected {expected}")
        value = value.get(key)
    return value


def _go_type(value: Any) -> str:
    names = {bool: "bool", int: "int64", float: "float64", str: "string", list: "[]interface {}"}
    return names.get(type(value), "map[string]interface {}")
