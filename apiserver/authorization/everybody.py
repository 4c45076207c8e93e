"""Who may do what in a server without the feature ``accesscontrol``."""

from __future__ import annotations

from apiserver.authorization.authn import AUTHENTICATED
from apiserver.model.attributes import Attributes, refusal

# What probes and clients ask before they show who they are (upstream: ClusterRole system:public-info-viewer).
_PUBLIC = ("/healthz", "/livez", "/readyz", "/version")


class AllowAuthenticated:
    """An ``Authorizer`` that allows everything to every authenticated user, and health and version to everybody."""

    def allows(self, asked: Attributes) -> bool:
        public = not asked.is_resource and asked.verb == "get" and asked.path.rstrip("/") in _PUBLIC
        return public or AUTHENTICATED in asked.user.groups or asked.user.name == "system:apiserver"

    def require(self, asked: Attributes) -> None:
        if not self.allows(asked):
            raise refusal(asked)
