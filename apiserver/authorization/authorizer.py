"""The authorizers in upstream's order: the group system:masters, nodes, RBAC. The first that allows decides."""

from __future__ import annotations

import threading

from apiserver.authorization.node import GROUP as NODES
from apiserver.authorization.node import NodeAuthorizer
from apiserver.authorization.policy import Policy
from apiserver.authorization.rbac import Rbac
from apiserver.model.attributes import Attributes, Decision, refusal
from apiserver.model.user import MASTERS
from machinery.errors import Timeout

# Seconds for which a request waits for the roles of a server that has just started, as it does for its cache.
STARTUP_TIMEOUT = 3.0


class UnionAuthorizer:
    """Allows what one of the three allows (upstream: authorization/union).

    ``roles_exist`` is set once the roles of every cluster are stored. Earlier questions wait for it for some seconds,
    and then raise Timeout: their answer would be no.
    """

    def __init__(self, nodes: NodeAuthorizer, rbac: Rbac, roles_exist: threading.Event) -> None:
        self._nodes = nodes
        self._rbac = rbac
        self.roles_exist = roles_exist

    @property
    def policy(self) -> Policy:
        """The roles and bindings that RBAC reads."""
        return self._rbac.policy

    def allows(self, asked: Attributes) -> bool:
        """Return whether one of the three allows it. Every request asks this, so no reason is worked out."""
        groups = asked.user.groups
        if MASTERS in groups:
            return True
        self._await_roles()
        return (NODES in groups and self._nodes.decide(asked).allowed) or self._rbac.allows(asked)

    def require(self, asked: Attributes) -> None:
        """Raise Forbidden, with the reasons of all three, unless it is allowed."""
        if not self.allows(asked):
            raise refusal(asked, self.decide(asked).reason)

    def decide(self, asked: Attributes) -> Decision:
        """Return the answer with the reason of the one that allows it, or else the reasons of all, a line each."""
        if MASTERS in asked.user.groups:
            return Decision(True)
        self._await_roles()
        reasons = []
        for authorizer in (self._nodes, self._rbac):
            decision = authorizer.decide(asked)
            if decision.allowed:
                return decision
            reasons.append(decision.reason)
        return Decision(False, "\n".join(filter(None, reasons)))

    def _await_roles(self) -> None:
        if not self.roles_exist.is_set() and not self.roles_exist.wait(STARTUP_TIMEOUT):
            raise Timeout("the API server has not yet got its roles in order", details={"retryAfterSeconds": 1})
