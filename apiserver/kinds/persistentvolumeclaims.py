"""PersistentVolumeClaims (upstream: pkg/registry/core/persistentvolumeclaim).

There are no volumes to bind one to, so it stays Pending, as upstream's does without a provisioner; what programs do
with their claims beyond that, from ownership to quota, works.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

from apiserver.kinds.cells import AGE, NAME, UNSET
from apiserver.kinds.pods.warnings import fractional_bytes
from apiserver.kinds.resources import validate_quantity
from apiserver.kinds.strategies import StatusStrategy
from apiserver.kinds.subresources import STATUS
from apiserver.model import checks
from apiserver.model.kind import Column, Kind
from apiserver.schema.codec import upstream
from machinery import quantity
from machinery.errors import FieldError
from machinery.objects import Object

ACCESS_MODES = {"ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOnce": "RWO", "ReadWriteOncePod": "RWOP"}
VOLUME_MODES = ("Block", "Filesystem")
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
# The kinds that ``dataSource`` may name; every other one can only be named by ``dataSourceRef``.
CLASSIC_SOURCES = (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot"))
IMMUTABLE = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"


class ClaimStrategy(StatusStrategy):
    initial_status = {"phase": "Pending"}

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
        obj.setdefault("status", {}).setdefault("phase", "Pending")

    def prepare_create(self, obj: Object) -> None:
        super().prepare_create(obj)
        _unite_sources(obj["spec"])

    def prepare_update(self, new: Object, old: Object) -> None:
        super().prepare_update(new, old)
        if not old["spec"].get("dataSource") and not old["spec"].get("dataSourceRef"):
            _drop_other_sources(new["spec"])

    def validate(self, obj: Object) -> checks.Errors:
        spec = obj["spec"]
        modes = spec.get("accessModes", [])
        if not modes:
            yield FieldError.required("spec.accessModes", "at least 1 access mode is required")
        yield from checks.label_selector("spec.selector", spec.get("selector"))
        for mode in modes:
            if mode not in ACCESS_MODES:
                yield FieldError.not_supported("spec.accessModes", mode, tuple(ACCESS_MODES))
        if "ReadWriteOncePod" in modes and set(modes) & (ACCESS_MODES.keys() - {"ReadWriteOncePod"}):
            yield FieldError.forbidden("spec.accessModes", "may not use ReadWriteOncePod with other access modes")
        size = _size(spec)
        if size is None:
            yield FieldError.required("spec.resources[storage]")
        elif quantity.parse(size) <= 0:
            yield FieldError.invalid("spec.resources[storage]", str(size), "must be greater than zero")
        if name := spec.get("storageClassName"):
            yield from checks.subdomain("spec.storageClassName", name)
        if (mode := spec.get("volumeMode")) not in VOLUME_MODES:
            yield FieldError.not_supported("spec.volumeMode", mode, VOLUME_MODES)
        for field in ("dataSource", "dataSourceRef"):
            if source := spec.get(field):
                yield from _validate_source(f"spec.{field}", source)
        sources = [spec.get(field) for field in ("dataSource", "dataSourceRef")]
        if all(sources) and sources[0] != sources[1]:
            yield FieldError.invalid("spec", "spec.dataSource", "must match dataSourceRef")

    def validate_update(self, new: Object, old: Object) -> checks.Errors:
        return chain(self.validate(new), _validate_change(new, old))

    def validate_status_update(self, new: Object, old: Object) -> checks.Errors:
        for name, amount in new.get("status", {}).get("capacity", {}).items():
            yield from validate_quantity(f"status.capacity[{name}]", name, amount)

    def warnings(self, obj: Object, before: Object | None = None) -> list[str]:
        return list(_warnings(obj))


def _unite_sources(spec: Object) -> None:
    """Copy ``dataSource`` to ``dataSourceRef``, or the other way round (upstream: NormalizeDataSources)."""
    if spec.get("dataSourceRef", {}).get("namespace"):
        del spec["dataSourceRef"]  # upstream drops it while the feature CrossNamespaceVolumeDataSource is off
    _drop_other_sources(spec)
    if source := spec.get("dataSource") or spec.get("dataSourceRef"):
        spec.setdefault("dataSource", dict(source))
        spec.setdefault("dataSourceRef", dict(source))


def _drop_other_sources(spec: Object) -> None:
    source = spec.get("dataSource", {})
    if not spec.get("dataSourceRef") and (source.get("apiGroup") or "", source.get("kind")) not in CLASSIC_SOURCES:
        spec.pop("dataSource", None)


def _validate_source(path: str, source: Object) -> checks.Errors:
    for field in ("name", "kind"):
        if not source.get(field):
            yield FieldError.required(f"{path}.{field}")
    group = source.get("apiGroup") or ""
    if group:
        yield from checks.subdomain(f"{path}.apiGroup", group)
    elif source.get("kind") != "PersistentVolumeClaim":
        why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        yield FieldError.invalid(path, source.get("kind", ""), why)


def _validate_change(new: Object, old: Object) -> checks.Errors:
    """Check that nothing changes but the volume that the claim is bound to, once, and that a bound claim only grows."""
    before, after = dict(old["spec"]), dict(new["spec"])
    if not before.get("volumeName"):
        for spec in (before, after):
            spec.pop("volumeName", None)
    annotated = [obj["metadata"].get("annotations", {}).get(CLASS_ANNOTATION, "") for obj in (new, old)]
    if "storageClassName" not in before and annotated[1] and after.get("storageClassName") == annotated[1]:
        after.pop("storageClassName")  # a claim may move its class from the annotation to the field that replaced it
    else:
        yield from checks.immutable(f"metadata.annotations.{CLASS_ANNOTATION}", *annotated)
    if new.get("status", {}).get("phase") == "Bound" and after.get("resources", {}).get("requests"):
        after["resources"] = after["resources"] | {"requests": before["resources"]["requests"]}
    if after != before:
        yield FieldError.forbidden("spec", f"{IMMUTABLE}\n{checks.difference(before, after)}")
    capacity = old.get("status", {}).get("capacity", {}).get("storage")
    wanted, had, given = (quantity.parse(size or "0") for size in (_size(new["spec"]), _size(old["spec"]), capacity))
    if wanted < had and wanted <= given:
        yield FieldError.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")
    yield from checks.immutable("volumeMode", new["spec"].get("volumeMode"), old["spec"].get("volumeMode"))


def _size(spec: Object) -> Any:
    return spec.get("resources", {}).get("requests", {}).get("storage")


def _warnings(obj: Object) -> Any:
    if CLASS_ANNOTATION in obj["metadata"].get("annotations", {}):
        why = 'deprecated since v1.8; use "storageClassName" attribute instead'
        yield f"metadata.annotations[{CLASS_ANNOTATION}]: {why}"
    for field in ("requests", "limits"):
        amounts = obj["spec"].get("resources", {}).get(field, {})
        yield from fractional_bytes(f"spec.resources.{field}", amounts, "storage")


def _phase(obj: Object) -> str:
    deleted = obj["metadata"].get("deletionTimestamp")
    return "Terminating" if deleted else str(obj.get("status", {}).get("phase", ""))


def _when_bound(obj: Object, field: str) -> Any:
    """Return a field of the status, or "" before the claim is bound."""
    return obj.get("status", {}).get(field) if obj["spec"].get("volumeName") else None


def _class(obj: Object) -> str:
    annotations = obj["metadata"].get("annotations", {})
    return str(annotations.get(CLASS_ANNOTATION) or obj["spec"].get("storageClassName") or "")


PERSISTENT_VOLUME_CLAIMS = Kind(
    *upstream("", "PersistentVolumeClaim"),
    short_names=("pvc",),
    subresources=(STATUS,),
    strategy=ClaimStrategy(),
    columns=(
        NAME,
        Column("Status", _phase),
        Column("Volume", lambda obj: obj["spec"].get("volumeName", "")),
        Column("Capacity", lambda obj: (_when_bound(obj, "capacity") or {}).get("storage", "")),
        Column(
            "Access Modes",
            lambda obj: ",".join(ACCESS_MODES.get(mode, "") for mode in _when_bound(obj, "accessModes") or ()),
        ),
        Column("StorageClass", _class),
        Column("VolumeAttributesClass", lambda obj: obj["spec"].get("volumeAttributesClassName", UNSET)),
        AGE,
        Column("VolumeMode", lambda obj: obj["spec"].get("volumeMode", UNSET), priority=1),
    ),
)
