"""Every built-in kind, for tests that go through all of them."""

from apiserver import features
from apiserver.kinds.services.ranges import ServiceRanges

REGISTRY = features.registry_of(features.load(), ServiceRanges())
ROWS = REGISTRY.kinds()
