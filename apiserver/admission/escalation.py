"""Nobody gives away rights that she has not got: not by writing a role, not by binding one.

Upstream: pkg/registry/rbac/{role,clusterrole,rolebinding,clusterrolebinding}/policybased. It stands before the checks
of the object itself, as there. The verbs ``escalate`` on a role and ``bind`` on the role that is bound lift it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from apiserver.admission.plugin import Plugin
from apiserver.authorization.defaults import ANYTHING
from apiserver.authorization.policy import Policy, aggregate
from apiserver.authorization.rules import Rule, listed, told, uncovered
from apiserver.kinds.rbac import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, GROUP, ROLE_BINDINGS, ROLES
from apiserver.model.attributes import Attributes
from apiserver.registry.request import AdmissionRequest
from machinery.errors import NotFound, forbidden, not_found, quote
from machinery.objects import Object

MASTERS = "system:masters"
_ROLES = (CLUSTER_ROLES, ROLES)
_KINDS = (*_ROLES, CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS)


class Escalation(Plugin):
    """Without a name, for it is no plugin upstream: nobody can switch it off."""

    def handles(self, request: AdmissionRequest) -> bool:
        return request.kind in _KINDS and request.operation in ("CREATE", "UPDATE")

    def admit(self, request: AdmissionRequest) -> None:
        assert request.object is not None and request.authorizer is not None
        if MASTERS in request.user.groups or _only_for_the_collector(request.object, request.old):
            return
        policy = request.authorizer.policy
        if request.kind in _ROLES:
            self._check_role(request, request.object, policy)
        else:
            self._check_binding(request, request.object, policy)

    def _check_role(self, request: AdmissionRequest, role: Object, policy: Policy) -> None:
        if _may(request, "escalate", request.kind.plural, request.name if request.old else ""):
            return
        _confirm(request, role.get("rules") or (), policy)
        if (_aggregates(role) or _aggregates(request.old or {})) and _missing(request, ANYTHING, policy)[0]:
            raise _refusal(request, "must have cluster-admin privileges to use the aggregationRule")

    def _check_binding(self, request: AdmissionRequest, binding: Object, policy: Policy) -> None:
        ref = binding.get("roleRef") or {}
        kind = next((kind for kind in _ROLES if kind.kind == ref.get("kind")), None)
        if kind is None or not ref.get("name"):
            return  # refused for what is wrong with it
        if _may(request, "bind", kind.plural, ref["name"]):
            return
        try:
            rules = policy.rules_of(ref, request.namespace)
        except NotFound:
            raise not_found(kind.resource, ref["name"]) from None
        _confirm(request, rules, policy)


def _may(request: AdmissionRequest, verb: str, resource: str, name: str) -> bool:
    assert request.authorizer is not None
    asked = Attributes(request.user, verb, GROUP, resource, namespace=request.namespace, name=name)
    return request.authorizer.allows(asked)


def _missing(request: AdmissionRequest, rules: Sequence[Rule], policy: Policy) -> tuple[list[Rule], list[str]]:
    held, problems = policy.rules(request.user, request.namespace)
    return uncovered(held, rules), problems


def _confirm(request: AdmissionRequest, rules: Sequence[Rule], policy: Policy) -> None:
    """Raises Forbidden with the list of what the user would give without having it."""
    missing, problems = _missing(request, rules, policy)
    if not missing:
        return
    user = request.user
    who = f"user {quote(user.name)} (groups={listed(user.groups)})"
    why = "\n".join([f"{who} is attempting to grant RBAC permissions not currently held:", *told(missing)])
    if problems:
        why += f"; resolution errors: {aggregate(problems)}"
    raise _refusal(request, why)


def _refusal(request: AdmissionRequest, why: str) -> Exception:
    assert request.object is not None
    return forbidden(request.kind.resource, request.object["metadata"].get("name", ""), why)


def _aggregates(role: Object) -> bool:
    return bool((role.get("aggregationRule") or {}).get("clusterRoleSelectors"))


def _only_for_the_collector(new: Object, old: Object | None) -> bool:
    """Whether an update changes only owners and finalizers (upstream: IsOnlyMutatingGCFields)."""
    if old is None:
        return False
    pruned = []
    for obj in (new, old):
        obj = {**obj, "metadata": copy.copy(obj["metadata"])}
        for field in ("ownerReferences", "finalizers", "managedFields", "selfLink"):
            obj["metadata"].pop(field, None)
        pruned.append(obj)
    return bool(pruned[0] == pruned[1])
