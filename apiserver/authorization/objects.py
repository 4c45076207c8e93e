"""How the authorizers look objects up: consistent reads of the watch cache, other workers' writes included."""

from __future__ import annotations

from collections.abc import Sequence

from apiserver.kinds.pods.row import PODS
from apiserver.kinds.rbac import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from apiserver.registry.reader import CacheReader
from apiserver.storage.cache import WatchCache
from machinery.objects import Object

_PREFIXES = tuple(kind.prefix for kind in (CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS))


class CachedObjects(CacheReader):
    """Implements ``policy.Objects``."""

    def __init__(self, cache: WatchCache) -> None:
        super().__init__(cache)
        self._cache = cache

    def stamp(self) -> int:
        cache = self._cache
        for prefix in _PREFIXES:
            cache.catch_up(prefix)
        return max(map(cache.changed, _PREFIXES))


class CachedPods:
    """Implements ``node.Pods``."""

    def __init__(self, cache: WatchCache) -> None:
        self._reader = CacheReader(cache)

    def in_namespace(self, namespace: str) -> Sequence[Object]:
        return self._reader.list(PODS, namespace, consistent=True)

    def named(self, namespace: str, name: str) -> Object | None:
        return self._reader.get(PODS, namespace, name, consistent=True)
