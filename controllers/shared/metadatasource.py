"""A client for informers that keep metadata only: the garbage collector watches every kind, and memory is small."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from machinery.client import Client, WatchEvent
from machinery.objects import Object
from machinery.resources import Resource

KEPT = ("namespace", "name", "uid", "resourceVersion", "ownerReferences", "finalizers", "deletionTimestamp")


def metadata_only(obj: Object, resource: Resource) -> Object:
    """What is left of an object."""
    meta = {name: obj["metadata"][name] for name in KEPT if name in obj["metadata"]}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta}


class MetadataSource:
    """Lists and watches like a client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(
        self, resource: Resource, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> Object:
        found = self._client.list(resource, namespace, label_selector=label_selector, field_selector=field_selector)
        return {**found, "items": [metadata_only(item, resource) for item in found["items"]]}

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout: int | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[WatchEvent]:
        events = self._client.watch(
            resource,
            namespace,
            resource_version=resource_version,
            label_selector=label_selector,
            field_selector=field_selector,
            timeout=timeout,
            stop=stop,
        )
        for event in events:
            yield event if event.type == "BOOKMARK" else WatchEvent(event.type, metadata_only(event.object, resource))
