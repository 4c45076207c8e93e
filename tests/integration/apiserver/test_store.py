"""The contract of ``Store``: what holds for etcd holds for the memory store, revision by revision."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator

import pytest

from apiserver.storage.etcd import EtcdStore
from apiserver.storage.memory import MemoryStore
from apiserver.storage.protocol import (
    Batch,
    Changed,
    Claimed,
    Compacted,
    Entry,
    Event,
    FutureRevision,
    Overtaken,
    Store,
    TooLarge,
    WriteOptions,
)

pytestmark = pytest.mark.etcd


@pytest.fixture(params=["memory", "etcd"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else EtcdStore(request.getfixturevalue("etcd").server)
    yield made
    made.close()


@pytest.fixture
def prefix() -> str:
    """A part of the key space of the test's own: etcd serves all tests."""
    return f"/registry/test-{uuid.uuid4()}/"


def events_of(store: Store, prefix: str, after: int, count: int) -> list[Event]:
    found: list[Event] = []
    stop = threading.Event()
    for batch in store.watch(prefix, after + 1, stop):
        found += batch.events
        if len(found) >= count:
            return found
    raise AssertionError(f"the watch ended after {found}")


def test_create_and_get(store: Store, prefix: str) -> None:
    assert store.get(prefix + "a") is None
    revision = store.create(prefix + "a", b"1")
    assert store.get(prefix + "a") == (prefix + "a", b"1", revision)
    assert store.revision() == revision


def test_create_refuses_what_exists_and_shows_it(store: Store, prefix: str) -> None:
    revision = store.create(prefix + "a", b"1")
    with pytest.raises(Changed) as caught:
        store.create(prefix + "a", b"2")
    assert caught.value.current == (prefix + "a", b"1", revision)
    assert store.revision() == revision


def test_update_swaps_by_revision(store: Store, prefix: str) -> None:
    first = store.create(prefix + "a", b"1")
    second = store.update(prefix + "a", b"2", first)
    assert second == first + 1
    with pytest.raises(Changed) as caught:
        store.update(prefix + "a", b"3", first)
    assert caught.value.current == (prefix + "a", b"2", second)


def test_update_and_delete_of_nothing(store: Store, prefix: str) -> None:
    writes: list[Callable[[], object]] = [
        lambda: store.update(prefix + "a", b"1", 7),
        lambda: store.delete(prefix + "a", 7),
    ]
    for write in writes:
        with pytest.raises(Changed) as caught:
            write()
        assert caught.value.current is None


def test_a_write_replaces_other_keys_in_the_same_transaction(store: Store, prefix: str) -> None:
    quota = store.create(prefix + "quota", b"0")
    first = store.create(prefix + "a", b"1", WriteOptions(swaps=[Entry(prefix + "quota", b"1", quota)]))
    assert store.get(prefix + "quota") == (prefix + "quota", b"1", first)
    second = store.update(prefix + "a", b"2", first, WriteOptions(swaps=[Entry(prefix + "quota", b"2", first)]))
    assert events_of(store, prefix, quota, 4) == [
        Event(prefix + "a", b"1", None, first),
        Event(prefix + "quota", b"1", b"0", first),
        Event(prefix + "a", b"2", b"1", second),
        Event(prefix + "quota", b"2", b"1", second),
    ]


def test_nothing_is_written_when_another_key_has_moved(store: Store, prefix: str) -> None:
    old = store.create(prefix + "quota", b"0")
    new = store.update(prefix + "quota", b"1", old)
    with pytest.raises(Overtaken) as caught:
        store.create(prefix + "a", b"1", WriteOptions([prefix + "claim"], swaps=[Entry(prefix + "quota", b"1", old)]))
    assert caught.value.revision == new
    assert store.get(prefix + "a") is None
    assert not store.claimed(prefix + "claim")
    gone = store.delete(prefix + "quota", new)
    with pytest.raises(Overtaken) as caught:
        store.create(prefix + "a", b"1", WriteOptions(swaps=[Entry(prefix + "quota", b"2", new)]))
    assert caught.value.revision == 0
    assert store.revision() == gone


