"""Images on this node: which are there (remembered until Docker says that one changed), and the credentials to pull."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterable
from typing import Any

from kubelet.model.imagenames import registry
from kubelet.model.runtime import ContainerRuntime, Image
from machinery.objects import Object

REMEMBERED = 200


class Images:
    def __init__(self, runtime: ContainerRuntime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._known: dict[str, Image] = {}
        self._changes = 0

    def get(self, reference: str) -> Image | None:
        """An image that is on the node. Absence is never remembered."""
        with self._lock:
            if known := self._known.get(reference):
                return known
            changes = self._changes
        found = self._runtime.image(reference)
        with self._lock:
            if found and changes == self._changes:
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                self._known[reference] = found
        return found

    def changed(self) -> None:
        """Docker has pulled, tagged or removed something."""
        with self._lock:
            self._known.clear()
            self._changes += 1


def credentials(reference: str, secrets: Iterable[Object]) -> dict[str, str] | None:
    """User and password for the image's registry, from the pod's imagePullSecrets."""
    wanted = registry(reference)
    for secret in secrets:
        for host, entry in _entries(secret).items():
            if _host(host) == wanted or (wanted == "docker.io" and _host(host) == "index.docker.io"):
                return _login(entry)
    return None


def _entries(secret: Object) -> dict[str, dict[str, Any]]:
    data = secret.get("data") or {}
    text = data.get(".dockerconfigjson") or data.get(".dockercfg")
    if not text:
        return {}
    config = json.loads(base64.b64decode(text))
    entries: dict[str, dict[str, Any]] = config.get("auths", config)
    return entries


def _host(entry: str) -> str:
    return entry.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _login(entry: dict[str, Any]) -> dict[str, str]:
    if "username" in entry:
        return {"username": entry["username"], "password": entry.get("password", "")}
    user, _, password = base64.b64decode(entry.get("auth", "")).decode().partition(":")
    return {"username": user, "password": password}
