"""Kinds around pods that are only kept, or only listed because clients ask for them."""

from __future__ import annotations

from apiserver.features.feature import Feature
from apiserver.kinds.persistentvolumeclaims import PERSISTENT_VOLUME_CLAIMS
from apiserver.kinds.podtemplates import POD_TEMPLATES
from apiserver.kinds.replicasets import REPLICA_SETS
from apiserver.kinds.unsupported import UNSUPPORTED

FEATURE = Feature(
    "workloads",
    kinds=(
        PERSISTENT_VOLUME_CLAIMS,
        POD_TEMPLATES,
        REPLICA_SETS,
        *UNSUPPORTED,
    ),
)