def test_delete_by_revision(store: Store, prefix: str) -> None:
    first = store.create(prefix + "a", b"1")
    second = store.update(prefix + "a", b"2", first)
    with pytest.raises(Changed):
        store.delete(prefix + "a", first)
    assert store.delete(prefix + "a", second) == second + 1
    assert store.get(prefix + "a") is None
    assert store.create(prefix + "a", b"3") == second + 2


def test_list_is_sorted_and_within_the_prefix(store: Store, prefix: str) -> None:
    for name in ("b", "a/x", "c", "a"):
        store.create(prefix + name, name.encode())
    store.create(prefix[:-1] + "0", b"the key right behind the prefix")
    page = store.list(prefix)
    assert [entry.key.removeprefix(prefix) for entry in page.entries] == ["a", "a/x", "b", "c"]
    assert page.total == 4
    assert page.revision == store.revision()


def test_list_in_chunks(store: Store, prefix: str) -> None:
    for name in "abcde":
        store.create(prefix + name, b"")
    page = store.list(prefix, start=prefix + "b", limit=2)
    assert [entry.key[-1] for entry in page.entries] == ["b", "c"]
    assert page.total == 4


def test_list_of_the_past(store: Store, prefix: str) -> None:
    first = store.create(prefix + "a", b"1")
    second = store.create(prefix + "b", b"1")
    third = store.update(prefix + "a", b"2", first)
    fourth = store.delete(prefix + "b", second)
    store.create(prefix + "b", b"again")
    assert store.list(prefix, revision=second).entries == [(prefix + "a", b"1", first), (prefix + "b", b"1", second)]
    assert store.list(prefix, revision=third).entries == [(prefix + "a", b"2", third), (prefix + "b", b"1", second)]
    assert store.list(prefix, revision=fourth).entries == [(prefix + "a", b"2", third)]
    with pytest.raises(FutureRevision):
        store.list(prefix, revision=store.revision() + 1000)


def test_claims_are_taken_with_the_object(store: Store, prefix: str) -> None:
    claim = prefix.replace("registry", "claims") + "10.0.0.1"
    revision = store.create(prefix + "a", b"1", WriteOptions(claims=[claim, claim]))
    assert store.claimed(claim)
    with pytest.raises(Claimed) as caught:
        store.create(prefix + "b", b"1", WriteOptions(claims=[claim + "0", claim]))
    assert caught.value.claim == claim
    assert store.get(prefix + "b") is None
    assert not store.claimed(claim + "0"), "a refused write takes nothing"
    assert store.revision() == revision


def test_claims_move_with_an_update_and_go_with_a_deletion(store: Store, prefix: str) -> None:
    claim = prefix.replace("registry", "claims")
    first = store.create(prefix + "a", b"1", WriteOptions(claims=[claim + "1"]))
    second = store.update(prefix + "a", b"2", first, WriteOptions([claim + "2"], [claim + "1"]))
    assert (store.claimed(claim + "1"), store.claimed(claim + "2")) == (False, True)
    store.delete(prefix + "a", second, released=[claim + "2"])
    assert not store.claimed(claim + "2")


def test_an_existing_key_is_told_before_a_taken_claim(store: Store, prefix: str) -> None:
    claim = prefix.replace("registry", "claims") + "1"
    store.create(prefix + "a", b"1", WriteOptions(claims=[claim]))
    with pytest.raises(Changed):
        store.create(prefix + "a", b"1", WriteOptions(claims=[claim]))


def test_a_claim_is_given_once_however_many_ask(store: Store, prefix: str) -> None:
    claim = prefix.replace("registry", "claims") + "1"
    won: list[int] = []

    def ask(number: int) -> None:
        try:
            store.create(f"{prefix}{number}", b"", WriteOptions(claims=[claim]))
        except Claimed:
            return
        won.append(number)

    run_together(ask, 12)
    assert len(won) == 1


