"""The definitions of metrics.k8s.io/v1beta1, in the form of those in kubernetes-validate, which lacks them.

Upstream: k8s.io/metrics.
"""

from __future__ import annotations

from typing import Any

PACKAGE = "io.k8s.metrics.pkg.apis.metrics.v1beta1"
_META = "#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1"
_QUANTITY = {"$ref": "#/$defs/io.k8s.apimachinery.pkg.api.resource.Quantity"}
_NULLABLE_STRING = ["string", "null"]

_USAGE = {
    "description": "How much is used of each resource, cpu and memory.",
    "additionalProperties": _QUANTITY,
    "type": "object",
}
_MEASURED = {
    "timestamp": {"$ref": f"{_META}.Time", "description": "When the measurement ended."},
    "window": {"description": "How long it lasted, as a duration such as 15s.", "type": "string"},
}


def _kind(kind: str, description: str, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """Return the definitions of a kind and of its list."""
    version = {
        "description": "The version of this schema.",
        "type": _NULLABLE_STRING,
        "enum": ["metrics.k8s.io/v1beta1"],
    }

    def definition(name: str, text: str, own: dict[str, Any], needs: list[str]) -> dict[str, Any]:
        named = {"description": "The kind of the object.", "type": _NULLABLE_STRING, "enum": [name]}
        return {
            "description": text,
            "properties": {"apiVersion": version, "kind": named, **own},
            "required": needs,
            "type": ["object", "null"],
            "x-kubernetes-group-version-kind": [{"group": "metrics.k8s.io", "kind": name, "version": "v1beta1"}],
        }

    metadata = {"$ref": f"{_META}.ObjectMeta", "description": "The name and labels of what was measured."}
    list_metadata = {"$ref": f"{_META}.ListMeta", "description": "The list's metadata."}
    items = {"description": "The measurements.", "items": {"$ref": f"#/$defs/{PACKAGE}.{kind}"}, "type": "array"}
    return {
        f"{PACKAGE}.{kind}": definition(kind, description, {"metadata": metadata, **properties}, required),
        f"{PACKAGE}.{kind}List": definition(
            f"{kind}List", f"{kind}List is a list of {kind}.", {"metadata": list_metadata, "items": items}, ["items"]
        ),
    }


DEFINITIONS: dict[str, Any] = {
    **_kind(
        "NodeMetrics",
        "NodeMetrics tells how much a node uses.",
        {**_MEASURED, "usage": _USAGE},
        ["timestamp", "window", "usage"],
    ),
    **_kind(
        "PodMetrics",
        "PodMetrics tells how much the containers of a pod use.",
        {
            **_MEASURED,
            "containers": {
                "description": "The running containers, all measured within the same window.",
                "items": {"$ref": f"#/$defs/{PACKAGE}.ContainerMetrics"},
                "type": "array",
                "x-kubernetes-patch-merge-key": "name",
                "x-kubernetes-patch-strategy": "merge",
            },
        },
        ["timestamp", "window", "containers"],
    ),
    f"{PACKAGE}.ContainerMetrics": {
        "description": "ContainerMetrics tells how much a container uses.",
        "properties": {"name": {"description": "The container's name in its pod.", "type": "string"}, "usage": _USAGE},
        "required": ["name", "usage"],
        "type": "object",
    },
}
