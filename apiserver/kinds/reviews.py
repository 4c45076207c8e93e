"""Reviews: kinds that are never stored. A create is a question, and is answered with the object's status filled in."""

from __future__ import annotations

from apiserver.model.kind import Kind
from apiserver.schema.codec import upstream


def _review(group: str, kind: str, *, namespaced: bool = False) -> Kind:
    return Kind(*upstream(group, kind), namespaced=namespaced, verbs=("create",))


SELF_SUBJECT_REVIEWS = _review("authentication.k8s.io", "SelfSubjectReview")
TOKEN_REVIEWS = _review("authentication.k8s.io", "TokenReview")

LOCAL_SUBJECT_ACCESS_REVIEWS = _review("authorization.k8s.io", "LocalSubjectAccessReview", namespaced=True)
SELF_SUBJECT_ACCESS_REVIEWS = _review("authorization.k8s.io", "SelfSubjectAccessReview")
SELF_SUBJECT_RULES_REVIEWS = _review("authorization.k8s.io", "SelfSubjectRulesReview")
SUBJECT_ACCESS_REVIEWS = _review("authorization.k8s.io", "SubjectAccessReview")
