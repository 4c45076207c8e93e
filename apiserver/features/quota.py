"""ResourceQuotas and LimitRanges: how much a namespace may use, and each of its containers."""

from __future__ import annotations

from apiserver.admission.limitranger import LimitRanger
from apiserver.admission.resourcequota import ResourceQuota
from apiserver.features.feature import Feature
from apiserver.kinds.limitranges import LIMIT_RANGES
from apiserver.kinds.resourcequotas import RESOURCE_QUOTAS

FEATURE = Feature(
    "quota", kinds=(LIMIT_RANGES, RESOURCE_QUOTAS), admission=lambda base, authorizer: (LimitRanger(), ResourceQuota())
)
