"""A controller sees its own writes before the watch shows them, and believes the watch from then on."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.shared.writecache import WriteCache
from machinery.objects import Object


def obj(version: int, name: str = "a", uid: str = "u", **more: Any) -> Object:
    return {"metadata": {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": str(version)}, **more}


@pytest.fixture
def cache(informer: Any) -> WriteCache:
    return WriteCache(informer)


def test_a_new_object_is_there_at_once(cache: WriteCache, informer: Any) -> None:
    cache.wrote(obj(5))
    assert cache.get("ns/a") == obj(5)
    assert cache.written() == [obj(5)]
    informer.change(None, obj(5))
    assert cache.written() == []
    assert cache.get("ns/a") == obj(5)


def test_an_update_hides_the_older_cached_state(cache: WriteCache, informer: Any) -> None:
    informer.change(None, obj(5, data="old"))
    cache.wrote(obj(6, data="new"))
    assert cache.overlay(informer.list(), []) == [obj(6, data="new")]


def test_the_watch_was_faster(cache: WriteCache, informer: Any) -> None:
    informer.change(None, obj(5))
    informer.change(obj(5), obj(7, data="by somebody else"))
    cache.wrote(obj(5))
    assert cache.get("ns/a") == obj(7, data="by somebody else")


def test_created_and_deleted_by_somebody_before_our_answer_came(cache: WriteCache, informer: Any) -> None:
    informer.change(None, obj(5))
    informer.change(obj(5), None)
    cache.wrote(obj(5))
    assert cache.get("ns/a") is None


def test_any_later_event_ends_the_belief_in_our_write(cache: WriteCache, informer: Any) -> None:
    cache.wrote(obj(5))
    informer.change(None, obj(9, name="other"))
    assert cache.get("ns/a") is None


def test_a_deleted_object_is_gone_at_once_but_not_its_successor(cache: WriteCache, informer: Any) -> None:
    informer.change(None, obj(5))
    cache.deleted(obj(5))
    assert cache.get("ns/a") is None
    informer.change(obj(5), None)
    informer.change(None, obj(8, uid="successor"))
    assert cache.get("ns/a") == obj(8, uid="successor")


def test_a_deletion_that_the_watch_has_shown_is_not_remembered(cache: WriteCache, informer: Any) -> None:
    informer.change(None, obj(5))
    informer.change(obj(5), None)
    cache.deleted(obj(5))
    informer.objects["ns/a"] = obj(5)
    assert cache.get("ns/a") == obj(5)


def test_forget(cache: WriteCache, informer: Any) -> None:
    informer.change(None, obj(5))
    cache.wrote(obj(6))
    cache.forget("ns/a")
    assert cache.get("ns/a") == obj(5)
