"""What goldens do not show: deletion, status writes, selectable fields, versions, names."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from everykind import REGISTRY

from apiserver.api.discovery import groups
from apiserver.kinds.endpointslices import ENDPOINT_SLICES
from apiserver.kinds.namespaces import NAMESPACES
from apiserver.kinds.pods import columns as pod_columns
from apiserver.kinds.pods.defaults import pull_policy
from apiserver.kinds.pods.row import PODS
from apiserver.kinds.registry import Registry
from apiserver.kinds.replicationcontrollers import REPLICATION_CONTROLLERS
from apiserver.model.kind import Kind
from apiserver.schema.codec import UpstreamCodec
from machinery.errors import NotFound
from machinery.objects import format_time
from machinery.pods import qos_class

Object = dict[str, Any]


def pod(phase: str = "Running", node: str = "node-1", **spec: Any) -> Object:
    spec = {"terminationGracePeriodSeconds": 30, "nodeName": node, "containers": [{"name": "a"}], **spec}
    return {"metadata": {"name": "web"}, "spec": spec, "status": {"phase": phase}}


@pytest.mark.parametrize(
    "obj, requested, seconds",
    [
        (pod(), None, 30),
        (pod(), 5, 5),
        (pod(), 0, 0),
        (pod(), -1, 1),
        (pod(node=""), None, 0),
        (pod("Succeeded"), 20, 0),
        (pod("Failed"), None, 0),
        (pod(terminationGracePeriodSeconds=0), None, 0),
    ],
)
def test_how_long_a_pod_is_given(obj: Object, requested: int | None, seconds: int) -> None:
    assert PODS.strategy.graceful_period(obj, requested) == seconds


def test_a_namespace_is_kept_until_its_finalizers_are_gone() -> None:
    namespace: Object = {
        "metadata": {"name": "t"},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }
    NAMESPACES.strategy.prepare_delete(namespace)
    assert namespace["status"] == {"phase": "Terminating"}
    assert not NAMESPACES.strategy.may_remove(namespace)
    assert NAMESPACES.strategy.may_remove({"spec": {}})


@pytest.mark.parametrize(
    "deleted, phase, fine", [("", "Active", True), ("", "Terminating", False), ("x", "Active", False)]
)
def test_a_namespaces_phase_follows_its_deletion(deleted: str, phase: str, fine: bool) -> None:
    old = {"metadata": {"name": "t", **({"deletionTimestamp": deleted} if deleted else {})}}
    assert (NAMESPACES.strategy.validate_status_update({"status": {"phase": phase}}, old) == []) is fine


def test_writers_of_status_change_nothing_else_and_the_other_way_round() -> None:
    old = pod()
    old["metadata"]["ownerReferences"] = [{"name": "rc"}]
    old["status"]["qosClass"] = "Burstable"
    new = pod("Succeeded", node="elsewhere")
    new["status"]["podIP"] = "172.17.0.2"
    PODS.strategy.prepare_status_update(new, old)
    assert new["spec"] == old["spec"]
    assert new["metadata"]["ownerReferences"] == [{"name": "rc"}]
    assert new["status"] == {
        "phase": "Succeeded",
        "qosClass": "Burstable",
        "podIP": "172.17.0.2",
        "podIPs": [{"ip": "172.17.0.2"}],
    }
    changed = pod("Failed")
    PODS.strategy.prepare_update(changed, old)
    assert changed["status"] == old["status"]


def test_what_has_ended_for_good_stays_ended() -> None:
    old = pod(restartPolicy="Never")
    old["status"]["containerStatuses"] = [{"name": "a", "state": {"terminated": {"exitCode": 1}}}]
    new = copy.deepcopy(old)
    new["status"]["containerStatuses"] = [{"name": "a", "state": {"running": {}}}]
    [error] = PODS.strategy.validate_status_update(new, old)
    assert str(error) == (
        "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
    )
    old["spec"]["restartPolicy"] = "OnFailure"
    assert list(PODS.strategy.validate_status_update(new, old)) == []


def test_generation_counts_changes_of_the_spec() -> None:
    strategy = REPLICATION_CONTROLLERS.strategy
    old: Object = {"metadata": {"generation": 4}, "spec": {"replicas": 1}, "status": {"replicas": 1}}
    labelled: Object = {"metadata": {"labels": {"a": "b"}, "generation": 99}, "spec": {"replicas": 1}}
    strategy.prepare_update(labelled, old)
    assert labelled["metadata"]["generation"] == 4
    scaled: Object = {"metadata": {}, "spec": {"replicas": 2}}
    strategy.prepare_update(scaled, old)
    assert scaled["metadata"]["generation"] == 5


def test_rc_status_counts_must_fit_together() -> None:
    status = {"replicas": 1, "readyReplicas": 2, "availableReplicas": 3}
    errors = REPLICATION_CONTROLLERS.strategy.validate_status_update({"status": status}, {})
    assert [error.field for error in errors] == [
        "status.readyReplicas",
        "status.availableReplicas",
        "status.availableReplicas",
    ]


@pytest.mark.parametrize("kind", REGISTRY.stored(), ids=lambda kind: kind.plural)
def test_selectable_fields_are_the_same_for_every_object(kind: Kind) -> None:
    empty = kind.strategy.fields({})
    assert all(isinstance(value, str) for value in empty.values())


def test_pod_fields() -> None:
    assert PODS.strategy.fields(pod())["spec.nodeName"] == "node-1"
    assert PODS.strategy.fields({})["spec.hostNetwork"] == "false"


@pytest.mark.parametrize(
    "image, policy",
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1", "IfNotPresent"),
        ("host:5000/nginx", "Always"),
        ("host:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:abc", "IfNotPresent"),
        ("nginx:latest@sha256:abc", "Always"),
    ],
)
def test_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    assert pull_policy(image) == policy


@pytest.mark.parametrize(
    "resources, quality",
    [
        ([{}], "BestEffort"),
        ([{"limits": {"cpu": "0"}}], "BestEffort"),
        ([{"requests": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1"}, "requests": {"cpu": "1", "memory": "1"}}, {}], "Burstable"),
        ([{"limits": {"cpu": "2", "memory": "1"}, "requests": {"cpu": "1", "memory": "1"}}], "Burstable"),
    ],
)
def test_quality_of_service(resources: list[Object], quality: str) -> None:
    assert qos_class({"containers": [{"resources": entry} for entry in resources]}) == quality  # type: ignore[typeddict-item]


def test_restarts_tell_when_the_last_was() -> None:
    obj = pod()
    ended = format_time(datetime.now(UTC) - timedelta(minutes=5))
    last = {"terminated": {"finishedAt": ended}}
    obj["status"]["containerStatuses"] = [{"name": "a", "restartCount": 3, "lastState": last, "state": {"running": {}}}]
    assert pod_columns.restarts(obj) in ("3 (5m ago)", "3 (5m1s ago)")


def test_slices_convert_to_beta_and_back() -> None:
    slice: Object = {
        "endpoints": [
            {"addresses": ["1.1.1.1"], "nodeName": "n", "zone": "z", "deprecatedTopology": {"a": "b"}},
            {"addresses": ["1.1.1.2"]},
        ]
    }
    convert, original = ENDPOINT_SLICES.convert, copy.deepcopy(slice)
    assert convert is not None
    convert(slice, "v1beta1", False)
    assert slice["endpoints"][0]["topology"] == {
        "a": "b",
        "kubernetes.io/hostname": "n",
        "topology.kubernetes.io/zone": "z",
    }
    convert(slice, "v1beta1", True)
    assert slice == original


def test_the_registry_finds_rows_by_every_name() -> None:
    pods = REGISTRY.find("", "v1", "pods")
    assert pods.strategy is PODS.strategy  # the row of the core, to which features have added subresources
    assert REGISTRY.find("discovery.k8s.io", "v1beta1", "endpointslices") is ENDPOINT_SLICES
    assert REGISTRY.by_kind("", "Pod") is pods
    assert all(REGISTRY.by_name(name) is pods for name in ("po", "pod", "pods", "Pod"))
    assert groups(REGISTRY.kinds())[""] == ["v1"]
    assert (PODS.prefix, ENDPOINT_SLICES.prefix) == ("/registry/pods/", "/registry/discovery.k8s.io/endpointslices/")
    with pytest.raises(NotFound, match="could not find the requested resource"):
        REGISTRY.find("", "v2", "pods")


def test_a_further_kind_is_one_row() -> None:
    row = Kind("example.com", "v1", "Thing", "things", UpstreamCodec("io.example.Thing"))
    registry = Registry([*REGISTRY.kinds(), row])
    assert registry.find("example.com", "v1", "things") is row
    assert row in registry.stored()


def test_warnings_tell_of_likely_mistakes() -> None:
    container = {
        "name": "a",
        "env": [{"name": "A"}, {"name": "A"}],
        "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"}],
        "resources": {"limits": {"memory": "100m", "cpu": "100m"}},
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": -1, "imagePullSecrets": [{}, {"name": "s"}]}
    obj = {"metadata": {"name": "a.b"}, "spec": spec}
    assert PODS.strategy.warnings(obj) == [
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
        "a DNS label is recommended: [must not contain dots]",
        'spec.imagePullSecrets[0].name: invalid empty name ""',
        'spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, must be an integer',
        'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
        "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
        "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
    ]
    controller = {"metadata": {"name": "sise"}, "spec": {"template": {"spec": {"containers": [{"name": "a"}]}}}}
    assert REPLICATION_CONTROLLERS.strategy.warnings(controller) == []


@pytest.mark.parametrize("kind", REGISTRY.stored(), ids=lambda kind: kind.resource)
def test_an_object_with_nothing_in_it_can_be_shown_if_it_can_be_stored(kind: Kind) -> None:
    obj: Object = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "a", "namespace": "ns"}}
    try:
        kind.strategy.default(obj)
        errors = list(kind.strategy.validate(obj))
    except KeyError:  # a required struct is missing, which decoding refuses
        return
    if not errors:
        for column in kind.columns:
            column.value(obj)
        kind.strategy.fields(obj)
        kind.strategy.warnings(obj)
