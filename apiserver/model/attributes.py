"""What an authorizer is asked (upstream: apiserver/pkg/authorization/authorizer), and the words of a refusal."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import NamedTuple, Protocol

from apiserver.model.requestinfo import RequestInfo
from apiserver.model.user import User
from machinery.errors import Forbidden, forbidden, quote
from machinery.objects import Object


class Attributes(NamedTuple):
    """One question: may this user do this? Upstream: authorizer.Attributes.

    For a path that is no resource only ``user``, ``verb`` and ``path`` are set, and ``path`` for nothing else.
    """

    user: User
    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    path: str = ""
    is_resource: bool = True

    @property
    def combined(self) -> str:
        """The resource as rules name it: ``pods`` or ``pods/log``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


class Authorizer(Protocol):
    """Answers such questions."""

    def allows(self, asked: Attributes) -> bool:
        """Return whether the user may do this."""

    def require(self, asked: Attributes) -> None:
        """Raise Forbidden, with upstream's message, unless the user may do this."""


# Tells whether a user is shown an object of a list.
Visible = Callable[[Object], bool]


class Decision(NamedTuple):
    """An authorizer's answer. The reason may be empty."""

    allowed: bool
    reason: str = ""


def attributes_of(user: User, request: RequestInfo) -> Attributes:
    """Return the question whether ``user`` may make this request."""
    if not request.is_resource:
        return Attributes(user, request.verb, path=request.path, is_resource=False)
    return Attributes(
        user,
        request.verb,
        request.group,
        request.resource,
        request.subresource,
        request.namespace,
        request.name or request.selected,
        request.field_selector,
    )


def refusal(asked: Attributes, reason: str = "") -> Forbidden:
    """Return upstream's 403 (apiserver endpoints/handlers/responsewriters/errors.go)."""
    what = f"User {quote(asked.user.name)} cannot {asked.verb} "
    if not asked.is_resource:
        what += f"path {quote(asked.path)}"
    else:
        what += f"resource {quote(asked.combined)} in API group {quote(asked.group)} "
        what += f"in the namespace {quote(asked.namespace)}" if asked.namespace else "at the cluster scope"
    # Upstream escapes what a browser could take for HTML.
    why = escape(what, quote=False) + (f": {reason}" if reason else "")
    if not asked.is_resource:
        return Forbidden(f"forbidden: {why}", details={})
    return forbidden(f"{asked.resource}.{asked.group}" if asked.group else asked.resource, asked.name, why)
