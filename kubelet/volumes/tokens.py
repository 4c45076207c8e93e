"""Service account tokens for projected volumes: asked for once, kept until 80 % of their life is over, then renewed."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from machinery.objects import Object, parse_time
from machinery.resources import SERVICE_ACCOUNTS, Resource

DEFAULT_SECONDS = 3600


class TokenIssuer(Protocol):
    """What this needs of the API client."""

    def create_subresource(
        self, resource: Resource, name: str, namespace: str, subresource: str, body: Object
    ) -> Object: ...


class _Token(NamedTuple):
    text: str
    renew_at: float


class TokenCache:
    """Service account tokens by pod, audience and lifetime."""

    def __init__(self, client: TokenIssuer) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._kept: dict[str, dict[tuple[str, int], _Token]] = {}  # by pod uid, then audience and lifetime

    def get(self, pod: Object, source: Mapping[str, Any]) -> str:
        audience = str(source.get("audience") or "")
        seconds = int(source.get("expirationSeconds") or DEFAULT_SECONDS)
        uid = pod["metadata"]["uid"]
        with self._lock:
            kept = self._kept.get(uid, {}).get((audience, seconds))
        if kept and time.time() < kept.renew_at:
            return kept.text
        token = self._request(pod, audience, seconds)
        with self._lock:
            self._kept.setdefault(uid, {})[audience, seconds] = token
        return token.text

    def renew_at(self, uid: str) -> float | None:
        """Return the Unix time at which the first of a pod's tokens is to be renewed, None if it has no tokens."""
        with self._lock:
            return min((token.renew_at for token in self._kept.get(uid, {}).values()), default=None)

    def forget(self, uid: str) -> None:
        with self._lock:
            self._kept.pop(uid, None)

    def _request(self, pod: Object, audience: str, seconds: int) -> _Token:
        meta = pod["metadata"]
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {},
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": seconds,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]},
            },
        }
        account = pod["spec"].get("serviceAccountName") or "default"
        answer = self._client.create_subresource(SERVICE_ACCOUNTS, account, meta["namespace"], "token", request)
        now = time.time()
        lifetime = parse_time(answer["status"]["expirationTimestamp"]).timestamp() - now
        return _Token(answer["status"]["token"], now + 0.8 * lifetime)