def test_no_update_is_lost(store: Store, prefix: str) -> None:
    store.create(prefix + "n", b"0")

    def increment(_: int) -> None:
        for _ in range(10):
            while True:
                entry = store.get(prefix + "n")
                assert entry is not None
                try:
                    store.update(prefix + "n", b"%d" % (int(entry.value) + 1), entry.revision)
                except Changed:
                    continue
                break

    run_together(increment, 8)
    entry = store.get(prefix + "n")
    assert entry is not None
    assert entry.value == b"80"


def test_watch_tells_of_every_change_in_order(store: Store, prefix: str) -> None:
    start = store.revision()
    first = store.create(prefix + "a", b"1")
    second = store.update(prefix + "a", b"2", first)
    store.create(prefix[:-1] + "0/other", b"not ours")
    third = store.delete(prefix + "a", second)
    assert events_of(store, prefix, start, 3) == [
        (prefix + "a", b"1", None, first),
        (prefix + "a", b"2", b"1", second),
        (prefix + "a", None, b"2", third),
    ]
    assert events_of(store, prefix, second, 1) == [(prefix + "a", None, b"2", third)]


def test_watch_waits_for_what_comes(store: Store, prefix: str) -> None:
    start = store.revision()
    found: list[Event] = []
    watching = threading.Thread(target=lambda: found.extend(events_of(store, prefix, start, 2)))
    watching.start()
    store.create(prefix + "a", b"1")
    store.create(prefix + "b", b"1")
    watching.join(10)
    assert [event.key[-1] for event in found] == ["a", "b"]


def test_a_batch_says_how_far_it_is(store: Store, prefix: str) -> None:
    revision = store.create(prefix + "a", b"1")
    batch: Batch = next(iter(store.watch(prefix, revision, threading.Event())))
    assert batch.revision == revision


def test_compaction(store: Store, prefix: str) -> None:
    first = store.create(prefix + "a", b"1")
    second = store.update(prefix + "a", b"2", first)
    third = store.update(prefix + "a", b"3", second)
    store.compact(second)
    store.compact(second)
    with pytest.raises(Compacted) as listed:
        store.list(prefix, revision=first)
    with pytest.raises(Compacted) as watched:
        next(iter(store.watch(prefix, first, threading.Event())))
    assert listed.value.oldest == watched.value.oldest == second
    assert store.list(prefix, revision=second).entries[0].value == b"2"
    assert [event.revision for event in events_of(store, prefix, second, 1)] == [third]


def test_what_has_a_time_to_live_goes_by_itself(store: Store, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apiserver.storage.etcd.LEASE_SHARED", 0)
    start = store.revision()
    store.create(prefix + "a", b"1", WriteOptions(ttl=1))
    last = events_of(store, prefix, start, 2)[-1]
    assert (last.value, last.previous) == (None, b"1")
    assert store.get(prefix + "a") is None


def test_what_is_too_large(store: Store, prefix: str) -> None:
    """Both stores refuse the same, so that a test on the one in memory does not pass what etcd refuses."""
    for size in (1536 * 1024, 1600 * 1024):
        with pytest.raises(TooLarge, match="etcdserver: request is too large"):
            store.create(prefix + "a", b"x" * size)
    with pytest.raises(TooLarge):
        store.create(prefix + "a", b"x" * (3 << 20))  # gRPC refuses it first
    assert store.create(prefix + "a", b"x" * (1535 * 1024))
    with pytest.raises(TooLarge):
        store.create(prefix + "b", b"x", WriteOptions(swaps=[Entry(prefix + "a", b"x" * (1536 * 1024), 1)]))


def test_close_ends_a_watch(store: Store, prefix: str) -> None:
    stop = threading.Event()
    revision = store.revision() + 1
    watching = threading.Thread(target=lambda: list(store.watch(prefix, revision, stop)))
    watching.start()
    stop.set()
    store.close()
    watching.join(10)
    assert not watching.is_alive()


def run_together(work: Callable[[int], None], count: int) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
