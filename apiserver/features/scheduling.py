"""PriorityClasses and RuntimeClasses, and what they fill into a pod."""

from __future__ import annotations

from apiserver.features.feature import Feature
from apiserver.kinds.priorityclasses import PRIORITY_CLASSES
from apiserver.kinds.runtimeclasses import RUNTIME_CLASSES

FEATURE = Feature(
    "scheduling",
    kinds=(
        PRIORITY_CLASSES,
        RUNTIME_CLASSES,
    ),
)
