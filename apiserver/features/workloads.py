"""Kinds around pods: replicas, budgets for evictions, and some that are only kept or listed."""

from __future__ import annotations

from apiserver.features.feature import Feature
from apiserver.kinds.persistentvolumeclaims import PERSISTENT_VOLUME_CLAIMS
from apiserver.kinds.poddisruptionbudgets import POD_DISRUPTION_BUDGETS
from apiserver.kinds.pods.row import PODS
from apiserver.kinds.podtemplates import POD_TEMPLATES
from apiserver.kinds.replicasets import REPLICA_SETS
from apiserver.kinds.subresources.eviction import EVICTION
from apiserver.kinds.unsupported import UNSUPPORTED

FEATURE = Feature(
    "workloads",
    kinds=(PERSISTENT_VOLUME_CLAIMS, POD_DISRUPTION_BUDGETS, POD_TEMPLATES, REPLICA_SETS, *UNSUPPORTED),
    subresources={PODS.resource: (EVICTION,)},
)
