"""The default roles and bindings have upstream's names, and no others but a few of our own."""

from __future__ import annotations

from apiserver.authorization.defaults import default_policy

CERTIFICATES = "system:certificates.k8s.io"
# v1.32: plugin/pkg/auth/authorizer/rbac/bootstrappolicy; those of controllers are all called system:controller:….
CLUSTER_ROLES = {
    *("admin", "cluster-admin", "edit", "view"),
    *("system:aggregate-to-admin", "system:aggregate-to-edit", "system:aggregate-to-view", "system:auth-delegator"),
    *("system:basic-user", "system:discovery", "system:heapster", "system:kube-aggregator", "system:kube-dns"),
    *("system:kube-controller-manager", "system:kube-scheduler", "system:kubelet-api-admin", "system:monitoring"),
    *("system:node", "system:node-bootstrapper", "system:node-problem-detector", "system:node-proxier"),
    *("system:persistent-volume-provisioner", "system:public-info-viewer", "system:volume-scheduler"),
    "system:service-account-issuer-discovery",
    f"{CERTIFICATES}:certificatesigningrequests:nodeclient",
    f"{CERTIFICATES}:certificatesigningrequests:selfnodeclient",
    f"{CERTIFICATES}:kube-apiserver-client-approver",
    f"{CERTIFICATES}:kube-apiserver-client-kubelet-approver",
    f"{CERTIFICATES}:kubelet-serving-approver",
    f"{CERTIFICATES}:legacy-unknown-approver",
}
CLUSTER_ROLE_BINDINGS = {
    *("cluster-admin", "system:basic-user", "system:discovery", "system:kube-controller-manager", "system:kube-dns"),
    *("system:kube-scheduler", "system:monitoring", "system:node", "system:node-proxier", "system:public-info-viewer"),
    *("system:service-account-issuer-discovery", "system:volume-scheduler"),
}
ROLES = {
    "extension-apiserver-authentication-reader",
    "system::leader-locking-kube-controller-manager",
    "system::leader-locking-kube-scheduler",
}
ROLE_BINDINGS = {f"system::{name.removeprefix('system::')}" for name in ROLES}
OURS = {
    ("ClusterRole", "mini-minishift:metrics-reader"),
    ("ClusterRole", "project-owner"),  # OpenShift's names
    ("ClusterRole", "self-provisioner"),
    ("ClusterRoleBinding", "self-provisioner"),
    ("ClusterRoleBinding", "system:kubelet-api-admin"),
}


def test_the_names_are_upstreams() -> None:
    found = {(kind.kind, obj["metadata"]["name"]) for kind, obj in default_policy()}
    known = {
        *(("ClusterRole", name) for name in CLUSTER_ROLES),
        *(("ClusterRoleBinding", name) for name in CLUSTER_ROLE_BINDINGS),
        *(("Role", name) for name in ROLES),
        *(("RoleBinding", name) for name in ROLE_BINDINGS),
    }
    of_controllers = {(kind, name) for kind, name in found if name.startswith("system:controller:")}
    assert found - of_controllers == known | OURS
    assert {name for kind, name in of_controllers if kind == "ClusterRole"} == {
        name for kind, name in of_controllers if kind == "ClusterRoleBinding"
    }
