"""ServiceAccounts: the identities that pods run under."""

from apiserver.kind import Kind

SERVICE_ACCOUNTS = Kind(
    "",
    "v1",
    "ServiceAccount",
    "serviceaccounts",
    "io.k8s.api.core.v1.ServiceAccount",
    short_names=("sa",),
    subresources=("token",),
)
