"""Which objects a kubelet may write, of the kinds that it may."""

from __future__ import annotations

from typing import Any

import pytest
from unit.apiserver_kinds.test_admission import Objects

from apiserver.admission.noderestriction import NodeRestriction
from apiserver.kinds.leases import LEASES
from apiserver.kinds.nodes import NODES
from apiserver.kinds.pods.row import PODS
from apiserver.kinds.serviceaccounts import SERVICE_ACCOUNTS
from apiserver.model.kind import Kind
from apiserver.model.user import User
from apiserver.registry.admissionrequest import AdmissionRequest
from apiserver.registry.writerequest import WriteRequest
from machinery.errors import ApiError
from machinery.objects import Object

KUBELET = User("system:node:n1", ("system:nodes",))


def node(name: str = "n1", uid: str = "u1", labels: Any = None, **spec: Any) -> Object:
    return {"kind": "Node", "metadata": {"name": name, "uid": uid, "labels": labels or {}}, "spec": spec}


def pod(on: str = "n1", labels: Any = None, **meta: Any) -> Object:
    return {
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "ns", "uid": "up", "labels": labels or {}, **meta},
        "spec": {"nodeName": on, "containers": []},
    }


def verdict(
    kind: Kind, operation: str, obj: Object | None, *, old: Object | None = None, subresource: str = "",
    there: tuple[Object, ...] = (), user: User = KUBELET, namespace: str = "ns", name: str = "",
) -> str:  # fmt: skip
    shown = name or ((obj or old or {}).get("metadata") or {}).get("name", "")
    write = WriteRequest(kind, namespace if kind.namespaced else "", shown, user, subresource)
    request = AdmissionRequest(operation, write, obj, old, Objects(*there))
    plugin = NodeRestriction()
    if not plugin.handles(request):
        return "not asked"
    try:
        plugin.admit(request)
    except ApiError as error:
        return error.message.partition(" is forbidden: ")[2] or error.message
    return ""


def test_others_are_not_restricted() -> None:
    assert verdict(NODES, "UPDATE", node("n2"), old=node("n2"), user=User("jane")) == "not asked"
    nameless = User("jane", ("system:nodes",))
    assert verdict(NODES, "UPDATE", node(), old=node(), user=nameless) == 'could not determine node from user "jane"'


@pytest.mark.parametrize(
    ("new", "old", "said"),
    [
        (node(), node(), ""),
        (node("n2"), node("n2"), 'node "n1" is not allowed to modify node "n2"'),
        (node(taints=[{"key": "a"}]), node(), 'node "n1" is not allowed to modify taints'),
        (node(taints=[{"key": "a"}]), node(taints=[{"key": "a"}]), ""),
        (node(configSource={"x": 1}), node(),
         'node "n1" is not allowed to update configSource to a new non-nil configSource'),
        (node(labels={"a": "b", "example.com/x": "y"}), node(), ""),
        (node(labels={"kubernetes.io/hostname": "n1", "node.kubernetes.io/x": "y"}), node(), ""),
        (node(labels={"kubelet.kubernetes.io/x": "y", "x.node.kubernetes.io/x": "y"}), node(), ""),
        (node(labels={"node-role.kubernetes.io/x": "", "a.k8s.io/b": ""}), node(),
         "is not allowed to modify labels: a.k8s.io/b, node-role.kubernetes.io/x"),
        (node(), node(labels={"node-role.kubernetes.io/x": ""}),
         "is not allowed to modify labels: node-role.kubernetes.io/x"),
        (node(labels={"x.node-restriction.kubernetes.io/x": ""}), node(),
         "is not allowed to modify labels: x.node-restriction.kubernetes.io/x"),
    ],
)  # fmt: skip
def test_its_own_node(new: Object, old: Object, said: str) -> None:
    assert verdict(NODES, "UPDATE", new, old=old) == said


def test_a_node_registers_itself() -> None:
    assert verdict(NODES, "CREATE", node(labels={"kubernetes.io/os": "linux"})) == ""
    assert verdict(NODES, "CREATE", node("n2")) == 'node "n1" is not allowed to modify node "n2"'
    said = 'node "n1" is not allowed to set the following labels: node-role.kubernetes.io/control-plane'
    assert verdict(NODES, "CREATE", node(labels={"node-role.kubernetes.io/control-plane": ""})) == said


