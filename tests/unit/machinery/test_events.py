"""Events: counted, combined and limited as upstream's correlator does; written by one thread."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from machinery import errors
from machinery.events import BURST, REFILL_SECONDS, SIMILAR_LIMIT, Correlator, EventRecorder
from machinery.objects import Object
from machinery.resources import Resource

POD = {"kind": "Pod", "apiVersion": "v1", "metadata": {"namespace": "ns", "name": "p", "uid": "u"}}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def event(name: str = "e1", message: str = "m", reason: str = "Pulled", pod: str = "p", at: str = "t1") -> Object:
    return {
        "metadata": {"name": name, "namespace": "ns"},
        "involvedObject": {"kind": "Pod", "name": pod},
        "source": {"component": "kubelet"},
        "type": "Normal",
        "reason": reason,
        "message": message,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }


def test_the_same_again_raises_the_count_of_the_first() -> None:
    correlator = Correlator()
    first = correlator.correlate(event("e1", at="t1"))
    again = correlator.correlate(event("e2", at="t2"))
    assert first is not None
    assert again is not None
    assert (first.existing, first.event["count"]) == ("", 1)
    assert (again.existing, again.event["count"]) == ("e1", 2)
    assert (again.event["firstTimestamp"], again.event["lastTimestamp"]) == ("t1", "t2")


def test_other_subject_or_reason_is_another_event() -> None:
    correlator = Correlator()
    for other in (event("e1"), event("e2", pod="q"), event("e3", reason="Created")):
        decision = correlator.correlate(other)
        assert decision is not None
        assert decision.existing == ""


def test_many_similar_ones_become_one() -> None:
    correlator = Correlator()
    decisions = [correlator.correlate(event(f"e{n}", message=f"m{n}")) for n in range(SIMILAR_LIMIT + 2)]
    shown = [decision for decision in decisions if decision is not None]
    assert len(shown) == len(decisions)
    assert all(not decision.existing for decision in shown[:SIMILAR_LIMIT])
    assert shown[SIMILAR_LIMIT - 2].event["message"] == f"m{SIMILAR_LIMIT - 2}"
    assert shown[-1].event["message"] == f"(combined from similar events): m{SIMILAR_LIMIT + 1}"
    assert shown[-1].existing == f"e{SIMILAR_LIMIT - 1}"


def test_spam_is_dropped_until_the_bucket_fills_again() -> None:
    clock = Clock()
    correlator = Correlator(clock)
    assert all(correlator.correlate(event()) for _ in range(BURST))
    assert correlator.correlate(event()) is None
    assert correlator.correlate(event(pod="q")) is not None
    clock.now += REFILL_SECONDS
    assert correlator.correlate(event()) is not None
    assert correlator.correlate(event()) is None


class FakeClient:
    def __init__(self) -> None:
        self.created: list[Any] = []
        self.patched: list[Any] = []
        self.failures: list[Exception] = []
        self.wrote = threading.Semaphore(0)

    def create(self, resource: Resource, obj: Object, namespace: str = "") -> Object:
        if self.failures:
            raise self.failures.pop(0)
        self.created.append(obj)
        self.wrote.release()
        return obj

    def patch(self, resource: Resource, name: str, namespace: str, body: Any) -> Object:
        if self.failures:
            raise self.failures.pop(0)
        self.patched.append((name, namespace, body))
        self.wrote.release()
        return {}


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


def test_recorder_writes_and_then_counts(client: FakeClient) -> None:
    recorder = EventRecorder(client, "kubelet", "node1")
    recorder.event(POD, "Normal", "Started", "Started container", field_path="spec.containers{c}")
    recorder.event(POD, "Normal", "Started", "Started container", field_path="spec.containers{c}")
    recorder.close(5)
    (created,) = client.created
    assert created["metadata"]["namespace"] == "ns"
    assert created["metadata"]["name"].startswith("p.")
    assert created["source"] == {"component": "kubelet", "host": "node1"}
    assert created["involvedObject"] == {
        "kind": "Pod",
        "apiVersion": "v1",
        "namespace": "ns",
        "name": "p",
        "uid": "u",
        "fieldPath": "spec.containers{c}",
    }
    ((name, namespace, body),) = client.patched
    assert (name, namespace, body["count"]) == (created["metadata"]["name"], "ns", 2)


def test_recorder_tries_again_when_the_server_is_away(client: FakeClient) -> None:
    client.failures = [errors.ServiceUnavailable("away")]
    recorder = EventRecorder(client, "kubelet")
    recorder.event(POD, "Normal", "Started", "m")
    assert client.wrote.acquire(timeout=5)
    assert len(client.created) == 1
    recorder.close()


def test_recorder_gives_up_in_a_namespace_that_goes_away(client: FakeClient) -> None:
    client.failures = [errors.Forbidden("being terminated")]
    recorder = EventRecorder(client, "kubelet")
    recorder.event(POD, "Normal", "Killing", "m")
    recorder.event(POD, "Normal", "Other", "m")
    recorder.close(5)
    assert [created["reason"] for created in client.created] == ["Other"]


def test_an_event_that_expired_is_written_anew(client: FakeClient) -> None:
    recorder = EventRecorder(client, "kubelet")
    recorder.event(POD, "Normal", "Started", "m")
    assert client.wrote.acquire(timeout=5)
    client.failures = [errors.NotFound("gone")]
    recorder.event(POD, "Normal", "Started", "m")
    recorder.event(POD, "Normal", "Started", "m")
    recorder.close(5)
    first, second = client.created
    assert (first["count"], second["count"]) == (1, 2)
    assert [patch[0] for patch in client.patched] == [second["metadata"]["name"]]


def test_a_cluster_scoped_object_has_its_events_in_default(client: FakeClient) -> None:
    recorder = EventRecorder(client, "kubelet")
    recorder.event({"kind": "Node", "metadata": {"name": "n"}}, "Normal", "Starting", "m")
    recorder.close(5)
    assert client.created[0]["metadata"]["namespace"] == "default"
