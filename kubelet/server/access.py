"""Who may ask a kubelet: the API server is asked, and its answers are remembered for a while.

Upstream: pkg/kubelet/server/auth.go with webhook authentication and authorization. A client certificate of the
cluster's authority names its holder; a bearer token is shown to the API server (TokenReview). What the caller may do is
a matter of rights on the node's subresources (SubjectAccessReview): ``nodes/proxy`` for most, ``nodes/log`` and others.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from machinery.errors import ApiError, Forbidden, InternalError, Unauthorized
from machinery.objects import Object

AUTHENTICATED = "system:authenticated"
VERBS = {"POST": "create", "GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
# Paths that have a subresource of their own.
SUBRESOURCES = {"stats": "stats", "metrics": "metrics", "logs": "log"}
# Upstream's cacheTTL of authentication, and cacheAuthorizedTTL and cacheUnauthorizedTTL of authorization, in seconds.
TOKEN_TTL, ALLOWED_TTL, REFUSED_TTL = 120.0, 300.0, 30.0
MOST_REMEMBERED = 1024

_TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
_ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"

Key = TypeVar("Key")
Value = TypeVar("Value")


class Caller(NamedTuple):
    """Who sent a request."""

    name: str
    groups: tuple[str, ...]
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Gate(Protocol):
    """Decides whether a request is served."""

    def check(self, certificate: Mapping[str, Any], authorization: str, method: str, path: str) -> None:
        """Raise Unauthorized or Forbidden with upstream's words."""


class Reviewer(Protocol):
    """What is needed of an API client."""

    def request(self, method: str, path: str, query: Mapping[str, str] | None = None, body: Any = None) -> Object: ...


class CertificateGate:
    """Lets in whoever shows a client certificate of the cluster's authority (--authorization-mode=AlwaysAllow)."""

    def check(self, certificate: Mapping[str, Any], authorization: str, method: str, path: str) -> None:
        if certified(certificate) is None:
            raise Unauthorized("Unauthorized")


class DelegatedGate:
    """Lets in whom the API server knows and allows it, and remembers its answers for a while."""

    def __init__(self, client: Reviewer, node: str) -> None:
        self._client = client
        self._node = node
        self._callers: _Memory[str, Caller | None] = _Memory(lambda found: TOKEN_TTL if found else REFUSED_TTL)
        self._answers: _Memory[tuple[Caller, str, str], bool] = _Memory(lambda yes: ALLOWED_TTL if yes else REFUSED_TTL)

    def check(self, certificate: Mapping[str, Any], authorization: str, method: str, path: str) -> None:
        caller = certified(certificate) or self._bearer(authorization)
        if caller is None:
            raise Unauthorized("Unauthorized")
        verb, subresource = VERBS.get(method, ""), SUBRESOURCES.get(path.strip("/").partition("/")[0], "proxy")
        asked = f"user={caller.name}, verb={verb}, resource=nodes, subresource(s)=[{subresource}]"
        try:
            key = caller, verb, subresource
            allowed = self._answers.get(key, lambda: self._may(*key))
        except ApiError as error:
            raise InternalError(f"Authorization error ({asked}): {error.message}") from error
        if not allowed:
            raise Forbidden(f"Forbidden ({asked})")

    def _bearer(self, authorization: str) -> Caller | None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        try:
            return self._callers.get(token.strip(), lambda: self._whose(token.strip()))
        except ApiError as error:
            raise Unauthorized(f"Unauthorized: {error.message}") from error

    def _whose(self, token: str) -> Caller | None:
        status = self._review(_TOKEN_REVIEWS, "authentication.k8s.io/v1", "TokenReview", {"token": token})
        if not status.get("authenticated"):
            return None
        user = status["user"]
        extra = tuple((key, tuple(values)) for key, values in (user.get("extra") or {}).items())
        return Caller(user.get("username", ""), tuple(user.get("groups") or ()), user.get("uid", ""), extra)

    def _may(self, caller: Caller, verb: str, subresource: str) -> bool:
        asked = {"verb": verb, "version": "v1", "resource": "nodes", "subresource": subresource, "name": self._node}
        spec = {
            "user": caller.name,
            "groups": list(caller.groups),
            "uid": caller.uid,
            "extra": {key: list(values) for key, values in caller.extra},
            "resourceAttributes": asked,
        }
        status = self._review(_ACCESS_REVIEWS, "authorization.k8s.io/v1", "SubjectAccessReview", spec)
        return bool(status.get("allowed"))

    def _review(self, path: str, version: str, kind: str, spec: Object) -> Object:
        answer = self._client.request("POST", path, body={"apiVersion": version, "kind": kind, "spec": spec})
        status: Object = answer.get("status") or {}
        return status


def certified(certificate: Mapping[str, Any], now: float | None = None) -> Caller | None:
    """Return whom a verified certificate names: CN is the user, O are the groups.

    None without a CN, and after its end: TLS has looked at that once, perhaps long ago. ``now`` is the time in seconds
    since the epoch; None: the present.
    """
    end = certificate.get("notAfter")
    if end is not None and (time.time() if now is None else now) > ssl.cert_time_to_seconds(end):
        return None
    subject = [pair for name in certificate.get("subject", ()) for pair in name]
    names = [value for key, value in subject if key == "commonName"]
    if not names:
        return None
    groups = tuple(value for key, value in subject if key == "organizationName")
    return Caller(names[-1], (*groups, AUTHENTICATED))


class _Memory(Generic[Key, Value]):
    """Answers that are good for a while."""

    def __init__(self, lasts: Callable[[Value], float]) -> None:
        self._lasts = lasts
        self._lock = threading.Lock()
        self._known: dict[Key, tuple[Value, float]] = {}

    def get(self, key: Key, ask: Callable[[], Value]) -> Value:
        """Return the remembered answer, or ask. Two threads with the same question at once may both ask."""
        with self._lock:
            known = self._known.get(key)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        value = ask()
        with self._lock:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[key] = (value, time.monotonic() + self._lasts(value))
        return value
