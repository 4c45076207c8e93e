"""What nodes and pods use, for ``kubectl top``."""

from __future__ import annotations

from collections.abc import Mapping

from apiserver.features.feature import Base, Feature
from apiserver.kinds.resourcemetrics import NODE_METRICS, POD_METRICS
from apiserver.registry.read import Computed
from apiserver.streaming.backend import Dialer
from apiserver.streaming.resourcemetrics import Kubelets, NodeMetricsSource, PodMetricsSource, fetch_over


def _computed(base: Base) -> Mapping[str, Computed]:
    kubelets = Kubelets(base.reader, fetch_over(Dialer(base.config)))
    return {NODE_METRICS.resource: NodeMetricsSource(kubelets), POD_METRICS.resource: PodMetricsSource(kubelets)}


FEATURE = Feature("metrics", kinds=(NODE_METRICS, POD_METRICS), computed=_computed)
