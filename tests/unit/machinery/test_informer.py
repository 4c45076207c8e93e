"""Informers against a scripted API: broken watches, 410, bookmarks, missed deletions, indexes, handlers."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from machinery import errors, informer
from machinery.client import WatchEvent
from machinery.informer import Informer, Informers
from machinery.objects import Object
from machinery.resources import PODS, Resource


def pod(name: str, version: str = "1", uid: str = "u", **labels: str) -> Object:
    meta = {"namespace": "ns", "name": name, "resourceVersion": version, "uid": f"{uid}-{name}", "labels": labels}
    return {"metadata": {**meta, "managedFields": ["much"]}}


class Script:
    """A client that answers each list and each watch with the next entry of its script, and notes what was asked."""

    def __init__(self) -> None:
        self.lists: deque[tuple[Any, ...]] = deque()
        self.watches: queue.Queue[Iterable[Any] | None] = queue.Queue()  # each an iterable of events and exceptions
        self.asked: list[str] = []

    def list(
        self, resource: Resource, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> Object:
        self.asked.append("list")
        version, *items = self.lists.popleft()
        if isinstance(version, Exception):
            raise version
        return {"metadata": {"resourceVersion": version}, "items": items}

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout: int | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[WatchEvent]:
        self.asked.append(f"watch {resource_version}")
        script = self.watches.get()
        if script is None:
            return
        for event in script:
            if isinstance(event, Exception):
                raise event
            yield WatchEvent(*event)


@pytest.fixture
def api() -> Script:
    return Script()


@pytest.fixture
def stop(api: Script, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    monkeypatch.setattr(informer, "FIRST_BACKOFF", 0.001)
    event = threading.Event()
    yield event
    event.set()
    api.watches.put(None)


class Seen:
    """A handler that keeps what it was told, as short words."""

    def __init__(self, made: Informer) -> None:
        self.news: queue.Queue[str] = queue.Queue()
        made.add_handler(self)

    def __call__(self, old: Object | None, new: Object | None) -> None:
        name = (new or old or {})["metadata"]["name"]
        self.news.put(("+" if old is None else "-" if new is None else "~") + name)

    def next(self, count: int) -> list[str]:
        return [self.news.get(timeout=5) for _ in range(count)]


Start = Callable[..., tuple[Informer, Seen]]


@pytest.fixture
def start(api: Script, stop: threading.Event) -> Start:
    def start(indexers: Any = None, **options: Any) -> tuple[Informer, Seen]:
        made = Informer(api, PODS, **options)
        made.add_indexers(indexers or {})
        seen = Seen(made)
        made._backoff = 0.001
        made.start(stop)
        return made, seen

    return start


def test_list_then_watch(api: Script, start: Start) -> None:
    api.lists.append(("5", pod("a"), pod("b")))
    api.watches.put([("ADDED", pod("c", "6")), ("MODIFIED", pod("a", "7", tier="x")), ("DELETED", pod("b", "8"))])
    made, seen = start()
    assert made.wait_synced(5)
    assert seen.next(5) == ["+a", "+b", "+c", "~a", "-b"]
    assert {obj["metadata"]["name"] for obj in made.list()} == {"a", "c"}
    cached = made.get("ns/a")
    assert cached is not None
    assert cached["metadata"]["labels"] == {"tier": "x"}
    assert cached["kind"] == "Pod"
    assert "managedFields" not in cached["metadata"]
    assert made.get("ns/b") is None


def test_a_broken_watch_goes_on_from_the_last_version_seen(api: Script, start: Start) -> None:
    api.lists.append(("5", pod("a")))
    api.watches.put([("ADDED", pod("b", "6")), errors.ServiceUnavailable("connection reset")])
    api.watches.put([("BOOKMARK", {"metadata": {"resourceVersion": "9"}})])
    api.watches.put([("ADDED", pod("c", "10"))])
    _, seen = start()
    assert seen.next(3) == ["+a", "+b", "+c"]
    assert api.asked[:4] == ["list", "watch 5", "watch 6", "watch 9"]


def test_gone_lists_again_and_reports_what_was_missed(api: Script, start: Start) -> None:
    api.lists.append(("5", pod("stays"), pod("goes"), pod("changes"), pod("reborn", uid="old")))
    api.watches.put([errors.Gone("too old resource version")])
    api.lists.append(("20", pod("stays"), pod("changes", "12"), pod("comes", "13"), pod("reborn", "14", uid="new")))
    made, seen = start()
    assert seen.next(4) == ["+stays", "+goes", "+changes", "+reborn"]
    assert seen.next(5) == ["-goes", "~changes", "+comes", "-reborn", "+reborn"]
    assert len(made.list()) == 4
    api.watches.put([("ADDED", pod("x", "21"))])
    assert seen.next(1) == ["+x"]
    assert api.asked[:4] == ["list", "watch 5", "list", "watch 20"]


def test_an_api_server_that_is_not_there_yet(api: Script, start: Start) -> None:
    api.lists.extend([(errors.ServiceUnavailable("refused"),), (errors.Forbidden("not yet"),), ("5", pod("a"))])
    made, seen = start()
    assert seen.next(1) == ["+a"]
    assert made.wait_synced(5)
    assert api.asked[:3] == ["list"] * 3


def test_an_event_that_cannot_be_read_lists_again(api: Script, start: Start) -> None:
    api.lists.append(("5", pod("a")))
    api.watches.put([("ADDED", {"nonsense": 1})])
    api.lists.append(("6", pod("a"), pod("b")))
    _, seen = start()
    assert seen.next(2) == ["+a", "+b"]


def test_indexes_follow_changes(api: Script, start: Start) -> None:
    by_tier = {"tier": lambda obj: [obj["metadata"]["labels"].get("tier", "none")]}
    api.lists.append(("5", pod("a", tier="x"), pod("b", tier="x")))
    made, seen = start(indexers=by_tier)
    seen.next(2)
    assert {obj["metadata"]["name"] for obj in made.by_index("tier", "x")} == {"a", "b"}
    api.watches.put([("MODIFIED", pod("a", "6", tier="y")), ("DELETED", pod("b", "7"))])
    seen.next(2)
    assert made.by_index("tier", "x") == []
    assert [obj["metadata"]["name"] for obj in made.by_index("tier", "y")] == ["a"]
    made.add_indexers({"name": lambda obj: [obj["metadata"]["name"]]})
    assert len(made.by_index("name", "a")) == 1


def test_a_late_handler_is_told_of_everything_and_a_failing_one_disturbs_nobody(api: Script, start: Start) -> None:
    api.lists.append(("5", pod("a")))
    made, seen = start()

    def broken(old: Object | None, new: Object | None) -> None:
        raise RuntimeError("on purpose")

    seen.next(1)
    made.add_handler(broken)
    late = Seen(made)
    assert late.next(1) == ["+a"]
    api.watches.put([("ADDED", pod("b", "6"))])
    assert seen.next(1) == late.next(1) == ["+b"]


def test_the_factory_shares() -> None:
    informers = Informers(Script())
    first = informers.of(PODS, indexers={"a": lambda obj: ()})
    assert informers.of(PODS, indexers={"b": lambda obj: ()}) is first
    assert first.by_index("b", "x") == []
    assert informers.of(PODS, field_selector="spec.nodeName=n") is not first


def test_stop_before_start_ends_at_once(api: Script) -> None:
    stop = threading.Event()
    stop.set()
    made = Informer(api, PODS)
    made.start(stop)
    assert api.asked == []
