"""The group events.k8s.io: the events of the core group in a newer form."""

from __future__ import annotations

from apiserver.features.feature import Feature
from apiserver.kinds.events_v1 import EVENTS_V1

FEATURE = Feature("events", kinds=(EVENTS_V1,))
