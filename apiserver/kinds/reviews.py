"""Kinds that are answered and never stored: the create verb fills in the status."""

from apiserver.kind import Kind

SELF_SUBJECT_REVIEWS = Kind(
    "authentication.k8s.io",
    "v1",
    "SelfSubjectReview",
    "selfsubjectreviews",
    "io.k8s.api.authentication.v1.SelfSubjectReview",
    namespaced=False,
    verbs=("create",),
)

TOKEN_REVIEWS = Kind(
    "authentication.k8s.io",
    "v1",
    "TokenReview",
    "tokenreviews",
    "io.k8s.api.authentication.v1.TokenReview",
    namespaced=False,
    verbs=("create",),
)
