"""Roles and their bindings: who may do what, cluster-wide or in one namespace (upstream: pkg/apis/rbac/validation).

What they mean stands in ``apiserver/authorization``; here are their form, defaults and columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain

from apiserver.kinds.cells import AGE, NAME
from apiserver.model import checks
from apiserver.model.kind import Column, Kind, Strategy
from apiserver.schema.codec import upstream
from machinery import validation
from machinery.errors import FieldError, GoValue, quote
from machinery.objects import Object

GROUP = "rbac.authorization.k8s.io"
USER, SUBJECT_GROUP, SERVICE_ACCOUNT = "User", "Group", "ServiceAccount"


class RoleStrategy(Strategy):
    create_on_update = True
    namespaced = True

    def validate_name(self, name: str) -> list[str]:
        return validation.is_path_segment_name(name)

    def validate(self, obj: Object) -> checks.Errors:
        rules = obj.get("rules", ())
        return [why for index, rule in enumerate(rules) for why in self._rule(f"rules[{index}]", rule)]

    def _rule(self, path: str, rule: Object) -> checks.Errors:
        if not rule.get("verbs"):
            yield FieldError.required(f"{path}.verbs", "verbs must contain at least one value")
        urls = rule.get("nonResourceURLs")
        if urls:
            if self.namespaced:
                why = "namespaced rules cannot apply to non-resource URLs"
                yield FieldError.invalid(f"{path}.nonResourceURLs", urls, why)
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                why = "rules cannot apply to both regular resources and non-resource URLs"
                yield FieldError.invalid(f"{path}.nonResourceURLs", urls, why)
            return
        if not rule.get("apiGroups"):
            yield FieldError.required(f"{path}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            yield FieldError.required(f"{path}.resources", "resource rules must supply at least one resource")


class ClusterRoleStrategy(RoleStrategy):
    namespaced = False

    def validate(self, obj: Object) -> checks.Errors:
        return chain(super().validate(obj), _aggregation(obj.get("aggregationRule")))


def _aggregation(rule: Object | None) -> checks.Errors:
    if rule is None:
        return
    path = "aggregationRule.clusterRoleSelectors"
    selectors = rule.get("clusterRoleSelectors", ())
    if not selectors:
        yield FieldError.required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")
    for index, selector in enumerate(selectors):
        yield from checks.label_selector(f"{path}[{index}]", selector)


class RoleBindingStrategy(Strategy):
    create_on_update = True
    namespaced = True
    role_kinds: Sequence[str] = ("Role", "ClusterRole")

    def default(self, obj: Object) -> None:
        """Fill in the API group of a role and of users and groups: there is only one."""
        if "roleRef" in obj:
            obj["roleRef"]["apiGroup"] = obj["roleRef"].get("apiGroup") or GROUP
        for subject in obj.get("subjects", ()):
            if subject.get("kind") in (USER, SUBJECT_GROUP):
                subject["apiGroup"] = subject.get("apiGroup") or GROUP

    def validate_name(self, name: str) -> list[str]:
        return validation.is_path_segment_name(name)

    def validate(self, obj: Object) -> checks.Errors:
        ref = obj.get("roleRef", {})
        if ref.get("apiGroup") != GROUP:
            yield FieldError.not_supported("roleRef.apiGroup", ref.get("apiGroup", ""), (GROUP,))
        if ref.get("kind") not in self.role_kinds:
            yield FieldError.not_supported("roleRef.kind", ref.get("kind", ""), self.role_kinds)
        yield from checks.required("roleRef.name", ref.get("name"), checks.path_segment)
        for index, subject in enumerate(obj.get("subjects", ())):
            yield from self._subject(f"subjects[{index}]", subject)

    def _subject(self, path: str, subject: Object) -> checks.Errors:
        name, kind, group = subject.get("name", ""), subject.get("kind", ""), subject.get("apiGroup", "")
        yield from checks.required(f"{path}.name", name)
        if kind == SERVICE_ACCOUNT:
            if name:
                yield from checks.subdomain(f"{path}.name", name)
            if group:
                yield FieldError.not_supported(f"{path}.apiGroup", group, ("",))
            if not self.namespaced and not subject.get("namespace"):
                yield FieldError.required(f"{path}.namespace")
        elif kind in (USER, SUBJECT_GROUP):
            if group != GROUP:
                yield FieldError.not_supported(f"{path}.apiGroup", group, (GROUP,))
        else:
            yield FieldError.not_supported(f"{path}.kind", kind, (SERVICE_ACCOUNT, USER, SUBJECT_GROUP))

    def validate_update(self, new: Object, old: Object) -> checks.Errors:
        yield from self.validate(new)
        if new.get("roleRef") != old.get("roleRef"):
            yield FieldError.invalid("roleRef", _go_role_ref(new.get("roleRef", {})), "cannot change roleRef")


class ClusterRoleBindingStrategy(RoleBindingStrategy):
    namespaced = False
    role_kinds = ("ClusterRole",)


def _go_role_ref(ref: Object) -> GoValue:
    fields = (("APIGroup", "apiGroup"), ("Kind", "kind"), ("Name", "name"))
    shown = ", ".join(go + ":" + quote(ref.get(name, "")) for go, name in fields)
    return GoValue(f"rbac.RoleRef{{{shown}}}")


def _role(binding: Object) -> str:
    ref = binding.get("roleRef", {})
    return f"{ref.get('kind', '')}/{ref.get('name', '')}"


def _subjects(kind: str, binding: Object) -> str:
    return ", ".join(_shown(subject) for subject in binding.get("subjects", ()) if subject.get("kind") == kind)


def _shown(subject: Object) -> str:
    name: str = subject.get("name", "")
    return f"{subject.get('namespace', '')}/{name}" if subject.get("kind") == SERVICE_ACCOUNT else name


def _columns(what: str) -> Iterable[Column]:
    yield NAME
    yield Column("Role", _role, description="RoleRef can only reference a role that exists.")
    yield AGE
    for kind in (USER, SUBJECT_GROUP, SERVICE_ACCOUNT):
        yield Column(f"{kind}s", partial(_subjects, kind), priority=1, description=f"{kind}s in the {what}")


CLUSTER_ROLE_BINDINGS = Kind(
    *upstream(GROUP, "ClusterRoleBinding"),
    namespaced=False,
    strategy=ClusterRoleBindingStrategy(),
    columns=tuple(_columns("clusterRoleBinding")),
)
CLUSTER_ROLES = Kind(*upstream(GROUP, "ClusterRole"), namespaced=False, strategy=ClusterRoleStrategy())
ROLE_BINDINGS = Kind(
    *upstream(GROUP, "RoleBinding"), strategy=RoleBindingStrategy(), columns=tuple(_columns("roleBinding"))
)
ROLES = Kind(*upstream(GROUP, "Role"), strategy=RoleStrategy())
