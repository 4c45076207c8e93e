"""What stands in the files of configMap, secret, downwardAPI and projected volumes. Pure but for the look-ups.

A payload maps a path in the volume to contents and mode; the atomic writer puts it on disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kubelet.container.env import Kind, Lookup, data_of
from kubelet.container.fieldref import DownwardApi, FieldPathError
from kubelet.model import podspec
from kubelet.volumes.mounting import VolumeError
from machinery.objects import Object

DEFAULT_MODE = 0o644
MISSING_KEY: dict[Kind, str] = {
    "configmap": "configmap references non-existent config key",
    "secret": "references non-existent secret key",
}


@dataclass(frozen=True, slots=True)
class PayloadFile:
    """A file of a volume: its contents, permissions, and owner (None for root)."""

    contents: bytes
    mode: int
    owner: int | None = None


Payload = dict[str, PayloadFile]
TokenSource = Callable[[Object, Mapping[str, Any]], str]  # pod, serviceAccountToken source → token


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the payload of one pod's volumes may be made from."""

    downward: DownwardApi
    lookup: Lookup
    token: TokenSource


def payload(inputs: Inputs, volume: Mapping[str, Any]) -> Payload:
    """Return the files of a volume. Raises VolumeError when an object, a key or a field that it needs is missing."""
    return {_checked(path): file for path, file in _files(inputs, volume).items()}


def _files(inputs: Inputs, volume: Mapping[str, Any]) -> Payload:
    if source := volume.get("configMap"):
        return _of_object(inputs, "configmap", source, source.get("name", ""), _mode(source))
    if source := volume.get("secret"):
        return _of_object(inputs, "secret", source, source.get("secretName", ""), _mode(source))
    if "downwardAPI" in volume:
        source = volume["downwardAPI"] or {}
        return _downward(inputs, source, _mode(source))
    return _projected(inputs, volume["projected"] or {})


def _mode(source: Mapping[str, Any]) -> int:
    mode = source.get("defaultMode")
    return DEFAULT_MODE if mode is None else int(mode)


def _projected(inputs: Inputs, projected: Mapping[str, Any]) -> Payload:
    mode, out = _mode(projected), Payload()
    for source in projected.get("sources", []):
        if part := source.get("configMap"):
            out |= _of_object(inputs, "configmap", part, part.get("name", ""), mode)
        elif part := source.get("secret"):
            out |= _of_object(inputs, "secret", part, part.get("name", ""), mode)
        elif "downwardAPI" in source:
            out |= _downward(inputs, source["downwardAPI"] or {}, mode)
        elif part := source.get("serviceAccountToken"):
            out |= _token(inputs, part, mode)
        else:
            raise VolumeError(f"projected source {', '.join(source)} is not supported")
    return out


def _of_object(inputs: Inputs, kind: Kind, source: Mapping[str, Any], name: str, mode: int) -> Payload:
    optional = bool(source.get("optional"))
    found = inputs.lookup(kind, inputs.downward.pod["metadata"]["namespace"], name)
    if found is None:
        if optional:
            return {}
        raise VolumeError(f'{kind} "{name}" not found')
    values = data_of(kind, found)
    items = source.get("items")
    if not items:
        return {key: PayloadFile(value, mode) for key, value in values.items()}
    out = Payload()
    for item in items:
        if item["key"] in values:
            own = item.get("mode")
            out[item["path"]] = PayloadFile(values[item["key"]], mode if own is None else int(own))
        elif not optional:
            raise VolumeError(f"{MISSING_KEY[kind]}: {item['key']}")
    return out


def _downward(inputs: Inputs, source: Mapping[str, Any], mode: int) -> Payload:
    out = Payload()
    for item in source.get("items", []):
        own = item.get("mode")
        text = _downward_text(inputs, item)
        out[item["path"]] = PayloadFile(text.encode(), mode if own is None else int(own))
    return out


def _downward_text(inputs: Inputs, item: Mapping[str, Any]) -> str:
    try:
        return inputs.downward.value(item)
    except FieldPathError as error:
        raise VolumeError(str(error)) from error


def _token(inputs: Inputs, source: Mapping[str, Any], mode: int) -> Payload:
    """Return the token's file. If the pod names its user, only that user may read it, as in upstream."""
    user = fs_user(inputs.downward.pod)
    if user is not None or fs_group(inputs.downward.pod) is not None:
        mode = 0o600
    return {source["path"]: PayloadFile(inputs.token(inputs.downward.pod, source).encode(), mode, user)}


def fs_group(pod: Object) -> int | None:
    group = pod["spec"].get("securityContext", {}).get("fsGroup")
    return None if group is None else int(group)


def fs_user(pod: Object) -> int | None:
    """Return the user of all containers, None if they differ or name none."""
    default = pod["spec"].get("securityContext", {}).get("runAsUser")
    users = {spec.get("securityContext", {}).get("runAsUser", default) for spec in podspec.every_container(pod)}
    user = users.pop() if len(users) == 1 else None
    return None if user is None else int(user)


def _checked(path: str) -> str:
    """Return the path without empty parts. It stays inside the volume and off the writer's own names, which begin
    with "..", whatever validation let through.
    """
    if path.startswith(("/", "..")) or ".." in path.split("/") or os.path.normpath(path) == ".":
        raise VolumeError(f'invalid path "{path}": must be relative and without ".."')
    return os.path.normpath(path)
