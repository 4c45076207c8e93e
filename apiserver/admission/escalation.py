"""Privilege escalation: a user may not grant rights that she does not have, neither by writing a role nor a binding.

Upstream: pkg/registry/rbac/{role,clusterrole,rolebinding,clusterrolebinding}/policybased. As there, it comes before the
object is validated. A user with the verb ``escalate`` on a role, or ``bind`` on the role that is bound, may grant all.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from apiserver.admission.plugin import Plugin
from apiserver.authorization.authorizer import UnionAuthorizer
from apiserver.authorization.covering import uncovered
from apiserver.authorization.defaults import ANYTHING
from apiserver.authorization.policy import aggregate
from apiserver.authorization.rules import Rule, describe_all, listed
from apiserver.kinds.rbac import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, GROUP, ROLE_BINDINGS, ROLES
from apiserver.model.attributes import Attributes
from apiserver.model.user import MASTERS
from apiserver.registry.admissionrequest import AdmissionRequest
from machinery.errors import NotFound, forbidden, not_found, quote
from machinery.objects import Object

_ROLES = (CLUSTER_ROLES, ROLES)
_ROLE_RESOURCES = tuple(kind.resource for kind in _ROLES)
_RESOURCES = (*_ROLE_RESOURCES, CLUSTER_ROLE_BINDINGS.resource, ROLE_BINDINGS.resource)


class Escalation(Plugin):
    """Compares the rights that a role or binding gives with those of the user who writes it."""

    name = "Escalation"
    optional = False  # it is no plugin upstream: the registry of roles checks this itself

    def __init__(self, authorizer: UnionAuthorizer) -> None:
        self._authorizer = authorizer

    def handles(self, request: AdmissionRequest) -> bool:
        return request.resource in _RESOURCES and request.operation in ("CREATE", "UPDATE")

    def admit(self, request: AdmissionRequest) -> None:
        if MASTERS in request.user.groups or _changes_only_gc_fields(request.new, request.old):
            return
        if request.resource in _ROLE_RESOURCES:
            self._check_role(request, request.new)
        else:
            self._check_binding(request, request.new)

    def _check_role(self, request: AdmissionRequest, role: Object) -> None:
        if self._may(request, "escalate", request.kind.plural, request.name if request.old else ""):
            return
        self._require_held(request, role.get("rules") or ())
        if (_aggregates(role) or _aggregates(request.old or {})) and self._missing(request, ANYTHING)[0]:
            raise _refusal(request, "must have cluster-admin privileges to use the aggregationRule")

    def _check_binding(self, request: AdmissionRequest, binding: Object) -> None:
        ref = binding.get("roleRef") or {}
        kind = next((kind for kind in _ROLES if kind.kind == ref.get("kind")), None)
        if kind is None or not ref.get("name"):
            return  # Validation refuses it.
        if self._may(request, "bind", kind.plural, ref["name"]):
            return
        try:
            rules = self._authorizer.policy.rules_of(ref, request.namespace)
        except NotFound:
            raise not_found(kind.resource, ref["name"]) from None
        self._require_held(request, rules)

    def _may(self, request: AdmissionRequest, verb: str, resource: str, name: str) -> bool:
        asked = Attributes(request.user, verb, GROUP, resource, namespace=request.namespace, name=name)
        return self._authorizer.allows(asked)

    def _missing(self, request: AdmissionRequest, rules: Sequence[Rule]) -> tuple[list[Rule], list[str]]:
        held, problems = self._authorizer.policy.rules(request.user, request.namespace)
        return uncovered(held, rules), problems

    def _require_held(self, request: AdmissionRequest, rules: Sequence[Rule]) -> None:
        """Raise Forbidden, with a list of them, for rules that the user would give without having them."""
        missing, problems = self._missing(request, rules)
        if not missing:
            return
        user = request.user
        who = f"user {quote(user.name)} (groups={listed(user.groups)})"
        why = "\n".join([f"{who} is attempting to grant RBAC permissions not currently held:", *describe_all(missing)])
        if problems:
            why += f"; resolution errors: {aggregate(problems)}"
        raise _refusal(request, why)


def _refusal(request: AdmissionRequest, why: str) -> Exception:
    return forbidden(request.resource, request.new["metadata"].get("name", ""), why)


def _aggregates(role: Object) -> bool:
    return bool((role.get("aggregationRule") or {}).get("clusterRoleSelectors"))


def _changes_only_gc_fields(new: Object, old: Object | None) -> bool:
    """Return whether an update changes only owners and finalizers (upstream: IsOnlyMutatingGCFields)."""
    if old is None:
        return False
    pruned = []
    for obj in (new, old):
        obj = {**obj, "metadata": copy.copy(obj["metadata"])}
        for field in ("ownerReferences", "finalizers", "managedFields", "selfLink"):
            obj["metadata"].pop(field, None)
        pruned.append(obj)
    return bool(pruned[0] == pruned[1])
