"""What is sent to the API server, and when nothing is."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from kubelet.sync.statusmanager import StatusManager, difference
from machinery import errors
from machinery.objects import Object


def test_equal_statuses_make_no_patch() -> None:
    have = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "hostIP": "1"}
    want = {**have, "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": None}]}
    assert difference(have, want) == {}


def test_only_what_changed_is_sent() -> None:
    have = {"phase": "Pending", "hostIP": "1", "message": "old", "conditions": [{"type": "Mine", "status": "True"}]}
    want = {"phase": "Running", "hostIP": "1", "conditions": [{"type": "Ready", "status": "True"}]}
    assert difference(have, want) == {
        "phase": "Running",
        "message": None,
        "conditions": [{"type": "Ready", "status": "True"}],
    }


def test_a_condition_loses_its_reason() -> None:
    have = {"conditions": [{"type": "Ready", "status": "False", "reason": "R", "message": "M"}]}
    want = {"conditions": [{"type": "Ready", "status": "True"}]}
    cleared = {"type": "Ready", "status": "True", "reason": None, "message": None}
    assert difference(have, want)["conditions"] == [cleared]


def test_a_new_address_replaces_the_old() -> None:
    change = difference({"podIPs": [{"ip": "a"}], "podIP": "a"}, {"podIPs": [{"ip": "b"}], "podIP": "b"})
    assert change == {"podIP": "b", "podIPs": [{"$patch": "replace"}, {"ip": "b"}]}
    assert difference({}, {"podIPs": [{"ip": "b"}]}) == {"podIPs": [{"ip": "b"}]}


class Api:
    """Takes merge patches of the status, and deletions."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.version = 1
        self.fail: list[errors.ApiError] = []
        self.changed = threading.Condition()

    def patch(self, resource: Any, name: str, namespace: str, body: Any, **how: Any) -> Object:
        assert body["metadata"] == {"uid": "u"}
        return self._call(f"patch {sorted(body['status'])}", body["status"])

    def delete(self, resource: Any, name: str, namespace: str = "", **how: Any) -> Object:
        assert how == {"grace_period": 0, "uid": "u"}
        return self._call("delete", {})

    def _call(self, what: str, status: Object) -> Object:
        with self.changed:
            if self.fail:
                raise self.fail.pop(0)
            self.version += 1
            self.calls.append(what)
            self.changed.notify_all()
            return pod(self.version, status)

    def wait(self, count: int) -> list[str]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.calls) >= count, 5)
            return self.calls


def pod(version: int, status: Object) -> Object:
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "resourceVersion": str(version)},
        "spec": {"containers": []},
        "status": status,
    }


@pytest.fixture
def stop() -> Any:
    event = threading.Event()
    yield event
    event.set()


def test_last_status_before_the_deletion(stop: threading.Event) -> None:
    api, released = Api(), threading.Event()
    writer = StatusManager(api, lambda uid: released.set())
    writer.newest(pod(1, {}))
    writer.publish("u", {"phase": "Succeeded"})
    writer.finish("u")
    writer.start(stop)
    assert released.wait(5)
    assert api.calls == ["patch ['phase']", "delete"]


def test_waits_for_the_api_server(stop: threading.Event) -> None:
    api = Api()
    api.fail = [errors.ServiceUnavailable("away")] * 3
    writer = StatusManager(api, lambda uid: None)
    writer.newest(pod(1, {}))
    writer.publish("u", {"phase": "Running"})
    writer.start(stop)
    assert api.wait(1) == ["patch ['phase']"]


def test_what_was_written_counts_until_the_informer_has_seen_it(stop: threading.Event) -> None:
    api = Api()
    writer = StatusManager(api, lambda uid: None)
    writer.start(stop)
    writer.newest(pod(1, {}))
    writer.publish("u", {"phase": "Running"})
    api.wait(1)
    assert writer.newest(pod(1, {}))["status"] == {"phase": "Running"}
    assert writer.newest(pod(5, {"phase": "Failed"}))["status"] == {"phase": "Failed"}
    writer.publish("u", {"phase": "Running"})  # somebody overwrote it
    assert len(api.wait(2)) == 2


@pytest.mark.parametrize("error", [errors.NotFound("gone"), errors.Conflict("other uid")])
def test_an_object_that_is_gone_is_released(stop: threading.Event, error: errors.ApiError) -> None:
    api, released = Api(), threading.Event()
    api.fail = [error]
    writer = StatusManager(api, lambda uid: released.set())
    writer.newest(pod(1, {}))
    writer.publish("u", {"phase": "Failed"})
    writer.finish("u")
    writer.start(stop)
    assert released.wait(5)
