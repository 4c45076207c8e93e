"""HTTP to pods, Services and nodes through the API server (``kubectl proxy``, ``…/proxy`` paths)."""

from __future__ import annotations

from apiserver.features.feature import Feature
from apiserver.streaming.proxy import SUBRESOURCES

FEATURE = Feature("proxying", subresources=SUBRESOURCES)
