"""Secrets: bytes under keys, with a type that says which keys there must be (upstream: pkg/registry/core/secret)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from apiserver.kinds.cells import AGE, NAME
from apiserver.kinds.configmaps import data_size, immutable_data
from apiserver.model import checks
from apiserver.model.kind import Column, Kind, Strategy
from apiserver.schema.codec import upstream
from machinery.errors import FieldError
from machinery.objects import Object

OPAQUE = "Opaque"
SERVICE_ACCOUNT_TOKEN = "kubernetes.io/service-account-token"
SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"
REDACTED = "<secret contents redacted>"
# Types whose data must hold a JSON object, and the key that it must be under.
DOCKER_KEYS = {"kubernetes.io/dockercfg": ".dockercfg", "kubernetes.io/dockerconfigjson": ".dockerconfigjson"}


class SecretStrategy(Strategy):
    def default(self, obj: Object) -> None:
        """Encode ``stringData`` into ``data``, over what is there; only ``data`` is stored."""
        obj.setdefault("type", OPAQUE)
        text = obj.pop("stringData", None)
        if text:
            data = obj.setdefault("data", {})
            data.update({name: base64.b64encode(value.encode()).decode() for name, value in text.items()})

    def validate(self, obj: Object) -> checks.Errors:
        data = obj.get("data", {})
        yield from checks.data_keys("data", data)
        if data_size(data) > checks.MAX_DATA_BYTES:
            yield FieldError.too_long("data", checks.MAX_DATA_BYTES)
        yield from _validate_type(obj, data)

    def prepare_update(self, new: Object, old: Object) -> None:
        # A PUT without a type means "as it is": the type cannot change anyway.
        if not new.get("type"):
            new["type"] = old.get("type", OPAQUE)

    def validate_update(self, new: Object, old: Object) -> checks.Errors:
        return [
            *checks.immutable("type", new.get("type"), old.get("type")),
            *immutable_data(new, old, "data"),
            *self.validate(new),
        ]

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {"type": obj.get("type", "")}


def _validate_type(obj: Object, data: dict[str, str]) -> checks.Errors:
    match obj.get("type"):
        case type if type == SERVICE_ACCOUNT_TOKEN:
            if not obj["metadata"].get("annotations", {}).get(SERVICE_ACCOUNT_NAME):
                yield FieldError.required(f"metadata.annotations[{SERVICE_ACCOUNT_NAME}]")
        case type if type in DOCKER_KEYS:
            yield from _validate_json(DOCKER_KEYS[type], data)
        case "kubernetes.io/basic-auth":
            if "username" not in data and "password" not in data:
                yield FieldError.required("data[username]")
                yield FieldError.required("data[password]")
        case "kubernetes.io/ssh-auth":
            if not data.get("ssh-privatekey"):
                yield FieldError.required("data[ssh-privatekey]")
        case "kubernetes.io/tls":
            for name in ("tls.crt", "tls.key"):
                if name not in data:
                    yield FieldError.required(f"data[{name}]")


def _validate_json(name: str, data: dict[str, str]) -> checks.Errors:
    if name not in data:
        yield FieldError.required(f"data[{name}]")
        return
    try:
        well_formed = isinstance(json.loads(base64.b64decode(data[name])), dict)
    except ValueError:
        well_formed = False
    if not well_formed:
        yield FieldError.invalid(f"data[{name}]", REDACTED, "invalid character: the value must be a JSON object")


SECRETS = Kind(
    *upstream("", "Secret"),
    strategy=SecretStrategy(),
    columns=(
        NAME,
        Column("Type", lambda obj: obj.get("type", "")),
        Column("Data", lambda obj: len(obj.get("data", {}))),
        AGE,
    ),
)
