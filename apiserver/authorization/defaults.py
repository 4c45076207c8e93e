"""The roles and bindings that every cluster has: one table, after upstream's bootstrappolicy in v1.32.

Roles of controllers and features that this cluster does not have are left out; those of people (admin, edit, view) are
whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson

from apiserver.kinds.rbac import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, GROUP, ROLE_BINDINGS, ROLES
from apiserver.model.kind import Kind
from machinery.objects import Object
from machinery.policyrules import (
    APPS,
    AUTHENTICATION,
    AUTHORIZATION,
    AUTOSCALING,
    BATCH,
    CERTIFICATES,
    COORDINATION,
    DISCOVERY,
    EXTENSIONS,
    METRICS,
    NETWORKING,
    POLICY,
    READ,
    REVIEW_ACCESS,
    REVIEW_TOKENS,
    STORAGE,
    WRITE,
    WRITE_EVENTS,
    Rule,
    can,
)

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"


def may_get(urls: str) -> Rule:
    """Return a rule about paths that are no resources."""
    return {"verbs": ["get"], "nonResourceURLs": sorted(urls.split())}


ANYTHING: list[Rule] = [can("*", "*", "*"), {"verbs": ["*"], "nonResourceURLs": ["*"]}]

# What a kubelet may do, beside what its authorizer looks at more closely (node.py).
NODE_RULES = [
    REVIEW_TOKENS,
    can("create", "localsubjectaccessreviews subjectaccessreviews", AUTHORIZATION),
    can(READ, "services"),
    can("create get list watch", "nodes"),
    can("patch update", "nodes/status"),
    can("patch update", "nodes"),
    can("create patch update", "events"),
    can(READ, "pods"),
    can("create delete", "pods"),
    can("patch update", "pods/status"),
    can("create", "pods/eviction"),
    can(READ, "configmaps secrets"),
    can("get", "persistentvolumeclaims persistentvolumes"),
    can("get", "endpoints"),
    can("create get list watch", "certificatesigningrequests", CERTIFICATES),
    can("create delete get patch update", "leases", COORDINATION),
    can("get", "volumeattachments", STORAGE),
    can("create", "serviceaccounts/token"),
    can("get patch update", "persistentvolumeclaims/status"),
    can(READ, "csidrivers", STORAGE),
    can("create delete get patch update", "csinodes", STORAGE),
    can(READ, "runtimeclasses", "node.k8s.io"),
]

# Rules that become part of admin, edit and view.
AGGREGATED: dict[str, list[Rule]] = {
    "admin": [
        can("create", "localsubjectaccessreviews", AUTHORIZATION),
        can(f"{READ} {WRITE}", "roles rolebindings", GROUP),
    ],
    "edit": [
        can(READ, "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
        can("impersonate", "serviceaccounts"),
        can(WRITE, "pods pods/attach pods/exec pods/portforward pods/proxy"),
        can("create", "pods/eviction"),
        can(
            WRITE,
            "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets "
            "serviceaccounts services services/proxy",
        ),
        can("create", "serviceaccounts/token"),
        can(
            WRITE,
            "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets "
            "statefulsets/scale",
            APPS,
        ),
        can(WRITE, "horizontalpodautoscalers", AUTOSCALING),
        can(WRITE, "cronjobs jobs", BATCH),
        can(
            WRITE,
            "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies replicasets "
            "replicasets/scale replicationcontrollers/scale",
            EXTENSIONS,
        ),
        can(WRITE, "poddisruptionbudgets", POLICY),
        can(WRITE, "ingresses networkpolicies", NETWORKING),
        can(f"{READ} {WRITE}", "leases", COORDINATION),
    ],
    "view": [
        can(
            READ,
            "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers "
            "replicationcontrollers/scale serviceaccounts services services/status",
        ),
        can(
            READ,
            "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status "
            "resourcequotas resourcequotas/status",
        ),
        can(READ, "namespaces"),
        can(READ, "endpointslices", DISCOVERY),
        can(
            READ,
            "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status "
            "replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
            APPS,
        ),
        can(READ, "horizontalpodautoscalers horizontalpodautoscalers/status", AUTOSCALING),
        can(READ, "cronjobs cronjobs/status jobs jobs/status", BATCH),
        can(
            READ,
            "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status "
            "networkpolicies replicasets replicasets/scale replicasets/status replicationcontrollers/scale",
            EXTENSIONS,
        ),
        can(READ, "poddisruptionbudgets poddisruptionbudgets/status", POLICY),
        can(READ, "ingresses ingresses/status networkpolicies", NETWORKING),
    ],
}
# Each of these three is part of the one before it.
PART_OF = {"view": "edit", "edit": "admin"}

PROVISIONER, OWNER = "self-provisioner", "project-owner"

HEALTH = "/healthz /livez /readyz"

CLUSTER: dict[str, list[Rule]] = {
    "cluster-admin": ANYTHING,
    "system:discovery": [may_get(f"/api /api/* /apis /apis/* {HEALTH} /openapi /openapi/* /version /version/")],
    "system:monitoring": [may_get(f"{HEALTH} /healthz/* /livez/* /readyz/* /metrics /metrics/slis")],
    "system:public-info-viewer": [may_get(f"{HEALTH} /version /version/")],
    "system:service-account-issuer-discovery": [may_get("/.well-known/openid-configuration /openid/v1/jwks")],
    "system:basic-user": [
        can("create", "selfsubjectaccessreviews selfsubjectrulesreviews", AUTHORIZATION),
        can("create", "selfsubjectreviews", AUTHENTICATION),
    ],
    "system:auth-delegator": [REVIEW_TOKENS, REVIEW_ACCESS],
    "system:heapster": [can(READ, "events namespaces nodes pods"), can(READ, "deployments", EXTENSIONS)],
    "system:kube-aggregator": [can(READ, "endpoints services")],
    "system:kube-dns": [can("list watch", "endpoints services")],
    "system:persistent-volume-provisioner": [
        can("create delete get list watch", "persistentvolumes"),
        can("get list update watch", "persistentvolumeclaims"),
        can(READ, "storageclasses", STORAGE),
        can("watch", "events"),
        WRITE_EVENTS,
    ],
    # The node's parts.
    "system:node": NODE_RULES,
    "system:node-bootstrapper": [can("create get list watch", "certificatesigningrequests", CERTIFICATES)],
    "system:node-problem-detector": [can("get", "nodes"), can("patch", "nodes/status"), WRITE_EVENTS],
    "system:node-proxier": [
        can("list watch", "endpoints services"),
        can(READ, "nodes"),
        WRITE_EVENTS,
        can("list watch", "endpointslices", DISCOVERY),
    ],
    "system:kubelet-api-admin": [
        can(READ, "nodes"),
        can("proxy", "nodes"),
        can("*", "nodes/log nodes/metrics nodes/proxy nodes/stats"),
    ],
    # The control plane.
    "system:kube-controller-manager": [
        WRITE_EVENTS,
        can("create", "leases", COORDINATION),
        can("get update", "leases", COORDINATION, names="kube-controller-manager"),
        can("create", "secrets serviceaccounts"),
        can("delete", "secrets"),
        can("get", "configmaps namespaces secrets serviceaccounts"),
        can("update", "secrets serviceaccounts"),
        REVIEW_TOKENS,
        REVIEW_ACCESS,
        can("list watch", "*", "*"),
        can("create", "serviceaccounts/token"),
    ],
    "system:volume-scheduler": [
        can("get list patch update watch", "persistentvolumes"),
        can(READ, "storageclasses", STORAGE),
        can("get list patch update watch", "persistentvolumeclaims"),
    ],
    # People's own projects, by OpenShift's names (see features/projects.py): make some, and delete one that is yours.
    PROVISIONER: [can("create own", "namespaces")],
    OWNER: [can("delete", "namespaces")],
    # Who may approve which certificates.
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": [
        can("create", "certificatesigningrequests/nodeclient", CERTIFICATES)
    ],
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": [
        can("create", "certificatesigningrequests/selfnodeclient", CERTIFICATES)
    ],
    **{
        f"system:certificates.k8s.io:{signer}-approver": [
            can("approve", "signers", CERTIFICATES, names=f"kubernetes.io/{signer}")
        ]
        for signer in ("kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown")
    },
}

# The roles of controllers and of the scheduler by name. Each controller declares its rules in its own file, and
# `make controllerroles` collects them here.
CONTROLLERS: dict[str, list[Rule]] = orjson.loads(Path(__file__).with_name("controllerroles.json").read_bytes())
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
    PROVISIONER: ("Group developers",),
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
    # The role that comes with upstream's metrics-server: whoever may view a project may see what it uses.
    labels = {AGGREGATE + name: "true" for name in AGGREGATED}
    rules = [can("get list watch", "nodes pods", METRICS)]
    yield CLUSTER_ROLES, _object("ClusterRole", "system:aggregated-metrics-reader", {"rules": rules}, labels=labels)
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
