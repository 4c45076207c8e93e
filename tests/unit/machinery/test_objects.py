"""Keys, owners, conditions, times and pod states."""

import re

import pytest

from machinery import objects
from machinery.resources import LEASES, NODES, PODS


def test_keys() -> None:
    assert objects.key({"metadata": {"namespace": "a", "name": "b"}}) == "a/b"
    assert objects.key({"metadata": {"name": "n"}}) == "n"
    assert objects.split_key("a/b") == ("a", "b")
    assert objects.split_key("n") == ("", "n")
    assert objects.make_key("", "n") == "n"


def test_owner_reference_is_found_as_controller() -> None:
    owner = {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "sise", "uid": "u"}}
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "v"}
    pod = {"metadata": {"ownerReferences": [other, objects.owner_reference(owner)]}}
    found = objects.controller_of(pod)
    assert found is not None
    assert found["uid"] == "u"
    assert objects.controller_of({"metadata": {"ownerReferences": [other]}}) is None


def test_condition_keeps_its_transition_time_while_the_status_stays() -> None:
    pod: objects.Object = {}
    assert objects.set_condition(pod, "Ready", "False", "Starting", time="2026-01-01T00:00:00Z")
    assert not objects.set_condition(pod, "Ready", "False", "Starting", time="2026-01-02T00:00:00Z")
    assert objects.set_condition(pod, "Ready", "False", "Probing", time="2026-01-03T00:00:00Z")
    assert objects.get_condition(pod, "Ready") == {
        "type": "Ready",
        "status": "False",
        "reason": "Probing",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    assert objects.set_condition(pod, "Ready", "True", time="2026-01-04T00:00:00Z")
    ready = objects.get_condition(pod, "Ready")
    assert ready is not None
    assert ready["lastTransitionTime"] == "2026-01-04T00:00:00Z"
    assert objects.is_pod_ready(pod)


def test_times() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", objects.now())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", objects.now_micro())
    assert objects.format_time(objects.parse_time("2026-01-01T02:00:00.5+02:00")) == "2026-01-01T00:00:00Z"
    assert objects.format_time(objects.parse_time("0001-01-01T00:00:00Z")) == "0001-01-01T00:00:00Z"
    with pytest.raises(ValueError, match="no zone"):
        objects.parse_time("2026-01-01T00:00:00")


def test_random_suffix_uses_upstreams_alphabet() -> None:
    assert re.fullmatch("[bcdfghjklmnpqrstvwxz2456789]{5}", objects.random_suffix())


def test_pod_activity() -> None:
    assert objects.is_pod_active({"metadata": {}, "status": {"phase": "Pending"}})
    assert not objects.is_pod_active({"metadata": {}, "status": {"phase": "Failed"}})
    assert not objects.is_pod_active({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})


def test_resource_paths() -> None:
    assert PODS.path() == "/api/v1/pods"
    assert PODS.path("ns", "p", "status") == "/api/v1/namespaces/ns/pods/p/status"
    assert LEASES.path("ns") == "/apis/coordination.k8s.io/v1/namespaces/ns/leases"
    assert NODES.path("ignored", "n1") == "/api/v1/nodes/n1"
    assert PODS.path("ns", "../secrets/x") == "/api/v1/namespaces/ns/pods/..%2Fsecrets%2Fx"
    assert LEASES.name == "leases.coordination.k8s.io"
