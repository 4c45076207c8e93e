"""ComponentStatuses: the health of the control plane's parts (deprecated). Nothing is stored."""

from __future__ import annotations

from apiserver.kinds.cells import NAME
from apiserver.model.kind import Column, Kind
from apiserver.schema.codec import UpstreamCodec
from machinery.objects import Object, get_condition


def _healthy(obj: Object) -> Object:
    """Return the condition ``Healthy``; it stands at the top of the object, which has no status."""
    return get_condition({"status": obj}, "Healthy") or {}


def _status(obj: Object) -> str:
    status = _healthy(obj).get("status")
    return "Unknown" if status is None else "Healthy" if status == "True" else "Unhealthy"


COMPONENT_STATUSES = Kind(
    "",
    "v1",
    "ComponentStatus",
    "componentstatuses",
    UpstreamCodec("io.k8s.api.core.v1.ComponentStatus"),
    namespaced=False,
    short_names=("cs",),
    verbs=("get", "list"),
    computed=True,
    deprecated="v1 ComponentStatus is deprecated in v1.19+",
    columns=(
        NAME,
        Column("Status", _status),
        Column("Message", lambda obj: _healthy(obj).get("message", "")),
        Column("Error", lambda obj: _healthy(obj).get("error", "")),
    ),
)
