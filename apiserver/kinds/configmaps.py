"""ConfigMaps: text and bytes under keys that must do as file names (upstream: pkg/registry/core/configmap)."""

from __future__ import annotations

import base64
from itertools import chain

from apiserver.kinds.cells import AGE, NAME
from apiserver.model import checks
from apiserver.model.kind import Column, Kind, Strategy
from apiserver.schema.codec import upstream
from machinery.errors import FieldError
from machinery.objects import Object

SET_FOR_EVER = "field is immutable when `immutable` is set"


def data_size(data: dict[str, str]) -> int:
    """Return how many bytes the base64 values encode."""
    return sum(len(base64.b64decode(value or "")) for value in data.values())


def immutable_data(new: Object, old: Object, *fields: str) -> checks.Errors:
    """Check that an object with ``immutable: true`` keeps that and its data."""
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield FieldError.forbidden("immutable", SET_FOR_EVER)
    for field in fields:
        if new.get(field, {}) != old.get(field, {}):
            yield FieldError.forbidden(field, SET_FOR_EVER)


class ConfigMapStrategy(Strategy):
    def validate(self, obj: Object) -> checks.Errors:
        data, binary = obj.get("data", {}), obj.get("binaryData", {})
        yield from checks.data_keys("data", data)
        for name in data:
            if name in binary:
                yield FieldError.invalid(f"data[{name}]", name, "duplicate of key present in binaryData")
        yield from checks.data_keys("binaryData", binary)
        if sum(len(value.encode()) for value in data.values()) + data_size(binary) > checks.MAX_DATA_BYTES:
            yield FieldError.too_long("[]", checks.MAX_DATA_BYTES)

    def validate_update(self, new: Object, old: Object) -> checks.Errors:
        return chain(immutable_data(new, old, "data", "binaryData"), self.validate(new))


CONFIG_MAPS = Kind(
    *upstream("", "ConfigMap"),
    short_names=("cm",),
    strategy=ConfigMapStrategy(),
    columns=(NAME, Column("Data", lambda obj: len(obj.get("data", {})) + len(obj.get("binaryData", {}))), AGE),
)
