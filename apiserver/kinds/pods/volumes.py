"""Checks of volumes and their mounts (upstream: ValidateVolumes, ValidateVolumeMounts).

Sources that this cluster can mount are checked in full. All others are only checked for being a volume's only source.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from apiserver.kinds.pods.env import VOLUME_FIELDS, validate_field_ref, validate_resource_ref
from apiserver.model import checks
from machinery import quantity
from machinery.errors import FieldError
from machinery.objects import Object

FILE_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
BACKSTEPS = "must not contain '..'"
ONE_SOURCE = "may not specify more than 1 volume type"
HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
MIN_TOKEN_SECONDS, MAX_TOKEN_SECONDS = 600, 1 << 32


def validate_volumes(path: str, spec: Object) -> checks.Errors:
    """Check ``spec.volumes``: names are unique, and each volume has one source."""
    names: set[str] = set()
    for index, volume in enumerate(spec.get("volumes", ())):
        at, name = f"{path}[{index}]", volume.get("name", "")
        sources = [field for field, source in volume.items() if field != "name" and source is not None]
        for extra in sources[1:]:
            yield FieldError.forbidden(f"{at}.{extra}", ONE_SOURCE)
        if sources:
            yield from _validate_source(f"{at}.{sources[0]}", sources[0], volume[sources[0]])
        else:
            yield FieldError.required(at, "must specify a volume type")
        yield from checks.required(f"{at}.name", name, checks.label)
        if name in names:
            yield FieldError.duplicate(f"{at}.name", name)
        names.add(name)


def _validate_source(path: str, kind: str, source: Object) -> checks.Errors:
    match kind:
        case "emptyDir":
            if quantity.parse(source.get("sizeLimit", "0")) < 0:
                why = "SizeLimit field must be a valid resource quantity"
                yield FieldError.forbidden(f"{path}.sizeLimit", why)
        case "hostPath":
            yield from _validate_host_path(path, source)
        case "configMap" | "secret":
            field = "name" if kind == "configMap" else "secretName"
            yield from checks.required(f"{path}.{field}", source.get(field))
            yield from _validate_mode(f"{path}.defaultMode", source.get("defaultMode"))
            yield from _validate_items(f"{path}.items", source.get("items", ()))
        case "downwardAPI":
            yield from _validate_mode(f"{path}.defaultMode", source.get("defaultMode"))
            yield from _validate_downward(path, source)
        case "projected":
            yield from _validate_mode(f"{path}.defaultMode", source.get("defaultMode"))
            yield from _validate_projected(path, source)
        case "persistentVolumeClaim":
            yield from checks.required(f"{path}.claimName", source.get("claimName"))


def _validate_host_path(path: str, source: Object) -> checks.Errors:
    if not source.get("path"):
        yield FieldError.required(f"{path}.path")
        return
    yield from no_backsteps(f"{path}.path", source["path"])
    if source.get("type", "") not in HOST_PATH_TYPES:
        yield FieldError.not_supported(f"{path}.type", source["type"], HOST_PATH_TYPES)


def _validate_items(path: str, items: Iterable[Object]) -> checks.Errors:
    for index, item in enumerate(items):
        at = f"{path}[{index}]"
        yield from checks.required(f"{at}.key", item.get("key"))
        yield from _validate_item_path(f"{at}.path", item.get("path", ""))
        yield from _validate_mode(f"{at}.mode", item.get("mode"))


def _validate_item_path(path: str, value: str) -> checks.Errors:
    if not value:
        yield FieldError.required(path)
        return
    yield from descending(path, value)
    if value.startswith("..") and not value.startswith("../"):
        yield FieldError.invalid(path, value, "must not start with '..'")


def _validate_mode(path: str, mode: int | None) -> checks.Errors:
    if mode is not None and not 0 <= mode <= 0o777:
        yield FieldError.invalid(path, mode, FILE_MODE)


def _validate_downward(path: str, source: Object) -> checks.Errors:
    for index, item in enumerate(source.get("items", ())):
        at = f"{path}[{index}]"
        yield from _validate_item_path(f"{at}.path", item.get("path", ""))
        field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
        if field is not None:
            yield from validate_field_ref(f"{at}.fieldRef", field, VOLUME_FIELDS)
            if resource is not None:
                why = "fieldRef and resourceFieldRef can not be specified simultaneously"
                yield FieldError.invalid(at, "resource", why)
        elif resource is not None:
            yield from validate_resource_ref(f"{at}.resourceFieldRef", resource, in_volume=True)
        else:
            yield FieldError.required(at, "one of fieldRef and resourceFieldRef is required")
        yield from _validate_mode(f"{at}.mode", item.get("mode"))


def _validate_projected(path: str, source: Object) -> checks.Errors:
    seen: set[str] = set()
    for index, projection in enumerate(source.get("sources", ())):
        at = f"{path}.sources[{index}]"
        given = [field for field, value in projection.items() if value is not None]
        for extra in given[1:]:
            yield FieldError.forbidden(f"{at}.{extra}", ONE_SOURCE)
        if not given:
            yield FieldError.required(at, "one of the source types must be specified")
            continue
        field, part = given[0], projection[given[0]]
        if field in ("secret", "configMap"):
            yield from checks.required(f"{at}.{field}.name", part.get("name"))
            yield from _validate_items(f"{at}.{field}.items", part.get("items", ()))
        elif field == "downwardAPI":
            yield from _validate_downward(f"{at}.downwardAPI", part)
        elif field == "serviceAccountToken":
            yield from _validate_token(f"{at}.serviceAccountToken", part)
        paths = [item.get("path", "") for item in part.get("items", ())] or [part.get("path", "")]
        for written in filter(None, paths):
            if written in seen:
                yield FieldError.invalid(f"{at}.path", written, "conflicting duplicate paths")
            seen.add(written)


def _validate_token(path: str, token: Object) -> checks.Errors:
    seconds = token.get("expirationSeconds", 3600)
    if seconds < MIN_TOKEN_SECONDS:
        why = "may not specify a duration less than 10 minutes"
        yield FieldError.invalid(f"{path}.expirationSeconds", seconds, why)
    if seconds > MAX_TOKEN_SECONDS:
        why = "may not specify a duration larger than 2^32 seconds"
        yield FieldError.invalid(f"{path}.expirationSeconds", seconds, why)
    yield from _validate_item_path(f"{path}.path", token.get("path", ""))


def validate_mounts(path: str, container: Object, spec: Object) -> checks.Errors:
    """Check a container's ``volumeMounts``: each names a volume of the pod, and no two have the same path."""
    volumes = {volume.get("name") for volume in spec.get("volumes", ())}
    points: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts", ())):
        at, point = f"{path}[{index}]", mount.get("mountPath", "")
        yield from checks.required(f"{at}.name", mount.get("name"))
        if mount.get("name") not in volumes:
            yield FieldError.not_found(f"{at}.name", mount.get("name", ""))
        yield from checks.required(f"{at}.mountPath", point)
        if point in points:
            yield FieldError.invalid(f"{at}.mountPath", point, "must be unique")
        points.add(point)
        yield from _validate_sub_paths(at, path, mount)
        yield from _validate_propagation(f"{path}.mountPropagation", mount, container)


