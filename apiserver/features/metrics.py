"""What nodes and pods use (``kubectl top``), and how the control plane is (``kubectl get componentstatuses``)."""

from __future__ import annotations

from apiserver.features.feature import Feature
from apiserver.kinds.componentstatuses import COMPONENT_STATUSES
from apiserver.kinds.resourcemetrics import NODE_METRICS, POD_METRICS

FEATURE = Feature(
    "metrics",
    kinds=(
        COMPONENT_STATUSES,
        NODE_METRICS,
        POD_METRICS,
    ),
)
