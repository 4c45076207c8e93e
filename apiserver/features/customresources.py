"""Custom resources: kinds that a CustomResourceDefinition adds while the server runs."""

from __future__ import annotations

from apiserver.features.feature import Feature
from apiserver.kinds.customresourcedefinitions import CUSTOM_RESOURCE_DEFINITIONS

FEATURE = Feature("customresources", kinds=(CUSTOM_RESOURCE_DEFINITIONS,))
