"""Watches: from now, from a revision, from too long ago; with selectors, bookmarks and as Tables."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from integration.apiserver.conftest import Api

from apiserver.api import watchstream as watching

pytestmark = pytest.mark.etcd

CMS = "/api/v1/namespaces/{}/configmaps"
MERGE = {"Content-Type": "application/merge-patch+json"}


def create(api: Api, namespace: str, name: str, labels: dict[str, str] | None = None) -> int:
    answer = api("POST", CMS.format(namespace), {"metadata": {"name": name, "labels": labels}})
    assert answer.code == 201, answer
    return int(answer.json["metadata"]["resourceVersion"])


def seen(events: list[Any]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


def revisions(events: list[Any]) -> list[int]:
    return [int(event["object"]["metadata"]["resourceVersion"]) for event in events]


def test_from_a_revision(api: Api, namespace: str) -> None:
    first = create(api, namespace, "a")
    second = create(api, namespace, "b")
    third = int(
        api("PATCH", CMS.format(namespace) + "/a", {"data": {"k": "v"}}, MERGE).json["metadata"]["resourceVersion"]
    )
    api("DELETE", CMS.format(namespace) + "/b")
    events = api.events(f"{CMS.format(namespace)}?watch=1&resourceVersion={first}", 3)
    assert seen(events) == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]
    assert revisions(events)[:2] == [second, third]
    assert revisions(events)[2] > third, "a deletion has a revision of its own"


def test_from_now_begins_with_what_there_is(api: Api, namespace: str) -> None:
    create(api, namespace, "a")
    create(api, namespace, "b")
    for version in ("", "0"):
        events = api.events(f"{CMS.format(namespace)}?watch=1&resourceVersion={version}", 2)
        assert seen(events) == [("ADDED", "a"), ("ADDED", "b")]


def test_of_one_object(api: Api, namespace: str) -> None:
    first = create(api, namespace, "a")
    create(api, namespace, "ab")
    api("DELETE", CMS.format(namespace) + "/a")
    for path in (
        f"/api/v1/watch/namespaces/{namespace}/configmaps/a?",
        f"{CMS.format(namespace)}?watch=1&fieldSelector=metadata.name%3Da&",
    ):
        assert seen(api.events(f"{path}resourceVersion={first}", 1)) == [("DELETED", "a")]
    path = f"/api/v1/watch/namespaces/{namespace}/configmaps/a"
    assert api("GET", f"{path}?fieldSelector=metadata.name%3Db").code == 400
    assert api("GET", f"{CMS.format(namespace)}/ab?watch=1").json["kind"] == "ConfigMap", "a GET of one is no watch"


def test_events_arrive_while_it_is_open(api: Api, namespace: str) -> None:
    first = create(api, namespace, "a")
    events: list[Any] = []
    path = f"{CMS.format(namespace)}?watch=1&resourceVersion={first}"
    watching = threading.Thread(target=lambda: events.extend(api.events(path, 3)))
    watching.start()
    for name in "bcd":
        create(api, namespace, name)
    watching.join(20)
    assert seen(events) == [("ADDED", "b"), ("ADDED", "c"), ("ADDED", "d")]


def test_an_object_moves_in_and_out_of_a_selection(api: Api, namespace: str) -> None:
    path = CMS.format(namespace)
    first = create(api, namespace, "a", {"tier": "back"})
    for tier in ("front", "front", "back", "front"):
        api("PATCH", path + "/a", {"metadata": {"labels": {"tier": tier}}, "data": {"k": "v"}}, MERGE)
        api("PATCH", path + "/a", {"data": None}, MERGE)
    api("DELETE", path + "/a")
    events = api.events(f"{path}?watch=1&labelSelector=tier%3Dfront&resourceVersion={first}", 8)
    types = [event["type"] for event in events]
    assert types == ["ADDED", *["MODIFIED"] * 3, "DELETED", "ADDED", "MODIFIED", "DELETED"]
    left = events[4]["object"]["metadata"]
    assert left["labels"] == {"tier": "front"}, "the last state that the watcher could see"
    assert revisions(events) == sorted(set(revisions(events)))


def test_bookmarks(api: Api, namespace: str) -> None:
    first = create(api, namespace, "a")
    path = f"{CMS.format(namespace)}?watch=1&resourceVersion={first}&timeoutSeconds=1"
    assert api.events(path) == []
    [bookmark] = api.events(path + "&allowWatchBookmarks=true")
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["kind"] == "ConfigMap"
    assert int(bookmark["object"]["metadata"]["resourceVersion"]) >= first


def test_initial_events_end_with_a_bookmark(api: Api, namespace: str) -> None:
    create(api, namespace, "a")
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    events = api.events(f"{CMS.format(namespace)}?{query}", 2)
    assert seen(events)[:2] == [("ADDED", "a"), ("BOOKMARK", "")]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_without_initial_events(api: Api, namespace: str) -> None:
    create(api, namespace, "a")
    path = f"{CMS.format(namespace)}?watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan"
    assert api.events(f"{path}&timeoutSeconds=-1") == []


def test_in_yaml_there_is_none(api: Api, namespace: str) -> None:
    answer = api("GET", f"{CMS.format(namespace)}?watch=1", headers={"Accept": "application/yaml"})
    assert (answer.code, answer.headers["Content-Type"]) == (406, "application/yaml")


@pytest.mark.parametrize("query", ["sendInitialEvents=true", "resourceVersionMatch=NotOlderThan", "resourceVersion=x"])
def test_refuses_what_does_not_fit_together(api: Api, namespace: str, query: str) -> None:
    assert api("GET", f"{CMS.format(namespace)}?watch=1&{query}").code in (400, 422)


def test_from_too_long_ago(api: Api, namespace: str) -> None:
    create(api, namespace, "a")
    history = api.server.cache._kinds["/registry/configmaps/"].history
    oldest, history.oldest = history.oldest, 10**9
    try:
        [event] = api.events(f"{CMS.format(namespace)}?watch=1&resourceVersion=5")
    finally:
        history.oldest = oldest
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"] == "too old resource version: 5 (1000000000)"


def test_a_watcher_that_falls_behind_is_told(api: Api, namespace: str) -> None:
    cache = api.server.cache
    watcher = cache.watch("/registry/configmaps/", "/registry/configmaps/", create(api, namespace, "a"))
    history = cache._kinds["/registry/configmaps/"].history
    base, history._base = history._base, history._base + 10**6
    try:
        with pytest.raises(Exception, match="too old resource version"):
            watcher.take()
    finally:
        history._base = base
        watcher.close()


def test_as_tables(api: Api, namespace: str) -> None:
    first = create(api, namespace, "a")
    create(api, namespace, "b")
    create(api, namespace, "c")
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    path = f"{CMS.format(namespace)}?watch=1&resourceVersion={first}&timeoutSeconds=1"
    lines = api("GET", path, headers=accept).body.splitlines()
    import json

    events = [json.loads(line) for line in lines]
    assert [event["object"]["rows"][0]["cells"][0] for event in events] == ["b", "c"]
    assert [bool(event["object"]["columnDefinitions"]) for event in events] == [True, False]


def test_the_deprecated_path(api: Api, namespace: str) -> None:
    first = create(api, namespace, "a")
    create(api, namespace, "b")
    path = f"/api/v1/watch/namespaces/{namespace}/configmaps?resourceVersion={first}"
    assert seen(api.events(path, 1)) == [("ADDED", "b")]


def test_history_outlives_the_worker(api: Api, namespace: str) -> None:
    """A new worker's cache knows what happened before it was there."""
    from apiserver.storage.cache import WatchCache
    from apiserver.storage.revisions import AcknowledgedRevisions

    first = create(api, namespace, "a")
    api("PATCH", CMS.format(namespace) + "/a", {"data": {"k": "v"}}, MERGE)
    api("DELETE", CMS.format(namespace) + "/a")
    last = create(api, namespace, "b")
    prefix = "/registry/configmaps/"
    cache = WatchCache(api.server.store, [prefix], AcknowledgedRevisions())
    cache.start()
    cache.wait_for(last)
    try:
        for _ in range(100):
            try:
                watcher = cache.watch(prefix, f"{prefix}{namespace}/", first)
                break
            except Exception:
                threading.Event().wait(0.05)
        found: list[str] = []
        while len(found) < 3:
            changes, _ = watcher.take()
            found += [change.type for change in changes]
            watcher.wait(1)
        assert found == ["MODIFIED", "DELETED", "ADDED"]
        watcher.close()
    finally:
        cache.end_watches()
        cache._stop.set()


def test_watches_leave_connections_for_others(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MOST_WATCHES", api.server.cache.watchers())
    refused = api("GET", "/api/v1/configmaps?watch=true")
    assert (refused.code, refused.json["reason"], refused.headers["Retry-After"]) == (429, "TooManyRequests", "1")
    assert api("GET", "/api/v1/configmaps").code == 200
