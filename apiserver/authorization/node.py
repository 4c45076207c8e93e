"""The node authorizer: a kubelet may read what the pods of its node refer to, and little else.

Upstream: plugin/pkg/auth/authorizer/node, with AuthorizeNodeWithSelectors as v1.32 has it. Upstream keeps a graph of
references. Here the pods of the namespace are looked through for each request: kubelets seldom ask, and there is no
graph that could be outdated.
"""

from __future__ import annotations

from apiserver.authorization import defaults
from apiserver.authorization.rules import allows
from apiserver.kinds.pods.row import PODS
from apiserver.kinds.pods.update import MIRROR
from apiserver.model.attributes import Attributes, Decision
from apiserver.model.reader import Reader
from apiserver.model.user import User
from machinery.errors import BadRequest
from machinery.objects import Object
from machinery.pods import references
from machinery.selectors import parse_field_selector

PREFIX = "system:node:"
GROUP = "system:nodes"
LEASES = "kube-node-lease"

YES, NO_OPINION = Decision(True), Decision(False)


def node_of(user: User) -> str | None:
    """Return the node of a kubelet; "" if its user name does not say which, None if the user is not a kubelet."""
    if GROUP not in user.groups:
        return None
    return user.name.removeprefix(PREFIX) if user.name.startswith(PREFIX) else ""


class NodeAuthorizer:
    """Answers for members of the group system:nodes, and allows nothing to others."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def decide(self, asked: Attributes) -> Decision:
        node = node_of(asked.user)
        if node is None or (not node and not asked.user.name.startswith(PREFIX)):
            return NO_OPINION
        if not node:
            return Decision(False, f'unknown node for user "{asked.user.name}"')
        if asked.is_resource:
            match asked.group, asked.resource:
                case "", "secrets" | "configmaps":
                    return self._read(node, asked)
                case "", "persistentvolumeclaims":
                    return self._get(node, asked)
                case "", "serviceaccounts":
                    return self._token(node, asked)
                case "", "nodes":
                    return _node(node, asked)
                case "", "pods":
                    return self._pod(node, asked)
                case "coordination.k8s.io", "leases":
                    return _lease(node, asked)
        return YES if any(allows(rule, asked) for rule in defaults.NODE_RULES) else NO_OPINION

    def _read(self, node: str, asked: Attributes) -> Decision:
        if asked.verb not in ("get", "list", "watch"):
            return Decision(False, "can only read resources of this type")
        if asked.subresource:
            return Decision(False, "cannot read subresource")
        if not asked.namespace:
            return Decision(False, "can only read namespaced object of this type")
        return self._related(node, asked)

    def _get(self, node: str, asked: Attributes) -> Decision:
        if asked.verb != "get":
            return Decision(False, "can only get individual resources of this type")
        if asked.subresource:
            return Decision(False, "cannot get subresource")
        return self._related(node, asked)

    def _token(self, node: str, asked: Attributes) -> Decision:
        if asked.verb != "create" or not asked.name:
            return Decision(False, "can only create tokens for individual service accounts")
        if asked.subresource != "token":
            return Decision(False, "can only create token subresource of serviceaccount")
        return self._related(node, asked)

    def _pod(self, node: str, asked: Attributes) -> Decision:
        match asked.subresource, asked.verb:
            case ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create"):
                return YES  # NodeRestriction, an admission plugin, lets it do so to its own pods only.
            case "", "get":
                return self._related(node, asked)
            case "", "list" | "watch":
                if selects_node(asked.field_selector, node):
                    return YES
                if asked.name:
                    return self._related(node, asked)
                return Decision(False, "can only list/watch pods with spec.nodeName field selector")
        return NO_OPINION

    def _related(self, node: str, asked: Attributes) -> Decision:
        if not asked.name:
            return Decision(False, "No Object name found")
        if asked.resource == "pods":
            pod = self._reader.get(PODS, asked.namespace, asked.name, consistent=True)
            found = pod is not None and _runs_on(pod, node)
        else:
            wanted = (asked.resource, asked.name)
            pods = self._reader.list(PODS, asked.namespace, consistent=True)
            own = (pod for pod in pods if _runs_on(pod, node) and not _is_mirror(pod))
            found = any(wanted in references(pod["spec"]) for pod in own)
        return YES if found else Decision(False, f"no relationship found between node '{node}' and this object")


def _node(node: str, asked: Attributes) -> Decision:
    match asked.subresource, asked.verb:
        case ("", "create" | "update" | "patch") | ("status", "update" | "patch"):
            return YES  # NodeRestriction lets it write its own Node only.
        case "", "get" | "list" | "watch":
            if asked.name == node:
                return YES
            what = f"'{asked.name}'" if asked.name else "all nodes"
            return Decision(False, f"node '{node}' cannot read {what}, only its own Node object")
    return NO_OPINION


def _lease(node: str, asked: Attributes) -> Decision:
    if asked.verb not in ("get", "create", "update", "patch", "delete"):
        return Decision(False, "can only get, create, update, patch, or delete a node lease")
    if asked.namespace != LEASES:
        return Decision(False, f'can only access leases in the "{LEASES}" system namespace')
    # The path of a create has no name: NodeRestriction compares that of the object.
    if asked.verb != "create" and asked.name != node:
        return Decision(False, "can only access node lease with the same name as the requesting node")
    return YES


def selects_node(selector: str, node: str) -> bool:
    """Return whether a field selector selects no pods but those of this node."""
    if not selector:
        return False
    try:
        return parse_field_selector(selector).exact("spec.nodeName") == node
    except BadRequest:
        return False  # The verb itself refuses it, with a 400.


def _is_mirror(pod: Object) -> bool:
    """Return whether a kubelet made the pod itself, in which case the pod gives it no rights."""
    return MIRROR in (pod["metadata"].get("annotations") or {})


def _runs_on(pod: Object, node: str) -> bool:
    return bool(pod["spec"].get("nodeName") == node)
