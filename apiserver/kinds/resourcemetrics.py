"""metrics.k8s.io: what nodes and pods use, for ``kubectl top``; nothing is stored (apiserver/streaming/usage.py).

Columns are those of upstream's metrics-server.
"""

from __future__ import annotations

from decimal import Decimal

from apiserver.model.kind import Column, Kind
from apiserver.schema.codec import UpstreamCodec
from machinery.objects import Object
from machinery.quantity import format_quantity, parse_quantity

_NAME = Column("Name", lambda obj: obj["metadata"]["name"], format="name", description="Name of the resource")
_WINDOW = Column("Window", lambda obj: obj["window"], format="duration")


def _total(resource: str, pod: Object) -> str:
    used = [parse_quantity(container["usage"][resource]).amount for container in pod["containers"]]
    return format_quantity(sum(used, Decimal(0)), "DecimalSI" if resource == "cpu" else "BinarySI")


NODE_METRICS = Kind(
    "metrics.k8s.io",
    "v1beta1",
    "NodeMetrics",
    "nodes",
    UpstreamCodec("io.k8s.metrics.pkg.apis.metrics.v1beta1.NodeMetrics"),
    namespaced=False,
    verbs=("get", "list"),
    computed=True,
    columns=(
        _NAME,
        Column("cpu", lambda obj: obj["usage"]["cpu"], format="quantity"),
        Column("memory", lambda obj: obj["usage"]["memory"], format="quantity"),
        _WINDOW,
    ),
)

POD_METRICS = Kind(
    "metrics.k8s.io",
    "v1beta1",
    "PodMetrics",
    "pods",
    UpstreamCodec("io.k8s.metrics.pkg.apis.metrics.v1beta1.PodMetrics"),
    verbs=("get", "list"),
    computed=True,
    columns=(
        _NAME,
        Column("cpu", lambda obj: _total("cpu", obj), format="quantity"),
        Column("memory", lambda obj: _total("memory", obj), format="quantity"),
        _WINDOW,
    ),
)
