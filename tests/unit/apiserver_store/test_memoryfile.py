"""A memory store with a file comes back as it was when it was closed."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from apiserver.storage.memory import MemoryStore
from apiserver.storage.protocol import Claimed, Compacted, Unavailable, WriteOptions


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.json"


def test_what_was_closed_comes_back(file: Path) -> None:
    before = MemoryStore(file)
    before.create("/a", b"\x00binary\xff", WriteOptions(claims=["/ip/1"]))
    last = before.create("/b", b"2")
    before.close()
    after = MemoryStore(file)
    assert after.list("/") == ([("/a", b"\x00binary\xff", last - 1), ("/b", b"2", last)], last, 2)
    assert after.revision() == last
    with pytest.raises(Claimed):
        after.create("/c", b"", WriteOptions(claims=["/ip/1"]))
    assert after.create("/c", b"3") == last + 1


def test_only_its_owner_can_read_the_file(file: Path) -> None:
    store = MemoryStore(file)
    store.close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_nothing_is_acknowledged_that_the_file_does_not_hold(file: Path) -> None:
    store = MemoryStore(file)
    revision = store.create("/a", b"1")
    store.close()
    for write in (lambda: store.create("/b", b""), lambda: store.delete("/a", revision)):
        with pytest.raises(Unavailable):
            write()  # type: ignore[no-untyped-call]
    store.close()
    assert MemoryStore(file).get("/a") == ("/a", b"1", revision)


def test_history_is_gone_and_says_so(file: Path) -> None:
    before = MemoryStore(file)
    before.create("/a", b"1")
    last = before.create("/b", b"2")
    before.close()
    after = MemoryStore(file)
    for revision in (last - 1, last):
        with pytest.raises(Compacted):
            next(after.watch("/", revision, threading.Event()))
    with pytest.raises(Compacted):
        after.list("/", revision=last - 1)
    assert after.list("/", revision=last).total == 2
    after.create("/c", b"3")
    assert [event.key for event in next(after.watch("/", last + 1, threading.Event())).events] == ["/c"]


def test_a_time_to_live_goes_on(file: Path) -> None:
    before = MemoryStore(file)
    before.create("/short", b"", WriteOptions(ttl=1))
    before.create("/long", b"", WriteOptions(ttl=60))
    before.close()
    after = MemoryStore(file)
    assert after.get("/short") is not None
    batch = next(after.watch("/", after.revision() + 1, threading.Event()))
    assert [(event.key, event.value) for event in batch.events] == [("/short", None)]
    assert after.get("/long") is not None


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"revision": 1, "entries": [[1]], "claims": {}, "expiries": []}', b"[]"]
)
def test_a_damaged_file_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"store\.json does not hold a store's content"):
        MemoryStore(file)
