"""Read and write the EndpointSlices of one manager, with its own latest writes taken into account."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from controllers.services.slicepacking import MANAGED_BY, Changes
from controllers.shared.failures import namespace_terminating
from controllers.shared.indexes import SERVICE, SERVICE_NAME, service_key
from controllers.shared.writecache import WriteCache
from machinery.client import Client
from machinery.errors import Conflict, Forbidden, NotFound
from machinery.informer import Informer
from machinery.objects import Object, key, labels_of, owner_reference
from machinery.resources import ENDPOINT_SLICES


def slice_template(owner: Object, manager: str, labels: Mapping[str, str]) -> Object:
    """Return what all slices of a Service have in common; ``owner`` is the Service, or the Endpoints they mirror."""
    meta = owner["metadata"]
    return {
        "apiVersion": ENDPOINT_SLICES.api_version,
        "kind": ENDPOINT_SLICES.kind,
        "metadata": {
            "generateName": f"{meta['name']}-",
            "namespace": meta["namespace"],
            "labels": {**labels, SERVICE_NAME: meta["name"], MANAGED_BY: manager},
            "ownerReferences": [owner_reference(owner)],
        },
    }


def managed_by(slice: Object, manager: str) -> bool:
    """Return True if the slice belongs to this manager. Slices of others are never changed."""
    return labels_of(slice).get(MANAGED_BY) == manager


class SliceWriter:
    """The slices of one manager."""

    def __init__(self, client: Client, slices: Informer, manager: str) -> None:
        self.client = client
        self.slices = slices
        self.manager = manager
        self.latest = WriteCache(slices)

    def watch(self, enqueue: Callable[[str], None]) -> None:
        """Call ``enqueue`` with the Service of each slice of ours that changes, to undo what somebody else did."""

        def changed(old: Object | None, new: Object | None) -> None:
            for each in (old, new):
                if each is not None and managed_by(each, self.manager) and (service := service_key(each)):
                    enqueue(service)

        self.slices.add_handler(changed)

    def of(self, service: str) -> list[Object]:
        """Return the manager's slices of a Service (its key), sorted by key, as they are after our latest writes."""
        pending = [key(written) for written in self.latest.written() if service_key(written) == service]
        known = self.latest.overlay(self.slices.by_index(SERVICE, service), pending)
        return sorted((each for each in known if managed_by(each, self.manager)), key=key)

    def apply(self, changes: Changes) -> None:
        """Write the changes: creations first, so that no endpoint is missing meanwhile.

        In a terminating namespace nothing can be created, and then nothing else is written. If somebody else changed or
        deleted a slice, Conflict is raised: the plan is to be made anew.
        """
        try:
            for each in changes.create:
                self.latest.wrote(self.client.create(ENDPOINT_SLICES, each))
        except Forbidden as error:
            if not namespace_terminating(error):
                raise
            return
        for each in changes.update:
            try:
                self.latest.wrote(self.client.update(ENDPOINT_SLICES, each))
            except (Conflict, NotFound) as error:
                self.latest.forget(key(each))
                raise Conflict(error.message) from error
        for each in changes.delete:
            self.delete(each)

    def delete(self, slice: Object) -> None:
        """Delete one slice; it may be gone already."""
        meta = slice["metadata"]
        try:
            self.client.delete(ENDPOINT_SLICES, meta["name"], meta["namespace"], uid=meta["uid"])
        except (Conflict, NotFound):
            self.latest.forget(key(slice))
        else:
            self.latest.deleted(slice)
