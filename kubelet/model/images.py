"""Images: which are on this node, whether a container needs a pull, and the credentials for it.

Messages are upstream's.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterable
from typing import Any

from kubelet.model import podspec
from kubelet.model.runtime import ContainerRuntime, RuntimeImage
from machinery.objects import Object

REMEMBERED = 200

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*(?::[\w][\w.-]{{0,127}})?(?:@[a-z0-9]+:[0-9a-fA-F]{{32,}})?",
    re.ASCII,
)


class ImageCache:
    """The images that the runtime was asked about, remembered until it tells that one has changed."""

    def __init__(self, runtime: ContainerRuntime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._known: dict[str, RuntimeImage] = {}
        self._changes = 0

    def get(self, reference: str) -> RuntimeImage | None:
        """Return an image that is on the node, None if it is not there. Absence is never remembered."""
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
        """Forget everything, because the runtime has pulled, tagged or removed an image."""
        with self._lock:
            self._known.clear()
            self._changes += 1


def credentials(reference: str, secrets: Iterable[Object]) -> dict[str, str] | None:
    """Return user and password for the image's registry, from the pod's imagePullSecrets; None if they have none."""
    wanted = registry(reference)
    for secret in secrets:
        for host, entry in _entries(secret).items():
            if _host(host) == wanted or (wanted == "docker.io" and _host(host) == "index.docker.io"):
                return _login(entry)
    return None


def _entries(secret: Object) -> dict[str, dict[str, Any]]:
    data = secret.get("data", {})
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


def complaint(reference: str) -> str:
    """Return "" for a well-formed reference, else the message of InvalidImageName."""
    if _REFERENCE.fullmatch(reference):
        return ""
    return (
        f'Failed to apply default image tag "{reference}": couldn\'t parse image name "{reference}": '
        f"invalid reference format"
    )


def policy(spec: podspec.Spec) -> str:
    """Return imagePullPolicy, or what its absence means: Always for ``:latest`` and for no tag at all."""
    if given := spec.get("imagePullPolicy"):
        return str(given)
    name = str(spec["image"])
    if "@" in name:
        return "IfNotPresent"
    tag = name.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def registry(reference: str) -> str:
    """Return the host that an image comes from, Docker's own registry if the reference names none."""
    first, slash, _ = reference.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first
    return "docker.io"
