"""Every built-in kind, for tests that go through all of them."""

from apiserver import features

REGISTRY = features.registry_of(features.load())
ROWS = REGISTRY.kinds()
