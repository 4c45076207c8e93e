"""Reads and writes the EndpointSlices of one manager, aware of its own writes (see writecache)."""

from __future__ import annotations

from controllers.services.slicepacking import MANAGED_BY, Changes
from controllers.shared.failures import namespace_terminating
from controllers.shared.indexes import SERVICE, service_key
from controllers.shared.writecache import WriteCache
from machinery.client import Client
from machinery.errors import Conflict, Forbidden, NotFound
from machinery.informer import Informer
from machinery.objects import Object, key, labels_of
from machinery.resources import ENDPOINT_SLICES


def managed_by(slice: Object, manager: str) -> bool:
    """The slice is this manager's; all others belong to somebody else and are left alone."""
    return labels_of(slice).get(MANAGED_BY) == manager


class SliceWriter:
    """The slices of one manager."""

    def __init__(self, client: Client, slices: Informer, manager: str) -> None:
        self.client = client
        self.slices = slices
        self.manager = manager
        self.latest = WriteCache(slices)

    def of(self, service: str) -> list[Object]:
        """The manager's slices of this Service, as of our last write."""
        pending = [key(written) for written in self.latest.written() if service_key(written) == service]
        known = self.latest.overlay(self.slices.by_index(SERVICE, service), pending)
        return sorted((each for each in known if managed_by(each, self.manager)), key=key)

    def apply(self, changes: Changes) -> None:
        """Carries the changes out, the additions first. In a terminating namespace there is nothing to create."""
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
                # Somebody changed or deleted it: look again, at what the watch shows.
                self.latest.forget(key(each))
                raise Conflict(error.message) from error
        for each in changes.delete:
            self.delete(each)

    def delete(self, slice: Object) -> None:
        """Deletes one slice; that it is gone already is fine."""
        meta = slice["metadata"]
        try:
            self.client.delete(ENDPOINT_SLICES, meta["name"], meta["namespace"], uid=meta["uid"])
        except (Conflict, NotFound):
            self.latest.forget(key(slice))
        else:
            self.latest.deleted(slice)
