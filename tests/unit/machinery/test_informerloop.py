"""Informers that share a thread: the same cache and handlers as others, over watches that are read without waiting."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from machinery.client import WatchEvent, _dechunked
from machinery.errors import ApiError, Gone, ServiceUnavailable
from machinery.informerloop import InformerLoop, LoopedInformer
from machinery.objects import Object
from machinery.resources import Resource

KINDS = [Resource("g", "v1", f"kinds{number}", f"Kind{number}") for number in range(50)]


class Watch:
    """A watch whose events a test sends."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._events: queue.SimpleQueue[WatchEvent | ApiError] = queue.SimpleQueue()
        self.ended = False
        self.closed = False

    def send(self, *events: WatchEvent | ApiError) -> None:
        for event in events:
            self._events.put(event)
        os.write(self._write, b"x")

    def fileno(self) -> int:
        return self._read

    def take(self) -> Iterator[WatchEvent]:
        while not self._events.empty():
            os.set_blocking(self._read, False)
            event = self._events.get()
            if isinstance(event, ApiError):
                raise event
            yield event

    def close(self) -> None:
        self.closed = True
        os.close(self._read)
        os.close(self._write)


class Server:
    """Lists and watches; ``opened`` has each watch with its resource and version."""

    def __init__(self) -> None:
        self.opened: queue.Queue[tuple[Resource, str, Watch]] = queue.Queue()
        self.lists: dict[Resource, int] = {}
        self.failures: list[ApiError] = []

    def list(self, resource: Resource, namespace: str = "", *, field_selector: str = "") -> Object:
        if self.failures:
            raise self.failures.pop()
        self.lists[resource] = self.lists.get(resource, 0) + 1
        return {"metadata": {"resourceVersion": "1"}, "items": [thing("first", "1")]}

    def watch(self, *args: Any, **options: Any) -> Iterator[WatchEvent]:
        raise NotImplementedError

    def open_watch(self, resource: Resource, *, resource_version: str, timeout: int) -> Watch:
        watch = Watch()
        self.opened.put((resource, resource_version, watch))
        return watch


def thing(name: str, version: str) -> Object:
    return {"metadata": {"name": name, "uid": name, "resourceVersion": version}}


@contextmanager
def running(
    server: Server, *resources: Resource
) -> Iterator[tuple[InformerLoop, list[LoopedInformer], queue.Queue[str]]]:
    stop, loop, told = threading.Event(), InformerLoop("loop"), queue.Queue[str]()
    informers = [LoopedInformer(server, resource) for resource in resources]
    loop.start(stop)
    for informer in informers:
        informer.add_handler(lambda old, new: told.put((new or old or {})["metadata"]["name"]))
        loop.add(informer)
    yield loop, informers, told
    stop.set()


def test_many_informers_have_one_thread() -> None:
    server = Server()
    before = threading.active_count()
    with running(server, *KINDS) as (_, informers, told):
        assert all(informer.wait_synced(10) for informer in informers)
        assert threading.active_count() - before <= 2  # the loop's, and the one that waits for its end
        watches = {resource: watch for resource, _, watch in (server.opened.get(timeout=10) for _ in KINDS)}
        assert [told.get(timeout=10) for _ in KINDS] == ["first"] * len(KINDS)
        watches[KINDS[7]].send(WatchEvent("ADDED", thing("second", "2")))
        assert told.get(timeout=10) == "second"
        assert [obj["metadata"]["name"] for obj in informers[7].list()] == ["first", "second"]


def test_a_watch_that_fails_goes_on_where_it_was() -> None:
    server = Server()
    with running(server, KINDS[0]):
        _, version, watch = server.opened.get(timeout=10)
        watch.send(WatchEvent("BOOKMARK", thing("", "5")), ServiceUnavailable("gone"))
        _, again, following = server.opened.get(timeout=10)
        assert (version, again, watch.closed, server.lists[KINDS[0]]) == ("1", "5", True, 1)
        following.send(Gone("too old"))
        _, anew, _ = server.opened.get(timeout=10)
        assert (anew, server.lists[KINDS[0]]) == ("1", 2)


def test_a_list_that_fails_is_tried_again() -> None:
    server = Server()
    server.failures = [ServiceUnavailable("not yet")]
    with running(server, KINDS[0]) as (_, [informer], _):
        assert informer.wait_synced(10)


def test_an_informer_can_be_removed() -> None:
    server = Server()
    with running(server, *KINDS[:2]) as (loop, informers, told):
        watches = {resource: watch for resource, _, watch in (server.opened.get(timeout=10) for _ in range(2))}
        assert [told.get(timeout=10) for _ in range(2)] == ["first"] * 2
        loop.remove(informers[0])
        watches[KINDS[1]].send(WatchEvent("ADDED", thing("second", "2")))
        assert told.get(timeout=10) == "second"
        assert watches[KINDS[0]].closed


@pytest.mark.parametrize(
    ("stream", "content", "rest", "complete"),
    [
        (b"", b"", b"", False),
        (b"3\r\nabc\r\n", b"abc", b"", False),
        (b"3;x=y\r\nabc\r\n2\r\nde", b"abc", b"2\r\nde", False),
        (b"A\r\n0123456789\r", b"", b"A\r\n0123456789\r", False),
        (b"1", b"", b"1", False),
        (b"1\r\na\r\n0\r\n\r\n", b"a", b"", True),
    ],
)
def test_chunks(stream: bytes, content: bytes, rest: bytes, complete: bool) -> None:
    assert _dechunked(stream) == (content, rest, complete)
