"""What the built-in kinds do beyond the verbs, through the application and on both stores."""

from __future__ import annotations

from typing import Any

import pytest
from integration.apiserver.conftest import Api

pytestmark = pytest.mark.etcd

Object = dict[str, Any]
MERGE = {"Content-Type": "application/merge-patch+json"}
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}


def make(api: Api, namespace: str, plural: str, name: str, **fields: Any) -> Object:
    answer = api("POST", path(namespace, plural), {"metadata": {"name": name}, **fields})
    assert answer.code == 201, answer
    created: Object = answer.json
    return created


def path(namespace: str, plural: str, *parts: str) -> str:
    return "/".join((f"/api/v1/namespaces/{namespace}/{plural}", *parts))


def service(**spec: Any) -> Object:
    return {"spec": {"ports": [{"port": 80}], **spec}}


def pod(**spec: Any) -> Object:
    return {"spec": {"containers": [{"name": "a", "image": "b"}], **spec}}


def controller() -> Object:
    template = {"metadata": {"labels": {"app": "sise"}}, "spec": pod()["spec"]}
    return {"spec": {"replicas": 1, "template": template}}


# Services


def test_what_a_service_had_is_free_again_after_it(api: Api, namespace: str) -> None:
    wanted = service(type="NodePort", clusterIP="172.30.0.77", ports=[{"port": 80, "nodePort": 30077}])
    for name in ("a", "b"):
        make(api, namespace, "services", name, **wanted)
        taken = api("POST", path(namespace, "services"), {"metadata": {"name": "c"}, **wanted})
        assert taken.code == 422
        assert "provided IP is already allocated" in taken.json["message"]
        assert "provided port is already allocated" in taken.json["message"]
        assert api("DELETE", path(namespace, "services", name)).code == 200


def test_a_service_gives_its_node_port_back_with_its_type(api: Api, namespace: str) -> None:
    ports = [{"port": 80, "nodePort": 30078}]
    before = make(api, namespace, "services", "a", **service(type="NodePort", ports=ports))
    after = api("PATCH", path(namespace, "services", "a"), {"spec": {"type": "ClusterIP"}}, MERGE).json
    assert after["spec"]["clusterIP"] == before["spec"]["clusterIP"]
    assert "nodePort" not in after["spec"]["ports"][0]
    make(api, namespace, "services", "b", **service(type="NodePort", ports=ports))
    external = {"spec": {"type": "ExternalName", "externalName": "example.com"}}
    gone = api("PATCH", path(namespace, "services", "a"), external, MERGE).json
    assert "clusterIP" not in gone["spec"]
    make(api, namespace, "services", "c", **service(clusterIP=before["spec"]["clusterIP"]))


def test_a_dry_run_holds_nothing(api: Api, namespace: str) -> None:
    wanted = service(clusterIP="172.30.0.79")
    answer = api("POST", path(namespace, "services") + "?dryRun=All", {"metadata": {"name": "a"}, **wanted})
    assert answer.code == 201
    make(api, namespace, "services", "a", **wanted)


def test_a_put_without_what_was_allocated_keeps_it(api: Api, namespace: str) -> None:
    before = make(api, namespace, "services", "a", **service(type="NodePort"))
    put = api("PUT", path(namespace, "services", "a"), {"metadata": {"name": "a"}, **service(type="NodePort")})
    assert put.json["spec"] == before["spec"]
    changed = api("PATCH", path(namespace, "services", "a"), {"spec": {"clusterIP": "172.30.9.9"}}, MERGE)
    assert changed.json["message"] == (
        'Service "a" is invalid: spec.clusterIPs[0]: Invalid value: []string{"172.30.9.9"}: may not change once set'
    )


# Pods


def test_a_pod_is_bound_once(api: Api, namespace: str) -> None:
    make(api, namespace, "pods", "a", **pod())
    binding = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "node-1"}}
    answer = api("POST", path(namespace, "pods", "a", "binding"), binding)
    assert (answer.code, answer.json["status"]) == (201, "Success")
    bound = api("GET", path(namespace, "pods", "a")).json
    assert bound["spec"]["nodeName"] == "node-1"
    assert bound["status"]["conditions"][0]["type"] == "PodScheduled"
    again = api("POST", path(namespace, "bindings"), binding)
    assert (again.code, again.json["reason"]) == (409, "Conflict")
    assert 'pod a is already assigned to node "node-1"' in again.json["message"]


def test_a_kubelet_writes_status_and_nothing_else(api: Api, namespace: str) -> None:
    before = make(api, namespace, "pods", "a", **pod())
    status = {"phase": "Running", "podIP": "172.17.0.2", "conditions": [{"type": "Ready", "status": "True"}]}
    patch = {"spec": {"hostNetwork": True}, "status": status}
    after = api("PATCH", path(namespace, "pods", "a", "status"), patch, STRATEGIC).json
    assert after["spec"] == before["spec"]
    assert after["status"]["podIPs"] == [{"ip": "172.17.0.2"}]
    assert after["status"]["qosClass"] == "BestEffort"
    unchanged = api("PATCH", path(namespace, "pods", "a"), {"status": {"phase": "Failed"}}, MERGE).json
    assert unchanged["status"] == after["status"]


