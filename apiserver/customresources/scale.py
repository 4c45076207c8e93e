"""The subresource scale of custom resources, with the paths that a definition names (upstream: customresource/etcd.go).

A path has plain dot notation: ``.spec.replicas``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from apiserver.crdschema.fieldpath import keys_of
from apiserver.kinds.subresources.scale import SCALE, shown
from apiserver.model.checks import MAX_INT32
from apiserver.model.kind import Subresource
from machinery.errors import BadRequest, FieldError, InternalError
from machinery.goformat import go_value
from machinery.objects import Object


@dataclass(frozen=True)
class Paths:
    """The paths of an object's wanted and current replicas and, if not "", of its label selector."""

    spec: str
    status: str
    selector: str = ""

    @classmethod
    def of(cls, scale: Object) -> Paths:
        """Return the paths in a definition's ``subresources.scale``."""
        return cls(scale["specReplicasPath"], scale["statusReplicasPath"], scale.get("labelSelectorPath") or "")

    def show(self, obj: Object) -> Object:
        """Return an object's Scale; raises InternalError if the values at the paths have the wrong types."""
        try:
            replicas, ready = _number(obj, self.spec), _number(obj, self.status)
            selector = _text(obj, self.selector) if self.selector else ""
        except ValueError as error:
            raise InternalError(f"Internal error occurred: {error}") from None
        return shown(obj, replicas or 0, ready or 0, selector)

    def resize(self, obj: Object, scale: Object) -> None:
        """Set an object's replicas, in place, to those of a Scale; raises BadRequest if neither has any."""
        if "replicas" not in (scale.get("spec") or {}) and _number(obj, self.spec) is None:
            raise BadRequest(f'the spec replicas field "{self.spec}" cannot be empty')
        *keys, last = keys_of(self.spec)
        inner: Any = obj
        for key in keys:
            inner = inner.setdefault(key, {})
        inner[last] = (scale.get("spec") or {}).get("replicas", 0)

    def check(self, obj: Object, *, spec: bool) -> Iterator[FieldError]:
        """Yield what is wrong with the values at the paths; ``spec`` says whether to check the wanted replicas too."""
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
        """Return the row of the subresource with these paths."""
        owned = tuple(f"f:{key}" for key in keys_of(self.spec))
        return replace(SCALE, show=self.show, apply=self.resize, replicas=owned)


def _number(obj: Object, path: str) -> int | None:
    found = _find(obj, path)
    if found is None or (isinstance(found, int) and not isinstance(found, bool)):
        return found
    raise ValueError(f"{path} accessor error: {go_value(found)} is of the type {_go_type(found)}, expected int64")


def _text(obj: Object, path: str) -> str:
    found = _find(obj, path)
    if found is None or isinstance(found, str):
        return found or ""
    raise ValueError(f"{path} accessor error: {go_value(found)} is of the type {_go_type(found)}, expected string")


def _find(value: Any, path: str) -> Any:
    for key in keys_of(path):
        if value is None:
            return None
        if not isinstance(value, dict):
            found = f"{go_value(value)} is of the type {_go_type(value)}"
            raise ValueError(f"{path} accessor error: {found}, expected map[string]interface{{}}")
        value = value.get(key)
    return value


def _go_type(value: Any) -> str:
    names = {bool: "bool", int: "int64", float: "float64", str: "string", list: "[]interface {}"}
    return names.get(type(value), "map[string]interface {}")
