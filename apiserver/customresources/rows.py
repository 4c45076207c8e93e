"""Make the rows of the registry that serve the versions of a CustomResourceDefinition."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from apiserver.crdschema.definition import is_true, storage_version
from apiserver.customresources.codec import CustomCodec, Shapes
from apiserver.customresources.columns import columns_of
from apiserver.customresources.conditions import is_served
from apiserver.customresources.conversion import Lookup, Webhook
from apiserver.customresources.scale import Paths
from apiserver.customresources.strategy import CustomResourceStrategy
from apiserver.kinds.subresources import STATUS
from apiserver.model.kind import Kind
from machinery.objects import Object

_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
# Stable versions come before beta before alpha; names that are no such versions come last.
_STABILITY = {None: 2, "beta": 1, "alpha": 0}


def _nothing(namespace: str, name: str) -> tuple[None, None]:
    return None, None


def rows_of(
    crd: Object, load: Callable[[], Object] | None = None, identity: str = "", lookup: Lookup = _nothing
) -> tuple[Kind, ...]:
    """Return the rows of the served versions, in the order of discovery; () until the names are accepted.

    The rows keep no part of the definition that has the size of a schema. ``load`` returns the definition again when
    they need its schemas. ``identity`` differs when what OpenAPI publishes of them differs.
    ``lookup`` finds the Service of a conversion webhook.
    """
    if not is_served(crd):
        return ()
    served = (version for version in crd["spec"]["versions"] if version.get("served"))
    versions = sorted(served, key=lambda version: priority(version["name"]))
    shapes = Shapes(crd["spec"]["group"], load or (lambda: crd))
    conversion = crd["spec"].get("conversion") or {}
    webhook = Webhook(conversion, lookup) if conversion.get("strategy") == "Webhook" else None
    return tuple(_row(crd, version, shapes, versions, identity, webhook) for version in versions)


def storage_row(crd: Object) -> Kind:
    """Return a row of the storage version, even if it is not served, so that stored objects can be deleted.

    It calls no webhook: to delete an object its metadata will do.
    """
    spec, name = crd["spec"], storage_version(crd["spec"])
    version = next(each for each in spec["versions"] if each["name"] == name)
    return _row(crd, version, Shapes(spec["group"], lambda: crd), (), "", None)


def priority(version: str) -> tuple[int, int, int, str]:
    """Return a key that sorts versions, the preferred one first (upstream: CompareKubeAwareVersionStrings)."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (1, 0, 0, version)
    major, stage, minor = match.groups()
    return (-_STABILITY[stage], -int(major), -int(minor or 0), "")


def _row(
    crd: Object, version: Object, shapes: Shapes, served: Iterable[Object], identity: str, webhook: Webhook | None
) -> Kind:
    spec, names = crd["spec"], (crd.get("status") or {}).get("acceptedNames") or crd["spec"]["names"]
    group, subresources = spec["group"], version.get("subresources") or {}
    scale = Paths.of(subresources["scale"]) if "scale" in subresources else None
    list_kind = names.get("listKind") or f"{names['kind']}List"
    codec = CustomCodec(
        definition_name(group, version["name"], names["kind"]),
        f"{group}/{version['name']}",
        shapes,
        f"{group}/{storage_version(spec)}",
        list_kind,
        identity,
        webhook,
    )
    terminating = is_true(crd, "Terminating")
    strategy = CustomResourceStrategy(
        codec,
        names["kind"],
        terminating=terminating,
        status="status" in subresources,
        scale=scale,
        selectable=[field["jsonPath"] for field in version.get("selectableFields") or ()],
    )
    return Kind(
        group,
        version["name"],
        names["kind"],
        names["plural"],
        codec,
        namespaced=spec["scope"] == "Namespaced",
        singular=names.get("singular", ""),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=(*((STATUS,) if "status" in subresources else ()), *((scale.row(),) if scale else ())),
        columns=columns_of(version.get("additionalPrinterColumns") or ()),
        strategy=strategy,
        terminating=terminating,
        deprecated=_deprecation(group, names["kind"], version, served),
    )


def definition_name(group: str, version: str, kind: str) -> str:
    """Return the schema's name in OpenAPI, e.g. ``com.example.stable.v1.CronTab``."""
    return ".".join([*reversed(group.split(".")), version, kind])


def _deprecation(group: str, kind: str, version: Object, served: Iterable[Object]) -> str:
    """Return the warning about a deprecated version, which names a preferred one if there is any; "" if it is not."""
    if not version.get("deprecated"):
        return ""
    if version.get("deprecationWarning") is not None:
        return str(version["deprecationWarning"])
    text = f"{group}/{version['name']} {kind} is deprecated"
    others = sorted((each["name"] for each in served if not each.get("deprecated")), key=priority)
    if others and priority(others[0]) < priority(version["name"]):
        text += f"; use {group}/{others[0]} {kind}"
    return text
