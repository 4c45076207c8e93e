"""Managed fields, which say who has set what in an object, and server-side apply, which merges by them."""

from __future__ import annotations

from apiserver import managedfields
from apiserver.features.feature import Feature

FEATURE = Feature("serversideapply", fields=managedfields)
