"""A client for informers that keeps metadata only.

The garbage collector watches every kind, and whole objects would need too much memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from machinery.client import Client, WatchConnection, WatchEvent
from machinery.objects import Object
from machinery.resources import Resource

KEPT = ("namespace", "name", "uid", "resourceVersion", "ownerReferences", "finalizers", "deletionTimestamp")


def metadata_only(obj: Object, resource: Resource) -> Object:
    """Return the object with its kind and the metadata that the garbage collector needs."""
    meta = {name: obj["metadata"][name] for name in KEPT if name in obj["metadata"]}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta}


class MetadataSource:
    """A ``ListerWatcher`` that reads from a client and drops all but the metadata."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self, resource: Resource, namespace: str = "", **selectors: Any) -> Object:
        found = self._client.list(resource, namespace, **selectors)
        return {**found, "items": [metadata_only(item, resource) for item in found["items"]]}

    def watch(self, resource: Resource, namespace: str = "", **options: Any) -> Iterator[WatchEvent]:
        for event in self._client.watch(resource, namespace, **options):
            yield _kept(event, resource)

    def open_watch(self, resource: Resource, *, resource_version: str, timeout: int) -> MetadataWatch:
        opened = self._client.open_watch(resource, resource_version=resource_version, timeout=timeout)
        return MetadataWatch(opened, resource)


class MetadataWatch:
    """An open watch of which all but the metadata is dropped."""

    def __init__(self, watch: WatchConnection, resource: Resource) -> None:
        self._watch = watch
        self._resource = resource
        self.fileno, self.close = watch.fileno, watch.close

    @property
    def ended(self) -> bool:
        return self._watch.ended

    def take(self) -> Iterator[WatchEvent]:
        for event in self._watch.take():
            yield _kept(event, self._resource)


def _kept(event: WatchEvent, resource: Resource) -> WatchEvent:
    return event if event.type == "BOOKMARK" else WatchEvent(event.type, metadata_only(event.object, resource))
