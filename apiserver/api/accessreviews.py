"""The reviews behind ``kubectl auth can-i``: what a user may do (upstream: pkg/registry/authorization)."""

from __future__ import annotations

from collections.abc import Mapping

from apiserver.api.reviews import Review
from apiserver.authorization.authorizer import UnionAuthorizer
from apiserver.authorization.node import node_of
from apiserver.authorization.policy import Policy, aggregate
from apiserver.kinds import reviews as kinds
from apiserver.model.attributes import Attributes
from apiserver.model.kind import Kind
from apiserver.model.user import User
from apiserver.registry.call import Call
from machinery.errors import BadRequest, FieldError, GoValue, invalid, quote
from machinery.objects import Object


class AccessReviews:
    """Answers the four kinds of authorization.k8s.io."""

    def __init__(self, authorizer: UnionAuthorizer, policy: Policy) -> None:
        self._authorizer = authorizer
        self._policy = policy

    def subject(self, call: Call, review: Object) -> Object:
        """Answer a SubjectAccessReview: may this user do this?"""
        spec = review.get("spec") or {}
        _refuse(call.kind, [*_check_attributes(spec), *_check_subject(spec), *_check_metadata(review)])
        return self._answered(review, _attributes(_user(spec), spec))

    def local(self, call: Call, review: Object) -> Object:
        """Answer a LocalSubjectAccessReview: the same, in the namespace where it is posted."""
        spec = review.get("spec") or {}
        errors = [*_check_attributes(spec), *_check_subject(spec), *_check_metadata(review, "except for namespace")]
        asked = (spec.get("resourceAttributes") or {}).get("namespace", "")
        if spec.get("resourceAttributes") is not None and asked != call.namespace:
            errors.append(
                FieldError.invalid("spec.resourceAttributes.namespace", asked, "must match metadata.namespace")
            )
        if spec.get("nonResourceAttributes") is not None:
            value = _go_path(spec["nonResourceAttributes"])
            errors.append(FieldError.invalid("spec.nonResourceAttributes", value, "disallowed on this kind of request"))
        _refuse(call.kind, errors)
        return self._answered(review, _attributes(_user(spec), spec))

    def own(self, call: Call, review: Object) -> Object:
        """Answer a SelfSubjectAccessReview: may I do this?"""
        spec = review.get("spec") or {}
        _refuse(call.kind, [*_check_attributes(spec), *_check_metadata(review)])
        return self._answered(review, _attributes(call.user, spec))

    def own_rules(self, call: Call, review: Object) -> Object:
        """Answer a SelfSubjectRulesReview: what may I do in a namespace?"""
        namespace = (review.get("spec") or {}).get("namespace", "")
        if not namespace:
            raise BadRequest("no namespace on request")
        rules, problems = self._policy.rules(call.user, namespace)
        is_node = node_of(call.user) is not None
        if is_node:
            problems.insert(0, "node authorizer does not support user rule resolution")
        status: Object = {
            "resourceRules": [
                _part(rule, "verbs", "apiGroups", "resources", "resourceNames")
                for rule in rules
                if rule.get("resources")
            ],
            "nonResourceRules": [
                _part(rule, "verbs", "nonResourceURLs") for rule in rules if rule.get("nonResourceURLs")
            ],
            "incomplete": is_node,
        }
        if problems:
            status["evaluationError"] = aggregate(problems)
        return {**review, "spec": {}, "status": status}

    def _answered(self, review: Object, asked: Attributes) -> Object:
        decision = self._authorizer.decide(asked)
        status: Object = {"allowed": decision.allowed}
        if decision.reason:
            status["reason"] = decision.reason
        return {**review, "status": status}


def _user(spec: Object) -> User:
    extra = {key: tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
    return User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""), extra)


def _attributes(user: User, spec: Object) -> Attributes:
    resource = spec.get("resourceAttributes")
    if resource is None:
        path = spec["nonResourceAttributes"]
        return Attributes(user, path.get("verb", ""), path=path.get("path", ""), is_resource=False)
    parts = {part: resource.get(part, "") for part in ("group", "resource", "subresource", "namespace", "name")}
    selector = _selector(resource.get("fieldSelector") or {})
    return Attributes(user, resource.get("verb", ""), field_selector=selector, **parts)


def _selector(selector: Object) -> str:
    """Return those requirements of a field selector that an authorizer may rely on, as text."""
    exact = [each for each in selector.get("requirements") or () if _is_exact(each)]
    terms = [f"{each.get('key', '')}={each['values'][0]}" for each in exact]
    return selector.get("rawSelector") or ",".join(terms)


def _is_exact(requirement: Object) -> bool:
    return requirement.get("operator") == "In" and len(requirement.get("values") or ()) == 1


def _part(rule: Object, *fields: str) -> Object:
    return {field: rule[field] for field in fields if rule.get(field)}


# --- validation (pkg/apis/authorization/validation) -------------------------------------------------------


def _refuse(kind: Kind, errors: list[FieldError]) -> None:
    if errors:
        raise invalid(f"{kind.kind}.{kind.group}", "", errors)


def _check_attributes(spec: Object) -> list[FieldError]:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        why = "cannot be specified in combination with resourceAttributes"
        return [FieldError.invalid("spec.nonResourceAttributes", _go_path(path), why)]
    if resource is None and path is None:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        return [FieldError.invalid("spec.resourceAttributes", None, why)]
    selectors = ((name, (resource or {}).get(name)) for name in ("fieldSelector", "labelSelector"))
    return [error for name, selector in selectors if selector is not None for error in _check_selector(name, selector)]


def _check_selector(name: str, selector: Object) -> list[FieldError]:
    path, raw = f"spec.resourceAttributes.{name}", selector.get("rawSelector")
    if raw and selector.get("requirements"):
        why = "may not specified at the same time as requirements"
        return [FieldError.invalid(f"{path}.rawSelector", raw, why)]
    if not raw and not selector.get("requirements"):
        why = f"when {path} is specified, requirements or rawSelector is required"
        return [FieldError.required(f"{path}.requirements", why)]
    return []


def _check_subject(spec: Object) -> list[FieldError]:
    if spec.get("user") or spec.get("groups"):
        return []
    return [FieldError.invalid("spec.user", spec.get("user", ""), "at least one of user or group must be specified")]


def _check_metadata(review: Object, but: str = "") -> list[FieldError]:
    metadata = {key: value for key, value in (review.get("metadata") or {}).items() if value and key != "managedFields"}
    if but:
        metadata.pop("namespace", None)
    return [FieldError.invalid("metadata", metadata, f"must be empty {but}".rstrip())] if metadata else []


def _go_path(path: Object) -> GoValue:
    shown = f"Path:{quote(path.get('path', ''))}, Verb:{quote(path.get('verb', ''))}"
    return GoValue(f"authorization.NonResourceAttributes{{{shown}}}")


def access_reviews(authorizer: UnionAuthorizer, policy: Policy) -> Mapping[str, Review]:
    """Return what answers a POST to each of these resources, by its name."""
    answers = AccessReviews(authorizer, policy)
    return {
        kinds.SUBJECT_ACCESS_REVIEWS.resource: answers.subject,
        kinds.LOCAL_SUBJECT_ACCESS_REVIEWS.resource: answers.local,
        kinds.SELF_SUBJECT_ACCESS_REVIEWS.resource: answers.own,
        kinds.SELF_SUBJECT_RULES_REVIEWS.resource: answers.own_rules,
    }
