"""RBAC: a request is allowed if a role that is bound to the user has a rule for it.

Upstream: plugin/pkg/auth/authorizer/rbac. To look through the bindings that every cluster has takes 25 µs, and more
with others, so answers are cached until a role or binding changes. The key is the user, verb, resource and namespace,
and the value is either "all objects" or their names: a client that reads a thousand objects by name causes one look-up.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from apiserver.authorization.policy import Policy, aggregate, problems
from apiserver.authorization.rules import allows, matches
from apiserver.model.attributes import Attributes, Decision

MOST_REMEMBERED = 4096

Granted = frozenset[str] | Literal[True]  # the names of the objects that are allowed, or all
_Key = tuple[str, tuple[str, ...], str, str, str, str, str, str]


class _Memo(NamedTuple):
    """The answers as of one stamp of the roles and bindings (see ``policy.Objects``)."""

    stamp: int
    found: dict[_Key, Granted]


class Rbac:
    """Answers from the current roles and bindings: a change of one holds for the next request."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._memo = _Memo(-1, {})

    def allows(self, asked: Attributes) -> bool:
        """Return whether a rule allows this."""
        user, verb, group, resource, subresource, namespace, name, _, path, _ = asked
        found = self._remembered()
        key = (user.name, user.groups, verb, group, resource, subresource, namespace, path)
        granted = found.get(key)
        if granted is None:
            granted = self._granted(asked)
            if len(found) >= MOST_REMEMBERED:
                found.clear()
            found[key] = granted
        return granted is True or name in granted

    def decide(self, asked: Attributes) -> Decision:
        """Return the answer with the binding that allows it, or with what is wrong with bindings. Not cached."""
        self.policy.objects.stamp()
        held = list(self.policy.held(asked.user, asked.namespace))
        for each in held:
            if any(allows(rule, asked) for rule in each.rules):
                return Decision(True, f"RBAC: allowed by {each}")
        wrong = problems(held)
        return Decision(False, f"RBAC: {aggregate(wrong)}" if wrong else "")

    def _remembered(self) -> dict[_Key, Granted]:
        stamp = self.policy.objects.stamp()
        memo = self._memo
        if memo.stamp != stamp:
            # The watch cache shows a change before it counts it in the stamp, so what is found from now on is at least
            # as new as this stamp. A later change makes another stamp, and the memo void.
            memo = self._memo = _Memo(stamp, {})
        return memo.found

    def _granted(self, asked: Attributes) -> Granted:
        names: set[str] = set()
        for held in self.policy.held(asked.user, asked.namespace):
            for rule in held.rules:
                if matches(rule, asked):
                    if not rule.get("resourceNames"):
                        return True
                    names.update(rule["resourceNames"])
        return frozenset(names)