def _validate_sub_paths(at: str, path: str, mount: Object) -> checks.Errors:
    plain, expression = mount.get("subPath"), mount.get("subPathExpr")
    if plain:
        yield from descending(f"{path}.subPath", plain)
    if expression:
        if plain:
            why = "subPathExpr and subPath are mutually exclusive"
            yield FieldError.invalid(f"{at}.subPathExpr", expression, why)
        yield from descending(f"{path}.subPathExpr", expression)


def _validate_propagation(path: str, mount: Object, container: Object) -> checks.Errors:
    propagation = mount.get("mountPropagation")
    if propagation is None:
        return
    if propagation not in PROPAGATIONS:
        yield FieldError.not_supported(path, propagation, PROPAGATIONS)
    if propagation == "Bidirectional" and not container.get("securityContext", {}).get("privileged"):
        why = "Bidirectional mount propagation is available only to privileged containers"
        yield FieldError.forbidden(path, why)


def no_backsteps(path: str, value: str) -> checks.Errors:
    """Check that a path has no ``..``."""
    if ".." in PurePosixPath(value).parts:
        yield FieldError.invalid(path, value, BACKSTEPS)


def descending(path: str, value: str) -> checks.Errors:
    """Check that a path is relative and has no ``..``."""
    if value.startswith("/"):
        yield FieldError.invalid(path, value, "must be a relative path")
    yield from no_backsteps(path, value)
