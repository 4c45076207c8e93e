"""The thread that keeps something right: when it acts, and what it does when it cannot."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Iterator

import pytest

from apiserver.control import loop as reconciler
from apiserver.control.loop import Reconciler
from apiserver.storage.protocol import Unavailable
from machinery.errors import Conflict


class Cache:
    """What there is of the watch cache: news of keys."""

    def listen(self, listener: Callable[[str], None]) -> None:
        self.tell = listener

    def wait_for(self, revision: int) -> None:
        pass


class Work:
    """Fails in the given ways, one after the other, and then no more."""

    def __init__(self, *failures: Exception) -> None:
        self.done: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._failures = list(failures)

    def sync(self) -> None:
        if self._failures:
            error = self._failures.pop(0)
            self.done.put(type(error).__name__)
            raise error
        self.done.put("done")


Start = Callable[..., tuple[Cache, Work]]


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[Reconciler] = []

    def begin(*failures: Exception, resync: float = 60) -> tuple[Cache, Work]:
        cache, work = Cache(), Work(*failures)
        made = Reconciler("tested", cache, work.sync, lambda key: key.startswith("/registry/mine/"), resync)  # type: ignore[arg-type]
        made.start()
        running.append(made)
        return cache, work

    yield begin
    for made in running:
        made.stop()


def test_it_acts_at_the_start_and_on_news_that_concerns_it(start: Start) -> None:
    cache, work = start()
    assert work.done.get(timeout=5) == "done"
    cache.tell("/registry/others/a")
    with pytest.raises(queue.Empty):
        work.done.get(timeout=0.1)
    cache.tell("/registry/mine/a")
    assert work.done.get(timeout=5) == "done"


def test_it_looks_again_once_in_a_while(start: Start) -> None:
    _, work = start(resync=0.01)
    assert [work.done.get(timeout=5) for _ in range(3)] == ["done"] * 3


def test_it_tries_again_until_it_works_and_tells_of_an_outage_once(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reconciler, "RETRY", 0.01)
    caplog.set_level(logging.INFO)
    _, work = start(Unavailable("no etcd"), Unavailable("no etcd"), Conflict("somebody was faster"))
    assert [work.done.get(timeout=5) for _ in range(4)] == ["Unavailable", "Unavailable", "Conflict", "done"]
    assert [record.getMessage() for record in caplog.records] == ["tested: no etcd; trying again until it works"]
