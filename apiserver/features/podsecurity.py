"""The pod security levels that a namespace's labels ask for (upstream: the admission plugin PodSecurity)."""

from __future__ import annotations

from apiserver.admission.podsecurity import PodSecurity
from apiserver.features.feature import Feature

FEATURE = Feature("podsecurity", admission=lambda base, authorizer: (PodSecurity(),))
