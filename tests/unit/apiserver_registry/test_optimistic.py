"""Optimistic writes: what is tried again when the cache is behind, and what is believed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from apiserver.kinds.configmaps import CONFIG_MAPS
from apiserver.model.item import Item, encode
from apiserver.model.user import User
from apiserver.registry import optimistic
from apiserver.registry.backend import Backend
from apiserver.registry.optimistic import on_newest
from apiserver.registry.writerequest import WriteRequest
from apiserver.storage.memory import MemoryStore
from apiserver.storage.protocol import Changed, Overtaken, TooLarge
from machinery.errors import Conflict, NotFound

OLD, NEW = (encode({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": n}}) for n in ("old", "new"))
KEY = CONFIG_MAPS.key("t", "c")
WRITE = WriteRequest(CONFIG_MAPS, "t", "c", User("u"))


class StaleCache:
    """A cache that shows one item, however old."""

    def __init__(self, item: Item | None) -> None:
        self.item = item
        self.awaited: list[int] = []

    def get(self, prefix: str, key: str) -> Item | None:
        assert (prefix, key) == (CONFIG_MAPS.prefix, KEY)
        return self.item

    def wait_for(self, revision: int) -> None:
        self.awaited.append(revision)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def backend(store: MemoryStore, item: Item | None) -> Backend:
    nothing = cast(Any, None)
    return Backend(store, cast(Any, StaleCache(item)), nothing, nothing, nothing)


def behind(store: MemoryStore) -> tuple[Backend, Item]:
    """A cache that shows the first revision of an object, of which the store has the second."""
    old = Item(KEY, OLD, store.create(KEY, OLD))
    store.update(KEY, NEW, old.revision)
    return backend(store, old), old


def recorded(*results: Exception | str) -> tuple[Callable[[Item, bool], str], list[tuple[bytes, bool]]]:
    """An attempt that raises or returns one result after the other, and what it was called with."""
    calls: list[tuple[bytes, bool]] = []

    def attempt(item: Item, from_store: bool) -> str:
        calls.append((OLD if item.object["metadata"]["name"] == "old" else NEW, from_store))
        result = results[len(calls) - 1]
        if isinstance(result, Exception):
            raise result
        return result

    return attempt, calls


def test_a_success_on_the_cached_object_needs_no_other(store: MemoryStore) -> None:
    attempt, calls = recorded("done")
    assert on_newest(behind(store)[0], WRITE, attempt) == "done"
    assert calls == [(OLD, False)]


@pytest.mark.parametrize("error", [Conflict("it is another"), TooLarge("too large")])
def test_an_error_about_a_cached_object_is_not_believed(store: MemoryStore, error: Exception) -> None:
    attempt, calls = recorded(error, "done")
    assert on_newest(behind(store)[0], WRITE, attempt) == "done"
    assert calls == [(OLD, False), (NEW, True)]


def test_an_error_about_the_stored_object_is_raised(store: MemoryStore) -> None:
    attempt, calls = recorded(Conflict("at first"), Conflict("still"))
    with pytest.raises(Conflict, match="still"):
        on_newest(behind(store)[0], WRITE, attempt)
    assert calls == [(OLD, False), (NEW, True)]


def test_a_failed_swap_goes_on_with_the_object_that_the_store_tells(store: MemoryStore) -> None:
    start, _ = behind(store)
    attempt, calls = recorded(Changed(store.get(KEY)), "done")
    assert on_newest(start, WRITE, attempt) == "done"
    assert calls == [(OLD, False), (NEW, True)]


def test_an_overtaken_swap_waits_for_the_cache_and_keeps_the_object(store: MemoryStore) -> None:
    start, _ = behind(store)
    attempt, calls = recorded(Overtaken(7), "done")
    assert on_newest(start, WRITE, attempt) == "done"
    assert calls == [(OLD, False)] * 2
    assert cast(StaleCache, start.cache).awaited == [7]


def test_what_the_cache_has_not_seen_is_read_from_the_store(store: MemoryStore) -> None:
    store.create(KEY, NEW)
    attempt, calls = recorded("done")
    assert on_newest(backend(store, None), WRITE, attempt) == "done"
    assert calls == [(NEW, True)]


def test_what_is_gone_is_not_found(store: MemoryStore) -> None:
    start, _ = behind(store)
    current = store.get(KEY)
    assert current is not None
    store.delete(KEY, current.revision)
    attempt, _ = recorded(Changed(None))
    with pytest.raises(NotFound, match='configmaps "c" not found'):
        on_newest(start, WRITE, attempt)


def test_endless_competition_is_a_conflict(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimistic, "WRITE_ATTEMPTS", 3)
    start, _ = behind(store)
    attempt, calls = recorded(*[Changed(store.get(KEY))] * 3)
    with pytest.raises(Conflict):
        on_newest(start, WRITE, attempt)
    assert len(calls) == 3


def test_only_the_store_confirms_that_nothing_is_to_be_written(store: MemoryStore) -> None:
    start, old = behind(store)
    with pytest.raises(Changed) as error:
        start.confirm(old)
    assert error.value.current == store.get(KEY)
    current = start.stored(KEY)
    assert current is not None
    start.confirm(current)
