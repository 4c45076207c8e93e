"""The roles and bindings that every cluster has, after upstream's bootstrappolicy in v1.32.

The rules of the roles are in the JSON files beside this one, by name. Roles of controllers and features that this
cluster does not have are left out; those of people (admin, edit, view) are whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson

from apiserver.kinds.rbac import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, GROUP, ROLE_BINDINGS, ROLES
from apiserver.model.kind import Kind
from machinery.objects import Object
from machinery.policyrules import METRICS, READ, Rule, can

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"


def _read(file: str) -> dict[str, list[Rule]]:
    rules: dict[str, list[Rule]] = orjson.loads(Path(__file__).with_name(file).read_bytes())
    return rules


CLUSTER = _read("defaultroles.json")
ANYTHING = CLUSTER["cluster-admin"]
# What a kubelet may do, beside what its authorizer looks at more closely (node.py).
NODE_RULES = CLUSTER["system:node"]
# Rules that become part of admin, edit and view.
AGGREGATED = _read("aggregatedroles.json")
# Each of these three is part of the one before it.
PART_OF = {"view": "edit", "edit": "admin"}

# The roles of controllers and of the scheduler by name. Each controller declares its rules in its own file, and
# `make controllerroles` collects them here.
CONTROLLERS = _read("controllerroles.json")
CONTROLLER_PREFIX = "system:controller:"

# Whom the cluster's roles are bound to.
MANAGER, SCHEDULER = "User system:kube-controller-manager", "User system:kube-scheduler"
BOUND: dict[str, tuple[str, ...]] = {
    "cluster-admin": ("Group system:masters",),
    "system:monitoring": ("Group system:monitoring",),
    "system:discovery": ("Group system:authenticated",),
    "system:basic-user": ("Group system:authenticated",),
    "system:public-info-viewer": ("Group system:authenticated", "Group system:unauthenticated"),
    "system:service-account-issuer-discovery": ("Group system:serviceaccounts",),
    "system:node": (),  # nodes have an authorizer of their own
    "system:node-proxier": ("User system:kube-proxy",),
    "system:kube-controller-manager": (MANAGER,),
    "system:kube-dns": ("ServiceAccount kube-system/kube-dns",),
    "system:kube-scheduler": (SCHEDULER,),
    "system:volume-scheduler": (SCHEDULER,),
    # For people's own projects, by OpenShift's names (see features/projects.py).
    "self-provisioner": ("Group developers",),
    # Of our own: what the API server shows to kubelets (kubeadm makes such a binding, too).
    "system:kubelet-api-admin": ("User kube-apiserver-kubelet-client",),
}

# Roles in a namespace, and whom they are bound to.
NAMESPACED: dict[tuple[str, str], tuple[list[Rule], tuple[str, ...]]] = {
    ("kube-system", "extension-apiserver-authentication-reader"): (
        [can(READ, "configmaps", names="extension-apiserver-authentication")],
        (MANAGER, SCHEDULER),
    ),
    ("kube-system", "system::leader-locking-kube-controller-manager"): (
        [can("watch", "configmaps"), can("get update", "configmaps", names="kube-controller-manager")],
        (MANAGER, "ServiceAccount kube-system/kube-controller-manager"),
    ),
    ("kube-system", "system::leader-locking-kube-scheduler"): (
        [can("watch", "configmaps"), can("get update", "configmaps", names="kube-scheduler")],
        (SCHEDULER, "ServiceAccount kube-system/kube-scheduler"),
    ),
}


# --- the table as objects ----------------------------------------------------------------------------------------


def default_policy() -> Iterator[tuple[Kind, Object]]:
    """Yield every role and binding as it should be, roles first."""
    for name, rules in (CLUSTER | CONTROLLERS).items():
        yield CLUSTER_ROLES, _object("ClusterRole", name, {"rules": rules})
    for name, rules in AGGREGATED.items():
        labels = {AGGREGATE + PART_OF[name]: "true"} if name in PART_OF else {}
        selector = {"matchLabels": {AGGREGATE + name: "true"}}
        rule = {"clusterRoleSelectors": [selector]}
        yield CLUSTER_ROLES, _object("ClusterRole", name, {"aggregationRule": rule}, labels=labels)
        labels = {AGGREGATE + name: "true"}
        yield CLUSTER_ROLES, _object("ClusterRole", f"system:aggregate-to-{name}", {"rules": rules}, labels=labels)
    # Whoever may view a project may see what it uses. Upstream has such a role from metrics-server's manifests, which
    # must find its name (system:aggregated-metrics-reader) free.
    labels = {AGGREGATE + name: "true" for name in AGGREGATED}
    rules = [can("get list watch", "nodes pods", METRICS)]
    yield CLUSTER_ROLES, _object("ClusterRole", "mini-minishift:metrics-reader", {"rules": rules}, labels=labels)
    for name, subjects in BOUND.items():
        yield CLUSTER_ROLE_BINDINGS, _binding("ClusterRoleBinding", name, "ClusterRole", name, subjects)
    for name in CONTROLLERS:
        if name.startswith(CONTROLLER_PREFIX):
            subject = f"ServiceAccount kube-system/{name.removeprefix(CONTROLLER_PREFIX)}"
            yield CLUSTER_ROLE_BINDINGS, _binding("ClusterRoleBinding", name, "ClusterRole", name, (subject,))
    for (namespace, name), (rules, subjects) in NAMESPACED.items():
        yield ROLES, _object("Role", name, {"rules": rules}, namespace=namespace)
        bound = name if name.startswith("system:") else f"system::{name}"
        yield ROLE_BINDINGS, _binding("RoleBinding", bound, "Role", name, subjects, namespace)


def _object(kind: str, name: str, parts: Object, *, labels: Object | None = None, namespace: str = "") -> Object:
    metadata: Object = {
        "name": name,
        **({"namespace": namespace} if namespace else {}),
        "labels": {**LABELS, **(labels or {})},
        "annotations": {AUTOUPDATE: "true"},
    }
    return {"kind": kind, "apiVersion": f"{GROUP}/v1", "metadata": metadata, **parts}


def _binding(kind: str, name: str, role_kind: str, role: str, subjects: tuple[str, ...], namespace: str = "") -> Object:
    parts: Object = {"roleRef": {"apiGroup": GROUP, "kind": role_kind, "name": role}}
    if subjects:
        parts["subjects"] = [_subject(subject) for subject in subjects]
    return _object(kind, name, parts, namespace=namespace)


def _subject(text: str) -> Object:
    """Return the subject that a text means: ``User jane``, ``Group devs`` or ``ServiceAccount namespace/name``."""
    kind, _, name = text.partition(" ")
    if kind != "ServiceAccount":
        return {"apiGroup": GROUP, "kind": kind, "name": name}
    namespace, _, name = name.partition("/")
    return {"kind": kind, "name": name, "namespace": namespace}
