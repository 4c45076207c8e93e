"""The writing verbs over a store in memory, without plugins and without managed fields: the least that a server has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apiserver.admission.chain import chain
from apiserver.kinds.configmaps import CONFIG_MAPS
from apiserver.model.attributes import Attributes
from apiserver.model.fieldmanager import Writer
from apiserver.model.user import User
from apiserver.registry.deletion import DeleteOptions
from apiserver.registry.rest import Rest
from apiserver.registry.writerequest import WriteRequest
from apiserver.storage.cache import WatchCache
from apiserver.storage.memory import MemoryStore
from apiserver.storage.revisions import AcknowledgedRevisions
from machinery.errors import ApiError, Conflict, Forbidden, NotFound
from machinery.objects import Object

WRITE = WriteRequest(CONFIG_MAPS, "t", "c", User("u"), writer=Writer("kubectl"))


class Nobody:
    """An authorizer that allows nothing."""

    def allows(self, asked: Attributes) -> bool:
        return False

    def require(self, asked: Attributes) -> None:
        raise Forbidden(f"{asked.user.name} may not {asked.verb}")


@pytest.fixture
def rest() -> Iterator[Rest]:
    store = MemoryStore()
    cache = WatchCache(store, [CONFIG_MAPS.prefix], AcknowledgedRevisions(1))
    cache.start()
    yield Rest(store, cache, chain(()), Nobody())
    cache.stop()
    store.close()


def config(**data: str) -> Object:
    owner = {"manager": "kubectl", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {}}
    metadata = {"name": "c", "managedFields": [owner]}
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": data}


def test_the_life_of_an_object(rest: Rest) -> None:
    created = rest.create(WRITE, config(a="1")).object
    assert created["data"] == {"a": "1"}
    assert created["metadata"]["namespace"] == "t"

    def change(old: Object) -> Object:
        old["data"]["b"] = "2"
        return old

    changed = rest.modify(WRITE, change).object
    assert changed["data"] == {"a": "1", "b": "2"}
    assert changed["metadata"]["uid"] == created["metadata"]["uid"]
    _, gone = rest.delete(WRITE, DeleteOptions())
    assert gone
    with pytest.raises(NotFound):
        rest.modify(WRITE, change)


def test_without_managed_fields_none_are_stored(rest: Rest) -> None:
    assert "managedFields" not in rest.create(WRITE, config()).object["metadata"]
    updated, created = rest.update(WRITE, config(a="1"))
    assert not created and "managedFields" not in updated.object["metadata"]


def test_without_managed_fields_there_is_no_server_side_apply(rest: Rest) -> None:
    with pytest.raises(ApiError) as error:
        rest.fields.read(CONFIG_MAPS, "v1", b"{}", "Strict")
    assert error.value.code == 415
    assert "application/merge-patch+json" in error.value.message and "apply" not in error.value.message


def test_an_update_that_states_an_older_version_is_a_conflict(rest: Rest) -> None:
    version = rest.create(WRITE, config()).object["metadata"]["resourceVersion"]
    rest.update(WRITE, config(a="1"))
    stale = config(a="2")
    stale["metadata"]["resourceVersion"] = version
    with pytest.raises(Conflict):
        rest.update(WRITE, stale)


def test_who_may_apply_but_not_create_creates_nothing(rest: Rest) -> None:
    with pytest.raises(Forbidden, match="u may not create"):
        rest.apply(WRITE, lambda live: config())
    assert rest.store.get(CONFIG_MAPS.key("t", "c")) is None


def test_a_dry_run_stores_nothing(rest: Rest) -> None:
    dry = WriteRequest(CONFIG_MAPS, "t", "c", User("u"), dry_run=True)
    assert rest.create(dry, config(a="1")).object["data"] == {"a": "1"}
    assert rest.store.get(CONFIG_MAPS.key("t", "c")) is None
