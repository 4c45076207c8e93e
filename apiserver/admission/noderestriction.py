"""NodeRestriction: a kubelet may change its own Node, its own pods and its own lease only.

The node authorizer lets it write these kinds; which objects, only the objects can tell. Upstream:
plugin/pkg/admission/noderestriction.
"""

from __future__ import annotations

from collections.abc import Mapping

from apiserver.admission.plugin import Plugin, refuse
from apiserver.authorization.node import LEASES as LEASE_NAMESPACE
from apiserver.authorization.node import node_of
from apiserver.kinds.leases import LEASES
from apiserver.kinds.nodes import NODES
from apiserver.kinds.pods.row import PODS
from apiserver.kinds.pods.update import MIRROR
from apiserver.kinds.serviceaccounts import SERVICE_ACCOUNTS
from apiserver.registry.admissionrequest import AdmissionRequest
from apiserver.registry.reader import require_object
from machinery.objects import Object
from machinery.pods import references

# Labels of the domains kubernetes.io and k8s.io that a kubelet may set on its Node (upstream: kubelet/pkg/apis).
_LABELS = frozenset(
    (
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "node.kubernetes.io/instance-type",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "beta.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
    )
)
_LABEL_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
_RESTRICTED = "node-restriction.kubernetes.io"


class NodeRestriction(Plugin):
    name = "NodeRestriction"
    looks_inside = True  # at the user

    def handles(self, request: AdmissionRequest) -> bool:
        return request.operation in ("CREATE", "UPDATE", "DELETE") and node_of(request.user) is not None

    def admit(self, request: AdmissionRequest) -> None:
        node = node_of(request.user) or ""
        if not node:
            raise refuse(request, f'could not determine node from user "{request.user.name}"')
        resource = request.resource
        if resource == PODS.resource:
            self._pod(node, request)
        elif resource == NODES.resource:
            self._node(node, request)
        elif (resource, request.operation, request.subresource) == (SERVICE_ACCOUNTS.resource, "CREATE", "token"):
            self._token(node, request)
        elif resource == LEASES.resource:
            self._lease(node, request)

    # Pods

    def _pod(self, node: str, request: AdmissionRequest) -> None:
        match request.subresource, request.operation:
            case "", "CREATE":
                self._create_pod(node, request)
            case "", "DELETE":
                if _pod_node(request.old) != node:
                    raise refuse(request, f'node "{node}" can only delete pods with spec.nodeName set to itself')
            case "status", "UPDATE":
                self._pod_status(node, request)
            case "eviction", "CREATE":
                pod = require_object(request.reader, PODS, request.namespace, request.name)
                if _pod_node(pod) != node:
                    raise refuse(request, f"node {node} can only evict pods with spec.nodeName set to itself")
            case "", operation:
                why = f'unexpected operation "{operation}", node "{node}" can only create and delete mirror pods'
                raise refuse(request, why)
            case "status" | "eviction", operation:
                raise refuse(request, f'unexpected operation "{operation}"')
            case subresource, _:
                why = f"unexpected pod subresource \"{subresource}\", only 'status' and 'eviction' are allowed"
                raise refuse(request, why)

    def _pod_status(self, node: str, request: AdmissionRequest) -> None:
        assert request.old is not None
        if _pod_node(request.old) != node:
            why = f'node "{node}" can only update pod status for pods with spec.nodeName set to itself'
            raise refuse(request, why)
        if _labels(request.new) != _labels(request.old):
            raise refuse(request, f'node "{node}" cannot update labels through pod status')

    def _create_pod(self, node: str, request: AdmissionRequest) -> None:
        """Refuse all but the mirror of a static pod, which may refer to no other object."""
        pod = request.new
        if MIRROR not in (pod["metadata"].get("annotations") or {}):
            raise refuse(request, f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods')
        if _pod_node(pod) != node:
            raise refuse(request, f'node "{node}" can only create pods with spec.nodeName set to itself')
        self._check_owner(node, request, pod["metadata"].get("ownerReferences") or [])
        if pod["spec"].get("serviceAccountName"):
            raise refuse(request, f'node "{node}" can not create pods that reference a service account')
        found = {resource for resource, _ in references(pod["spec"])}
        for resource in ("secrets", "configmaps", "persistentvolumeclaims"):
            if resource in found:
                raise refuse(request, f'node "{node}" can not create pods that reference {resource}')

    def _check_owner(self, node: str, request: AdmissionRequest, owners: list[Object]) -> None:
        if len(owners) > 1:
            raise refuse(request, f'node "{node}" can only create pods with a single owner reference set to itself')
        if not owners or (owners[0]["apiVersion"], owners[0]["kind"], owners[0]["name"]) != ("v1", "Node", node):
            raise refuse(request, f'node "{node}" can only create pods with an owner reference set to itself')
        owner = owners[0]
        if not owner.get("controller"):
            why = f'node "{node}" can only create pods with a controller owner reference set to itself'
            raise refuse(request, why)
        if owner.get("blockOwnerDeletion"):
            raise refuse(request, f'node "{node}" must not set blockOwnerDeletion on an owner reference')
        uid = require_object(request.reader, NODES, "", node)["metadata"]["uid"]
        if owner.get("uid") != uid:
            raise refuse(request, f"node {node} UID mismatch: expected {owner.get('uid')} got {uid}")

    # Its own Node

    def _node(self, node: str, request: AdmissionRequest) -> None:
        name = request.name or ((request.object or {}).get("metadata") or {}).get("name", "")
        if name != node:
            raise refuse(request, f'node "{node}" is not allowed to modify node "{name}"')
        if request.operation == "DELETE":
            return
        new, old = request.new.get("spec") or {}, (request.old or {}).get("spec") or {}
        before = _labels(request.old) if request.old else {}
        wrong = ", ".join(sorted(filter(_is_forbidden, _changed(_labels(request.new), before))))
        if request.operation == "CREATE":
            if new.get("configSource"):
                raise refuse(request, f'node "{node}" is not allowed to create pods with a non-nil configSource')
            if wrong:
                raise refuse(request, f'node "{node}" is not allowed to set the following labels: {wrong}')
            return
        if new.get("configSource") and new["configSource"] != old.get("configSource"):
            raise refuse(request, f'node "{node}" is not allowed to update configSource to a new non-nil configSource')
        if (new.get("taints") or []) != (old.get("taints") or []):
            raise refuse(request, f'node "{node}" is not allowed to modify taints')
        if wrong:
            raise refuse(request, f"is not allowed to modify labels: {wrong}")

    # Tokens and leases

    def _token(self, node: str, request: AdmissionRequest) -> None:
        """Refuse all but a token that is bound to a pod of the node."""
        ref = ((request.object or {}).get("spec") or {}).get("boundObjectRef") or {}
        if (ref.get("apiVersion"), ref.get("kind")) != ("v1", "Pod") or not ref.get("name"):
            raise refuse(request, "node requested token not bound to a pod")
        if not ref.get("uid"):
            raise refuse(request, "node requested token with a pod binding without a uid")
        pod = require_object(request.reader, PODS, request.namespace, ref["name"])
        uid = pod["metadata"]["uid"]
        if ref["uid"] != uid:
            why = (
                f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record ({uid}). "
                "The object might have been deleted and then recreated"
            )
            raise refuse(request, why)
        if _pod_node(pod) != node:
            raise refuse(request, "node requested token bound to a pod scheduled on a different node")

    def _lease(self, node: str, request: AdmissionRequest) -> None:
        if request.namespace != LEASE_NAMESPACE:
            raise refuse(request, f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
        if request.name != node:
            raise refuse(request, "can only access node lease with the same name as the requesting node")


def _pod_node(pod: Object | None) -> str:
    return str(((pod or {}).get("spec") or {}).get("nodeName") or "")


def _labels(obj: Object | None) -> Mapping[str, str]:
    return ((obj or {}).get("metadata") or {}).get("labels") or {}


def _changed(new: Mapping[str, str], old: Mapping[str, str]) -> set[str]:
    return {label for label in {*new, *old} if new.get(label) != old.get(label)}


def _is_forbidden(label: str) -> bool:
    """Return whether a kubelet may not set a label: Kubernetes' own can steer pods, but for those in ``_LABELS``."""
    domain = label.partition("/")[0] if "/" in label else ""
    if _is_in(domain, _RESTRICTED):
        return True
    if not _is_in(domain, "kubernetes.io") and not _is_in(domain, "k8s.io"):
        return False
    return label not in _LABELS and not any(_is_in(domain, known) for known in _LABEL_DOMAINS)


def _is_in(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith("." + parent)