def test_pods_are_selected_by_fields(api: Api, namespace: str) -> None:
    make(api, namespace, "pods", "a", **pod(nodeName="node-1"))
    make(api, namespace, "pods", "b", **pod())
    for selector, names in (
        ("spec.nodeName=node-1", ["a"]),
        ("spec.nodeName!=node-1,status.phase=Pending", ["b"]),
        ("metadata.name=b", ["b"]),
        ("spec.restartPolicy=Never", []),
    ):
        found = api("GET", path(namespace, "pods") + f"?fieldSelector={selector}").json["items"]
        assert [item["metadata"]["name"] for item in found] == names
    wrong = api("GET", path(namespace, "pods") + "?fieldSelector=spec.image=x")
    assert wrong.code == 400
    assert "field label not supported: spec.image" in wrong.json["message"]


def test_an_eviction_deletes_with_its_own_options(api: Api, namespace: str) -> None:
    make(api, namespace, "pods", "a", **pod(nodeName="node-1"))
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "deleteOptions": {"gracePeriodSeconds": 7}}
    assert api("POST", path(namespace, "pods", "a", "eviction"), eviction).code == 201
    assert api("GET", path(namespace, "pods", "a")).json["metadata"]["deletionGracePeriodSeconds"] == 7


# ReplicationControllers


def test_scale(api: Api, namespace: str) -> None:
    make(api, namespace, "replicationcontrollers", "sise", **controller())
    at = path(namespace, "replicationcontrollers", "sise", "scale")
    scale = api("GET", at).json
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert scale["status"] == {"replicas": 0, "selector": "app=sise"}
    scale["spec"]["replicas"] = 3
    put = api("PUT", at, scale)
    assert (put.code, put.json["spec"]["replicas"]) == (200, 3)
    stale = api("PUT", at, scale)
    assert (stale.code, stale.json["reason"]) == (409, "Conflict")
    assert api("PATCH", at, {"spec": {"replicas": 4}}, MERGE).json["spec"]["replicas"] == 4
    assert api("PATCH", at, {"spec": {"replicas": -4}}, MERGE).code == 422
    obj = api("GET", path(namespace, "replicationcontrollers", "sise")).json
    assert (obj["spec"]["replicas"], obj["metadata"]["generation"]) == (4, 3)


# Namespaces


def test_a_namespace_goes_in_two_steps(api: Api) -> None:
    name = api("POST", "/api/v1/namespaces", {"metadata": {"generateName": "going-"}}).json["metadata"]["name"]
    at = f"/api/v1/namespaces/{name}"
    assert api("GET", at).json["metadata"]["labels"] == {"kubernetes.io/metadata.name": name}
    deleted = api("DELETE", at)
    assert (deleted.code, deleted.json["status"]["phase"]) == (200, "Terminating")
    assert api("DELETE", at).code == 200, "asking again changes nothing"
    late = api("POST", f"{at}/configmaps", {"metadata": {"name": "late"}})
    assert (late.code, late.json["details"]["causes"][0]["reason"]) == (403, "NamespaceTerminating")
    left = api("PUT", f"{at}/finalize", {"metadata": {"name": name}, "spec": {"finalizers": []}})
    assert left.code == 200
    assert api("GET", at).code == 404


def test_the_default_namespace_stays(api: Api) -> None:
    answer = api("DELETE", "/api/v1/namespaces/kube-system")
    if answer.code != 404:  # without a bootstrap there is none
        assert (answer.code, answer.json["reason"]) == (403, "Forbidden")


# EndpointSlices


def test_the_beta_version_shows_topology(api: Api, namespace: str) -> None:
    at = "/apis/discovery.k8s.io/{}/namespaces/" + namespace + "/endpointslices"
    endpoint = {"addresses": ["10.0.0.1"], "topology": {"kubernetes.io/hostname": "node-1", "rack": "7"}}
    beta = {"metadata": {"name": "a"}, "addressType": "IPv4", "endpoints": [endpoint]}
    assert api("POST", at.format("v1beta1"), beta).code == 201
    v1 = api("GET", at.format("v1") + "/a").json
    assert v1["endpoints"] == [
        {"addresses": ["10.0.0.1"], "conditions": {}, "nodeName": "node-1", "deprecatedTopology": {"rack": "7"}}
    ] or v1["endpoints"] == [{"addresses": ["10.0.0.1"], "nodeName": "node-1", "deprecatedTopology": {"rack": "7"}}]
    shown = api("GET", at.format("v1beta1") + "/a").json
    assert shown["apiVersion"] == "discovery.k8s.io/v1beta1"
    assert shown["endpoints"][0]["topology"] == endpoint["topology"]
