"""Config maps, secrets and services as pods refer to them.

Reads go to the API server, so that a pod never starts with an older version than the one that its author had just
written; the informers tell when something changed, and answer while the API server does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from kubelet import pods
from kubelet.env import Kind
from machinery.errors import NotFound, ServiceUnavailable, Timeout
from machinery.informer import Informer
from machinery.objects import Object
from machinery.resources import CONFIG_MAPS, SECRETS, Resource

RESOURCES: dict[Kind, Resource] = {"configmap": CONFIG_MAPS, "secret": SECRETS}
# Written by the controllers into every namespace, and never changed while the cluster lives: the copy at hand will do.
ROOT_CA = "kube-root-ca.crt"

Reference = tuple[Kind, str]


class Reader(Protocol):
    def get(self, resource: Resource, name: str, namespace: str = "") -> Object: ...


class Sources:
    def __init__(self, client: Reader, informers: dict[Kind, Informer], services: Informer) -> None:
        self._client = client
        self._informers = informers
        self._services = services

    def services(self) -> list[Object]:
        return self._services.list()

    def lookup(self, kind: Kind, namespace: str, name: str) -> Object | None:
        cached = self._informers[kind].get(f"{namespace}/{name}")
        if cached and (name == ROOT_CA or cached.get("immutable")):
            return cached
        try:
            return self._client.get(RESOURCES[kind], name, namespace)
        except NotFound:
            return None
        except (ServiceUnavailable, Timeout):
            if cached:
                return cached
            raise


def references(pod: Object) -> set[Reference]:
    """The config maps and secrets that a pod's containers and volumes name."""
    return set(_of_volumes(pod)) | set(_of_containers(pod))


def _of_volumes(pod: Object) -> Iterator[Reference]:
    for volume in pod["spec"].get("volumes") or []:
        yield from _of_source(volume, "secretName")
        for source in (volume.get("projected") or {}).get("sources") or []:
            yield from _of_source(source, "name")


def _of_source(source: dict[str, Any], secret_name: str) -> Iterator[Reference]:
    if part := source.get("configMap"):
        yield "configmap", part.get("name", "")
    if part := source.get("secret"):
        yield "secret", part.get(secret_name, "")


def _of_containers(pod: Object) -> Iterator[Reference]:
    for spec in pods.every_container(pod):
        for variable in spec.get("env") or []:
            source = variable.get("valueFrom") or {}
            if part := source.get("configMapKeyRef"):
                yield "configmap", part.get("name", "")
            if part := source.get("secretKeyRef"):
                yield "secret", part.get("name", "")
        for source in spec.get("envFrom") or []:
            if part := source.get("configMapRef"):
                yield "configmap", part.get("name", "")
            if part := source.get("secretRef"):
                yield "secret", part.get("name", "")
