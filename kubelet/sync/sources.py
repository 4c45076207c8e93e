"""Config maps, secrets, services and runtime classes as pods refer to them.

Reads go to the API server, so that a pod never starts with an older version than the one that its author had just
written; the watch (``sourcewatch.py``) tells when something changed, and answers while the API server does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from kubelet.container.env import Kind
from machinery import pods
from machinery.errors import NotFound, ServiceUnavailable, Timeout
from machinery.informer import Informer
from machinery.objects import Object
from machinery.resources import CONFIG_MAPS, RUNTIME_CLASSES, SECRETS, Resource

RESOURCES: dict[Kind, Resource] = {"configmap": CONFIG_MAPS, "secret": SECRETS}
KINDS: dict[str, Kind] = {"configmaps": "configmap", "secrets": "secret"}  # by the plural of the API
# The controllers write it into every namespace and never change it, so it is read once for each namespace.
ROOT_CA = "kube-root-ca.crt"
MOST_ROOT_CAS = 256

Reference = tuple[Kind, str]
Watched = Callable[[Kind, str, str], Object | None]


class ObjectReader(Protocol):
    def get(self, resource: Resource, name: str, namespace: str = "") -> Object: ...


class Sources:
    """Reads objects for pods from the API server. ``watched`` is what a watch has seen of them."""

    def __init__(self, client: ObjectReader, watched: Watched, services: Informer) -> None:
        self._client = client
        self._watched = watched
        self._services = services
        self._root_cas: dict[str, Object] = {}  # by namespace

    def services(self) -> list[Object]:
        return self._services.list()

    def runtime_handler(self, name: str) -> str:
        """Return the handler of a RuntimeClass. Raises ApiError."""
        return str(self._client.get(RUNTIME_CLASSES, name)["handler"])

    def lookup(self, kind: Kind, namespace: str, name: str) -> Object | None:
        if kind == "configmap" and name == ROOT_CA:
            return self._root_ca(namespace)
        cached = self._watched(kind, namespace, name)
        if cached and cached.get("immutable"):
            return cached
        try:
            return self._client.get(RESOURCES[kind], name, namespace)
        except NotFound:
            return None
        except (ServiceUnavailable, Timeout):
            if cached:
                return cached
            raise

    def _root_ca(self, namespace: str) -> Object | None:
        """Return the namespace's config map of the root CA, which is read once."""
        known = self._root_cas.get(namespace)
        if known is not None:
            return known
        try:
            found = self._client.get(CONFIG_MAPS, ROOT_CA, namespace)
        except NotFound:
            return None
        if len(self._root_cas) >= MOST_ROOT_CAS:
            self._root_cas.clear()
        self._root_cas[namespace] = found
        return found


def references(pod: Object) -> set[Reference]:
    """Return the config maps and secrets that a pod refers to."""
    return {(KINDS[resource], name) for resource, name in pods.references(pod["spec"]) if resource in KINDS}
