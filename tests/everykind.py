"""Everything that is built in, for tests that go through all of it."""

from __future__ import annotations

from typing import Any, cast

from apiserver import features
from apiserver.admission.namespacelifecycle import NamespaceLifecycle
from apiserver.admission.plugin import Plugin
from apiserver.features.feature import Base
from apiserver.kinds.services.ranges import ServiceRanges

FEATURES = features.load()
REGISTRY = features.registry_of(FEATURES, ServiceRanges())
ROWS = REGISTRY.kinds()


def plugins(authorizer: Any) -> tuple[Plugin, ...]:
    """Return every admission plugin; none of them needs anything but the authorizer when it is made."""
    base = cast(Base, None)
    return (NamespaceLifecycle(), *(plugin for row in FEATURES for plugin in row.admission(base, authorizer)))
