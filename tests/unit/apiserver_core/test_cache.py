"""The watch cache over a store in memory: order, consistent reads, selections of history, slow watchers."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from apiserver.model.item import Item, encode, with_resource_version
from apiserver.storage import cache as cache_module
from apiserver.storage import history
from apiserver.storage.cache import WatchCache
from apiserver.storage.memory import MemoryStore
from apiserver.storage.revisions import AcknowledgedRevisions
from machinery.errors import Gone, Timeout

PODS, NODES = "/registry/pods/", "/registry/nodes/"


def value(name: str, **more: Any) -> bytes:
    return encode({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, **more}})


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    made = MemoryStore()
    yield made
    made.close()


@pytest.fixture
def cache(store: MemoryStore) -> Iterator[WatchCache]:
    made = start(store)
    yield made
    made.stop()


def start(store: MemoryStore, acknowledged: AcknowledgedRevisions | None = None) -> WatchCache:
    cache = WatchCache(store, [PODS, NODES], acknowledged or AcknowledgedRevisions())
    cache.start()
    cache.wait_for(1)
    return cache


def write(store: MemoryStore, cache: WatchCache, key: str, **more: Any) -> int:
    revision = store.create(key, value(key.rpartition("/")[2], **more))
    cache.acknowledge(PODS, revision)
    return revision


def collect(watcher: Any, count: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    while len(found) < count:
        changes, _ = watcher.take()
        found += [(change.type, change.item.key.rpartition("/")[2]) for change in changes]
        if len(found) < count:
            watcher.wait(5)
    watcher.close()
    return found


def test_encode_puts_metadata_in_front_and_the_revision_aside() -> None:
    obj = {
        "spec": {"metadata": {"x": 1}},
        "metadata": {"resourceVersion": "3", "name": "a"},
        "kind": "K",
        "apiVersion": "v1",
    }
    stored = encode(obj)
    assert orjson.loads(stored)["metadata"] == {"name": "a"}
    assert orjson.loads(with_resource_version(stored, 12)) == {
        **obj,
        "metadata": {"resourceVersion": "12", "name": "a"},
    }
    assert Item("k", stored, 12).object["metadata"]["resourceVersion"] == "12"


def test_reads_what_was_there_and_what_comes(store: MemoryStore) -> None:
    store.create(PODS + "ns/a", value("a"))
    cache = start(store)
    assert cache.get(PODS, PODS + "ns/a") is not None
    write(store, cache, PODS + "ns/b")
    cache.catch_up(PODS)
    items, revision, total = cache.select(PODS)
    assert [item.key for item in items] == [PODS + "ns/a", PODS + "ns/b"]
    assert (revision, total) == (store.revision(), 2)
    assert cache.select(NODES)[0] == []
    cache.stop()


def test_select_by_namespace_start_and_limit(store: MemoryStore, cache: WatchCache) -> None:
    for key in ("n1/a", "n1/b", "n1/c", "n10/a", "n2/a"):
        write(store, cache, PODS + key)
    cache.catch_up(PODS)

    def keys(below: str = "", start: str = "", limit: int = 0) -> list[str]:
        return [item.key.removeprefix(PODS) for item in cache.select(PODS, below and PODS + below, start, limit)[0]]

    assert keys("n1/") == ["n1/a", "n1/b", "n1/c"]
    assert keys("n1/", PODS + "n1/a\0", 1) == ["n1/b"]
    assert keys("", PODS + "n1/c\0") == ["n10/a", "n2/a"]
    assert cache.select(PODS, PODS + "n1/", PODS + "n1/b", 1)[2] == 2


def test_a_read_waits_for_what_another_worker_acknowledged(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "CATCH_UP", 0.2)
    acknowledged = AcknowledgedRevisions()
    cache = start(store, acknowledged)
    acknowledged.raise_to(PODS, 99)
    cache.catch_up(NODES)
    with pytest.raises(Timeout, match="Too large resource version: 99, current: 1"):
        cache.catch_up(PODS)
    waiting = threading.Thread(target=lambda: cache.wait_for(2))
    waiting.start()
    store.create(PODS + "ns/a", value("a"))
    waiting.join(5)
    assert cache.get(PODS, PODS + "ns/a") is not None
    cache.stop()


def test_acknowledgements_are_shared_with_other_processes() -> None:
    acknowledged = AcknowledgedRevisions(blocks=2)
    child = os.fork()
    if child == 0:
        acknowledged.use_block(1)
        for revision in range(1, 1000):
            acknowledged.raise_to(PODS, revision * 2)
        os._exit(0)
    for revision in range(1, 1000):
        acknowledged.raise_to(PODS, revision)
    os.waitpid(child, 0)
    assert acknowledged.get(PODS) == 1998
    acknowledged.raise_to(PODS, 5)
    assert acknowledged.get(PODS) == 1998, "what a process that has ended knew stays known"
    acknowledged.raise_to(PODS, 2000)
    assert (acknowledged.get(PODS), acknowledged.get(NODES)) == (2000, 0)


def test_watch(store: MemoryStore, cache: WatchCache) -> None:
    watcher = cache.watch(PODS, PODS, cache.revision)
    first = write(store, cache, PODS + "ns/a")
    second = store.update(PODS + "ns/a", value("a", labels={"x": "y"}), first)
    store.delete(PODS + "ns/a", second)
    assert collect(watcher, 3) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_a_deleted_object_has_the_revision_of_its_deletion(store: MemoryStore, cache: WatchCache) -> None:
    watcher = cache.watch(PODS, PODS, write(store, cache, PODS + "ns/a"))
    entry = store.get(PODS + "ns/a")
    assert entry is not None
    gone = store.delete(entry.key, entry.revision)
    watcher.wait(5)
    [change], revision = watcher.take()
    assert (change.revision, revision) == (gone, gone)
    assert change.item.object["metadata"] == {"name": "a", "resourceVersion": str(gone)}
    assert orjson.loads(change.wire("DELETED"))["object"]["metadata"]["resourceVersion"] == str(gone)
    watcher.close()


def test_a_watcher_is_woken_only_for_its_own(store: MemoryStore, cache: WatchCache) -> None:
    watcher = cache.watch(PODS, PODS + "n1/", cache.revision)
    write(store, cache, PODS + "n2/a")
    cache.catch_up(PODS)
    assert not watcher._woken
    write(store, cache, PODS + "n1/a")
    assert collect(watcher, 1) == [("ADDED", "a")]


@pytest.mark.parametrize(("limit", "most"), [("KEPT_CHANGES", 4), ("KEPT_BYTES", 700)])
def test_a_slow_watcher_is_told(
    store: MemoryStore, cache: WatchCache, monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:
    monkeypatch.setattr(history, limit, most)
    slow = cache.watch(PODS, PODS, cache.revision)
    start_revision = cache.revision
    for number in range(12):
        write(store, cache, f"{PODS}ns/{number:02}")
    cache.catch_up(PODS)
    with pytest.raises(Gone, match="too old resource version"):
        slow.take()
    slow.close()
    with pytest.raises(Gone, match="too old resource version"):
        cache.watch(PODS, PODS, start_revision)
    assert collect(cache.watch(PODS, PODS, cache.revision - 2), 2) == [("ADDED", "10"), ("ADDED", "11")]


def test_a_new_cache_knows_the_past(store: MemoryStore) -> None:
    first = store.create(PODS + "ns/a", value("a"))
    second = store.update(PODS + "ns/a", value("a", labels={}), first)
    store.delete(PODS + "ns/a", second)
    last = store.create(PODS + "ns/b", value("b"))
    cache = start(store)
    cache.wait_for(last)
    wait_for_history(cache, first)
    assert collect(cache.watch(PODS, PODS, first), 3) == [("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "b")]
    cache.stop()


def test_a_watch_from_now_is_not_told_of_the_past(store: MemoryStore) -> None:
    store.create(PODS + "ns/a", value("a"))
    cache = start(store)
    items, watcher = cache.watch_with_list(PODS, PODS)
    assert len(items) == 1
    write(store, cache, PODS + "ns/b")
    assert collect(watcher, 1) == [("ADDED", "b")]
    cache.stop()


def test_the_past_is_as_long_as_the_store_remembers(store: MemoryStore) -> None:
    first = store.create(PODS + "ns/a", value("a"))
    second = store.update(PODS + "ns/a", value("a", labels={}), first)
    third = store.update(PODS + "ns/a", value("a"), second)
    store.compact(third)
    cache = start(store)
    wait_for_history(cache, third)
    with pytest.raises(Gone):
        cache.watch(PODS, PODS, first)
    cache.stop()


def test_overtaken_by_compaction_it_reads_everything_again(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = start(store)
    watcher = cache.watch(PODS, PODS, cache.revision)
    with store._changed:  # the feed sleeps on this very lock
        revision = store.create(PODS + "ns/a", value("a"))
        store.delete(PODS + "ns/a", revision)
        last = store.create(PODS + "ns/b", value("b"))
        store.compact(last)
    cache.wait_for(last)
    assert cache.get(PODS, PODS + "ns/a") is None
    assert cache.get(PODS, PODS + "ns/b") is not None
    with pytest.raises(Gone):
        watcher.take()
    watcher.close()
    cache.stop()


def test_ending_watches_wakes_them(store: MemoryStore, cache: WatchCache) -> None:
    watcher = cache.watch(PODS, PODS, cache.revision)
    waiting = threading.Thread(target=lambda: watcher.wait(60))
    waiting.start()
    cache.end_watches()
    waiting.join(5)
    assert not waiting.is_alive()
    watcher.close()


def wait_for_history(cache: WatchCache, revision: int) -> None:
    done = threading.Event()
    for _ in range(500):
        if cache._kinds[PODS].history.oldest <= revision:
            return
        done.wait(0.01)
    raise AssertionError("the history did not come")


def test_what_one_worker_shows_its_watchers_another_worker_waits_for(store: MemoryStore) -> None:
    shared = AcknowledgedRevisions()
    quick = start(store, shared)
    slow = WatchCache(store, [PODS, NODES], shared)  # its feed has not begun
    try:
        watcher = quick.watch(PODS, PODS, quick.revision)
        store.create(f"{PODS}default/a", value("a"))  # its writer has not acknowledged it yet
        assert collect(watcher, 1) == [("ADDED", "a")]
        starter = threading.Timer(0.05, slow.start)
        starter.start()
        slow.catch_up(PODS)
        assert slow.get(PODS, f"{PODS}default/a") is not None
        starter.join()
    finally:
        quick.stop()
        slow.stop()


def test_an_awaited_object_is_there_as_soon_as_it_is_written(store: MemoryStore, cache: WatchCache) -> None:
    key = f"{PODS}default/a"
    assert cache.await_item(PODS, key, 0) is None
    writer = threading.Timer(0.05, lambda: store.create(key, value("a")))
    writer.start()
    found = cache.await_item(PODS, key, 5)
    assert found is not None and found.key == key
    writer.join()


WIDGETS = "/registry/example.com/widgets/"


def test_kinds_that_come_later_are_followed_from_the_start(store: MemoryStore, cache: WatchCache) -> None:
    assert cache.get(WIDGETS, WIDGETS + "ns/a") is None
    assert cache.select(WIDGETS)[0] == []
    before = store.revision()
    write(store, cache, WIDGETS + "ns/a")
    revision = write(store, cache, WIDGETS + "ns/b")
    cache.wait_for(revision)
    assert [item.key for item in cache.select(WIDGETS)[0]] == [WIDGETS + "ns/a", WIDGETS + "ns/b"]
    assert collect(cache.watch(WIDGETS, WIDGETS, before), 2) == [("ADDED", "a"), ("ADDED", "b")]
    again = start(store)
    assert again.get(WIDGETS, WIDGETS + "ns/a") is not None
    again.stop()


def test_a_kind_that_goes_ends_its_watches_and_is_forgotten(store: MemoryStore, cache: WatchCache) -> None:
    revision = write(store, cache, WIDGETS + "ns/a")
    cache.wait_for(revision)
    _, watcher = cache.watch_with_list(WIDGETS, WIDGETS)
    cache.forget(WIDGETS)
    assert cache.get(WIDGETS, WIDGETS + "ns/a") is not None, "not with objects"
    cache.end_watches_of(WIDGETS)
    assert watcher.ended
    watcher.close()
    gone = store.delete(WIDGETS + "ns/a", revision)
    cache.wait_for(gone)
    cache.forget(WIDGETS)
    with pytest.raises(Gone):
        cache.watch(WIDGETS, WIDGETS, revision)
    assert cache.changed(WIDGETS) == gone, "so that no continue token is taken for fresh"
    cache.watch(WIDGETS, WIDGETS, gone).close()


def test_the_stored_form_of_an_item() -> None:
    stored = value("a", labels={"resourceVersion": "5"})
    assert Item("k", stored, 5).bare() == stored
    assert Item("k", stored, 0).bare() == stored


def test_a_single_change_is_kept_however_large(
    store: MemoryStore, cache: WatchCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "KEPT_BYTES", 1)
    watcher = cache.watch(PODS, PODS, cache.revision)
    for name in ("a", "b"):
        write(store, cache, f"{PODS}ns/{name}")
        cache.catch_up(PODS)
        assert [change.item.key for change in watcher.take()[0]] == [f"{PODS}ns/{name}"]
    watcher.close()


def test_of_the_past_only_the_bytes_are_kept(
    store: MemoryStore, cache: WatchCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What watchers had worked out for them would be most of a worker's memory."""
    monkeypatch.setattr(history, "UNSHRUNK", 2)
    revision = write(store, cache, f"{PODS}a/x")
    watcher = cache.watch(PODS, PODS, revision - 1)
    items, seen = [], []
    for label in ("1", "2", "3", "4"):
        revision = store.update(f"{PODS}a/x", value("x", labels={"n": label}), revision)
        cache.acknowledge(PODS, revision)
        cache.catch_up(PODS)
        for change in watcher.take()[0]:
            items.append(change.item)
            seen.append(change.item.object)
    assert [item.object is obj for item, obj in zip(items, seen, strict=True)] == [False, False, True, True, True]
    assert [item.object for item in items] == seen, "parsed again"
    watcher.close()
