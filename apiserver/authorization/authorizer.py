"""The authorizers in upstream's order: system:masters, nodes, RBAC. The first that allows decides."""

from __future__ import annotations

from collections.abc import Callable

from apiserver.authorization.node import GROUP as NODES
from apiserver.authorization.node import NodeAuthorizer
from apiserver.authorization.policy import Policy
from apiserver.authorization.rbac import Rbac
from apiserver.model.attributes import Attributes, Decision, refusal
from machinery.errors import Forbidden

MASTERS = "system:masters"


class Authorizer:
    """Answers every question; ``ready`` waits until the roles of every cluster are there, or raises."""

    def __init__(self, nodes: NodeAuthorizer, rbac: Rbac, ready: Callable[[], None]) -> None:
        self._nodes = nodes
        self._rbac = rbac
        self._ready = ready

    @property
    def policy(self) -> Policy:
        """The roles and bindings."""
        return self._rbac.policy

    def allows(self, asked: Attributes) -> bool:
        """Whether anyone allows it. Every request comes by, so it is quick."""
        groups = asked.user.groups
        if MASTERS in groups:
            return True
        self._ready()
        return (NODES in groups and self._nodes.decide(asked).allowed) or self._rbac.allows(asked)

    def require(self, asked: Attributes) -> None:
        """Raises Forbidden, with its reason, unless this is allowed."""
        if not self.allows(asked):
            raise self.refusal(asked)

    def refusal(self, asked: Attributes) -> Forbidden:
        """What is said to who may not."""
        return refusal(asked, self.decide(asked).reason)

    def decide(self, asked: Attributes) -> Decision:
        """The answer with its reason, or the reasons of all who were asked in vain."""
        if MASTERS in asked.user.groups:
            return Decision(True)
        self._ready()
        reasons = []
        for authorizer in (self._nodes, self._rbac):
            decision = authorizer.decide(asked)
            if decision.allowed:
                return decision
            reasons.append(decision.reason)
        return Decision(False, "\n".join(filter(None, reasons)))
