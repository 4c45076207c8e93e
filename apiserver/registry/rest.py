"""The writing verbs (upstream: apiserver/pkg/registry/rest, and registry/generic/registry/store.go).

To follow a POST, read ``api/app.py`` (who asks, and is it allowed?), ``api/resources.py`` (from bytes to an object and
back), ``create.py`` here, and ``storage/etcd.py``; to follow a PATCH, ``update.py`` and ``optimistic.py`` instead of
``create.py``.
"""

from __future__ import annotations

from collections.abc import Callable

from apiserver.model.attributes import Attributes, Authorizer
from apiserver.model.item import Item
from apiserver.registry.admissionrequest import Admission, AdmissionRequest
from apiserver.registry.backend import Backend
from apiserver.registry.create import create
from apiserver.registry.delete import delete
from apiserver.registry.deletion import DeleteOptions
from apiserver.registry.fieldmanager import FieldManager, NoManagedFields
from apiserver.registry.optimistic import WRITE_ATTEMPTS
from apiserver.registry.reader import CacheReader
from apiserver.registry.update import Change, modify, replacement, wrong_uid
from apiserver.registry.writerequest import WriteRequest
from apiserver.storage.cache import WatchCache
from apiserver.storage.protocol import Store
from machinery.errors import AlreadyExists, NotFound, conflict
from machinery.objects import Object


class Rest:
    """The verbs over one store. The Items that they return hold an object's JSON, ready to be sent."""

    def __init__(
        self,
        store: Store,
        cache: WatchCache,
        admission: Admission,
        authorizer: Authorizer,
        fields: FieldManager | None = None,
    ) -> None:
        self.store = store
        self.cache = cache
        self.reader = CacheReader(cache)
        self.fields = fields or NoManagedFields()
        self._backend = Backend(store, cache, self.reader, admission, self.fields)
        self._authorizer = authorizer

    def create(self, write: WriteRequest, obj: Object) -> Item:
        """Store a new object; see ``create.py``."""
        return create(self._backend, write, obj)

    def modify(self, write: WriteRequest, change: Change) -> Item:
        """Change an object; see ``update.py``."""
        return modify(self._backend, write, change)

    def update(self, write: WriteRequest, obj: Object) -> tuple[Item, bool]:
        """Replace an object, or create it where the kind allows that; return it and whether it was created."""
        change = replacement(write, obj)
        try:
            return self.modify(write, change), False
        except NotFound:
            if uid := obj["metadata"].get("uid"):
                raise wrong_uid(write.kind, write.namespace, write.name, uid, "") from None
            if not write.kind.strategy.create_on_update or write.subresource:
                raise
        if obj["metadata"].pop("resourceVersion", None):
            why = "the object does not exist, but its resourceVersion was given"
            raise conflict(write.kind.resource, write.name, why)
        self._require_create(write)
        return self.create(write, obj), True

    def apply(self, write: WriteRequest, change: Callable[[Object | None], Object]) -> tuple[Item, bool]:
        """Change an object, or create what ``change`` makes of None; return it and whether it was created."""
        for _ in range(WRITE_ATTEMPTS):
            try:
                return self.modify(write, change), False
            except NotFound:
                if write.subresource:
                    raise
            try:
                new = change(None)
                self._require_create(write)
                return self.create(write, new), True
            except AlreadyExists:
                continue  # Another writer was faster: there is an object to change now.
        raise conflict(write.kind.resource, write.name)

    def delete(self, write: WriteRequest, options: DeleteOptions) -> tuple[Item, bool]:
        """Delete an object, or begin to; return it and whether it is gone. See ``delete.py``."""
        return delete(self._backend, write, options)

    def admit(self, operation: str, write: WriteRequest, obj: Object | None) -> None:
        """Ask admission about a request that stores nothing: a CONNECT, or the CREATE of a pod's eviction, say."""
        request = AdmissionRequest(operation, write, obj, None, self.reader)
        self._backend.admission.admit(request)
        self._backend.admission.validate(request)

    def _require_create(self, write: WriteRequest) -> None:
        """Raise Forbidden unless the user, who may update or patch the object, may create it as well."""
        kind = write.kind
        asked = Attributes(write.user, "create", kind.group, kind.plural, namespace=write.namespace, name=write.name)
        self._authorizer.require(asked)