def test_status_eviction_and_deletion_of_pods() -> None:
    other = pod("n2")
    assert verdict(PODS, "UPDATE", pod(), old=pod(), subresource="status") == ""
    said = 'node "n1" can only update pod status for pods with spec.nodeName set to itself'
    assert verdict(PODS, "UPDATE", other, old=other, subresource="status") == said
    said = 'node "n1" cannot update labels through pod status'
    assert verdict(PODS, "UPDATE", pod(labels={"a": "b"}), old=pod(), subresource="status") == said
    assert verdict(PODS, "DELETE", None, old=pod()) == ""
    said = 'node "n1" can only delete pods with spec.nodeName set to itself'
    assert verdict(PODS, "DELETE", None, old=other) == said
    assert verdict(PODS, "CREATE", {}, subresource="eviction", there=(pod(),), name="p") == ""
    said = "node n1 can only evict pods with spec.nodeName set to itself"
    assert verdict(PODS, "CREATE", {}, subresource="eviction", there=(other,), name="p") == said
    assert verdict(PODS, "CREATE", {}, subresource="eviction", name="p") == 'pods "p" not found'
    said = 'unexpected operation "UPDATE", node "n1" can only create and delete mirror pods'
    assert verdict(PODS, "UPDATE", pod(), old=pod()) == said
    said = "unexpected pod subresource \"binding\", only 'status' and 'eviction' are allowed"
    assert verdict(PODS, "CREATE", pod(), subresource="binding") == said


def mirror(on: str = "n1", owners: Any = None, **spec: Any) -> Object:
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u1", "controller": True}
    made = pod(
        on, annotations={"kubernetes.io/config.mirror": "x"}, ownerReferences=[owner] if owners is None else owners
    )
    made["spec"] |= spec
    return made


OWNER = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u1", "controller": True}


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (mirror(), ""),
        (pod(), 'pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods'),
        (mirror("n2"), 'node "n1" can only create pods with spec.nodeName set to itself'),
        (mirror(owners=[OWNER, OWNER]), 'node "n1" can only create pods with a single owner reference set to itself'),
        (mirror(owners=[]), 'node "n1" can only create pods with an owner reference set to itself'),
        (mirror(owners=[{**OWNER, "name": "n2"}]),
         'node "n1" can only create pods with an owner reference set to itself'),
        (mirror(owners=[{**OWNER, "controller": False}]),
         'node "n1" can only create pods with a controller owner reference set to itself'),
        (mirror(owners=[{**OWNER, "blockOwnerDeletion": True}]),
         'node "n1" must not set blockOwnerDeletion on an owner reference'),
        (mirror(owners=[{**OWNER, "uid": "x"}]), "node n1 UID mismatch: expected x got u1"),
        (mirror(serviceAccountName="a"), 'node "n1" can not create pods that reference a service account'),
        (mirror(imagePullSecrets=[{"name": "s"}]), 'node "n1" can not create pods that reference secrets'),
        (mirror(volumes=[{"name": "v", "configMap": {"name": "c"}}]),
         'node "n1" can not create pods that reference configmaps'),
        (mirror(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]),
         'node "n1" can not create pods that reference persistentvolumeclaims'),
    ],
)  # fmt: skip
def test_mirror_pods(new: Object, said: str) -> None:
    assert verdict(PODS, "CREATE", new, there=(node(),)) == said


def token(**ref: Any) -> Object:
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "up", **ref}
    return {"metadata": {"name": "robot"}, "spec": {"boundObjectRef": bound}}


@pytest.mark.parametrize(
    ("request_", "there", "said"),
    [
        (token(), pod(), ""),
        ({"metadata": {"name": "robot"}, "spec": {}}, pod(), "node requested token not bound to a pod"),
        (token(kind="Secret"), pod(), "node requested token not bound to a pod"),
        (token(uid=""), pod(), "node requested token with a pod binding without a uid"),
        (token(uid="x"), pod(),
         "the UID in the bound object reference (x) does not match the UID in record (up). "
         "The object might have been deleted and then recreated"),
        (token(), pod("n2"), "node requested token bound to a pod scheduled on a different node"),
        (token(), node(), 'pods "p" not found'),
    ],
)  # fmt: skip
def test_tokens(request_: Object, there: Object, said: str) -> None:
    assert verdict(SERVICE_ACCOUNTS, "CREATE", request_, subresource="token", there=(there,)) == said


def test_leases() -> None:
    lease = {"metadata": {"name": "n1"}}
    assert verdict(LEASES, "CREATE", lease, namespace="kube-node-lease") == ""
    said = 'can only access leases in the "kube-node-lease" system namespace'
    assert verdict(LEASES, "UPDATE", lease, old=lease) == said
    said = "can only access node lease with the same name as the requesting node"
    assert verdict(LEASES, "CREATE", {"metadata": {"name": "n2"}}, namespace="kube-node-lease") == said
