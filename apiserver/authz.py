"""Who may do what. Until roles are served (RBAC), a short list stands for upstream's bootstrap policy.

Administrators and the cluster's own components may do everything; every authenticated user may discover the API
and ask about herself; nobody in particular may see health and version. All else is refused in upstream's words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apiserver.authn import ANONYMOUS, AUTHENTICATED
from apiserver.request import User
from apiserver.requestinfo import RequestInfo
from apiserver.tokens import PREFIX
from machinery.errors import BadRequest, Forbidden, quote

_ALL_POWERFUL_GROUPS = frozenset({"system:masters", "system:nodes"})
_COMPONENTS = frozenset(
    {"system:kube-controller-manager", "system:kube-scheduler", "system:kube-proxy", "system:apiserver"}
)
# Upstream: system:public-info-viewer.
_PUBLIC = ("/healthz", "/livez", "/readyz", "/version")
# Upstream: system:discovery.
_DISCOVERY = ("/api", "/apis", "/openapi")
# Upstream: system:basic-user.
_SELF = frozenset({"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"})


def authorize(user: User, request: RequestInfo) -> None:
    """Raises Forbidden unless the user may do this."""
    if _is_all_powerful(user):
        return
    if not request.is_resource and _is_below(request.path, _PUBLIC) and request.verb in ("get", "head"):
        return
    if AUTHENTICATED in user.groups:
        if not request.is_resource and _is_below(request.path, _DISCOVERY) and request.verb in ("get", "head"):
            return
        if request.verb == "create" and request.resource in _SELF:
            return
    raise refusal(user, request)


def impersonated(user: User, environ: Mapping[str, Any]) -> User:
    """Whom to serve the request as, for ``kubectl --as`` of one who may do everything (upstream: impersonation.go)."""
    name = environ.get("HTTP_IMPERSONATE_USER", "")
    groups = tuple(group.strip() for group in environ.get("HTTP_IMPERSONATE_GROUP", "").split(",") if group.strip())
    if not name:
        if groups:
            raise BadRequest("requested groups without impersonating a user")
        return user
    if not _is_all_powerful(user):
        details = {"name": name, "kind": "users"}
        why = 'cannot impersonate resource "users" in API group "" at the cluster scope'
        raise Forbidden(f"users {quote(name)} is forbidden: User {quote(user.name)} {why}", details=details)
    if name == ANONYMOUS.name:
        return User(name, groups or ANONYMOUS.groups)
    if not groups and name.startswith(PREFIX):
        namespace = name.removeprefix(PREFIX).partition(":")[0]
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return User(name, groups if AUTHENTICATED in groups else (*groups, AUTHENTICATED))


def _is_all_powerful(user: User) -> bool:
    return not _ALL_POWERFUL_GROUPS.isdisjoint(user.groups) or user.name in _COMPONENTS


def refusal(user: User, request: RequestInfo) -> Forbidden:
    """Upstream's 403 (apiserver endpoints/handlers/responsewriters/errors.go)."""
    if not request.is_resource:
        return Forbidden(f"forbidden: User {quote(user.name)} cannot {request.verb} path {quote(request.path)}")
    resource = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
    where = "at the cluster scope"
    if request.namespace:
        where = f"in the namespace {quote(request.namespace)}"
    subject = f"{request.resource}.{request.group}" if request.group else request.resource
    if request.name:
        subject += f" {quote(request.name)}"
    details = {"name": request.name, "group": request.group, "kind": request.resource}
    return Forbidden(
        f"{subject} is forbidden: User {quote(user.name)} cannot {request.verb} resource {quote(resource)} "
        f"in API group {quote(request.group)} {where}",
        details={key: value for key, value in details.items() if value},
    )


def _is_below(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(root + "/") for root in roots)
