"""Secrets: bytes under keys, typed by what they are for."""

from apiserver.kind import Kind

SECRETS = Kind(
    "",
    "v1",
    "Secret",
    "secrets",
    "io.k8s.api.core.v1.Secret",
)
