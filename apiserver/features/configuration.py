"""ConfigMaps and Secrets."""

from __future__ import annotations

from apiserver.features.feature import Feature
from apiserver.kinds.configmaps import CONFIG_MAPS
from apiserver.kinds.secrets import SECRETS

FEATURE = Feature("configuration", kinds=(CONFIG_MAPS, SECRETS))
