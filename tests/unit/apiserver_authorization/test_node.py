"""What a kubelet may do."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.authorization.authorizer import UnionAuthorizer
from apiserver.model.attributes import attributes_of
from apiserver.model.requestinfo import parse_request
from apiserver.model.user import User
from machinery.objects import Object
from machinery.pods import references

NODE = User("system:node:n1", ("system:nodes", "system:authenticated"))
OTHER = User("system:node:n2", ("system:nodes", "system:authenticated"))
NOBODY = User("system:node:", ("system:nodes", "system:authenticated"))
IMPOSTOR = User("system:node:n1", ("system:authenticated",))


def pod(name: str = "p", node: str = "n1", **spec: Any) -> Object:
    return {
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {"nodeName": node, "serviceAccountName": "robot", "containers": [], **spec},
    }


def reason(authorizer: UnionAuthorizer, user: User, method: str, path: str, selector: str = "") -> str:
    """Why it is refused; ``yes`` when it is not."""
    decision = authorizer.decide(attributes_of(user, parse_request(method, path, field_selector=selector)))
    return "yes" if decision.allowed else decision.reason


UNRELATED = "no relationship found between node '{}' and this object"


@pytest.mark.parametrize(
    ("method", "path", "selector", "answer"),
    [
        ("GET", "/api/v1/namespaces/ns/secrets/s", "", "yes"),
        ("GET", "/api/v1/namespaces/ns/secrets", "metadata.name=s", "yes"),
        ("GET", "/api/v1/namespaces/ns/secrets/other", "", UNRELATED.format("n1")),
        ("GET", "/api/v1/namespaces/ns2/secrets/s", "", UNRELATED.format("n1")),
        ("GET", "/api/v1/namespaces/ns/secrets", "", "No Object name found"),
        ("GET", "/api/v1/secrets", "metadata.name=s", "can only read namespaced object of this type"),
        ("PUT", "/api/v1/namespaces/ns/secrets/s", "", "can only read resources of this type"),
        ("GET", "/api/v1/namespaces/ns/secrets/s/x", "", "cannot read subresource"),
        ("GET", "/api/v1/namespaces/ns/configmaps/c", "", "yes"),
        ("GET", "/api/v1/namespaces/ns/configmaps/s", "", UNRELATED.format("n1")),
        ("POST", "/api/v1/namespaces/ns/serviceaccounts/robot/token", "", "yes"),
        ("POST", "/api/v1/namespaces/ns/serviceaccounts/default/token", "", UNRELATED.format("n1")),
        ("GET", "/api/v1/namespaces/ns/serviceaccounts/robot", "",
         "can only create tokens for individual service accounts"),
        ("POST", "/api/v1/namespaces/ns/serviceaccounts/robot/x", "",
         "can only create token subresource of serviceaccount"),
        ("GET", "/api/v1/namespaces/ns/pods/p", "", "yes"),
        ("GET", "/api/v1/namespaces/ns/pods/gone", "", UNRELATED.format("n1")),
        ("GET", "/api/v1/pods", "spec.nodeName=n1", "yes"),
        ("GET", "/api/v1/pods", "spec.nodeName=n2", "can only list/watch pods with spec.nodeName field selector"),
        ("GET", "/api/v1/pods", "spec.nodeName!=n1", "can only list/watch pods with spec.nodeName field selector"),
        ("GET", "/api/v1/pods", "", "can only list/watch pods with spec.nodeName field selector"),
        ("GET", "/api/v1/namespaces/ns/pods", "metadata.name=p", "yes"),
        ("PATCH", "/api/v1/namespaces/ns/pods/p/status", "", "yes"),
        ("DELETE", "/api/v1/namespaces/ns/pods/p", "", "yes"),
        ("PATCH", "/api/v1/namespaces/ns/pods/p", "", ""),
        ("POST", "/api/v1/namespaces/ns/pods/p/exec", "", ""),
        ("GET", "/api/v1/nodes/n1", "", "yes"),
        ("GET", "/api/v1/nodes", "metadata.name=n1", "yes"),
        ("GET", "/api/v1/nodes/n2", "", "node 'n1' cannot read 'n2', only its own Node object"),
        ("GET", "/api/v1/nodes", "", "node 'n1' cannot read all nodes, only its own Node object"),
        ("POST", "/api/v1/nodes", "", "yes"),
        ("PATCH", "/api/v1/nodes/n1/status", "", "yes"),
        ("DELETE", "/api/v1/nodes/n1", "", ""),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1", "", "yes"),
        ("POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", "", "yes"),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n2", "",
         "can only access node lease with the same name as the requesting node"),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/ns/leases/n1", "",
         'can only access leases in the "kube-node-lease" system namespace'),
        ("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", "",
         "can only get, create, update, patch, or delete a node lease"),
        ("GET", "/api/v1/services", "", "yes"),
        ("POST", "/api/v1/services", "", ""),
        ("POST", "/api/v1/namespaces/ns/events", "", "yes"),
        ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", "", "yes"),
        ("GET", "/metrics", "", ""),
    ],
)  # fmt: skip
def test_a_kubelet(authorizer: UnionAuthorizer, pods: Any, method: str, path: str, selector: str, answer: str) -> None:
    volumes = [{"name": "v", "secret": {"secretName": "s"}}, {"name": "w", "configMap": {"name": "c"}}]
    pods.pods = [pod(volumes=volumes), pod("q", "n2", serviceAccountName="default")]
    assert reason(authorizer, NODE, method, path, selector) == answer


def test_others(authorizer: UnionAuthorizer, pods: Any) -> None:
    pods.pods = [pod(volumes=[{"name": "v", "secret": {"secretName": "s"}}])]
    secret = ("GET", "/api/v1/namespaces/ns/secrets/s")
    assert reason(authorizer, NODE, *secret) == "yes"
    assert reason(authorizer, OTHER, *secret) == UNRELATED.format("n2")
    assert reason(authorizer, NOBODY, *secret) == 'unknown node for user "system:node:"'
    assert reason(authorizer, IMPOSTOR, *secret) == ""
    pods.pods = []
    assert reason(authorizer, NODE, *secret) == UNRELATED.format("n1")


def test_everything_that_a_pod_refers_to() -> None:
    env = [
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s1", "key": "k"}}},
        {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "c1", "key": "k"}}},
        {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "D", "value": "d"},
    ]
    volumes = [
        {"name": "a", "secret": {"secretName": "s4"}},
        {"name": "b", "configMap": {"name": "c4"}},
        {"name": "c", "projected": {"sources": [
            {"secret": {"name": "s5"}}, {"configMap": {"name": "c5"}}, {"serviceAccountToken": {"path": "t"}}]}},
        {"name": "d", "emptyDir": {}},
        {"name": "e", "persistentVolumeClaim": {"claimName": "claim"}},
        {"name": "f", "rbd": {"secretRef": {"name": "s6"}}},
        {"name": "g", "csi": {"nodePublishSecretRef": {"name": "s7"}}},
        {"name": "h", "azureFile": {"secretName": "s8"}},
        {"name": "i", "cephfs": {}},
    ]  # fmt: skip
    found = references(
        pod(
            imagePullSecrets=[{"name": "s0"}],
            containers=[{"name": "c", "env": env}],
            initContainers=[
                {"name": "i", "envFrom": [{"secretRef": {"name": "s2"}}, {"configMapRef": {"name": "c2"}}]}
            ],
            ephemeralContainers=[{"name": "e", "envFrom": [{"secretRef": {"name": "s3"}}]}],
            volumes=volumes,
        )["spec"]
    )
    assert found == {
        ("serviceaccounts", "robot"),
        ("persistentvolumeclaims", "claim"),
        *(("secrets", f"s{number}") for number in range(9)),
        *(("configmaps", f"c{number}") for number in (1, 2, 4, 5)),
    }


def test_a_mirror_pod_gives_its_kubelet_nothing(authorizer: UnionAuthorizer, pods: Any) -> None:
    mirror = pod(volumes=[{"name": "a", "secret": {"secretName": "s"}}])
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    pods.pods = [mirror]
    assert reason(authorizer, NODE, "GET", "/api/v1/namespaces/ns/secrets/s") == UNRELATED.format("n1")
