"""Write to the status of a pod what a controller, and not the kubelet, knows of it."""

from __future__ import annotations

from typing import Any

from machinery.client import Client
from machinery.objects import Object, now
from machinery.resources import PODS


def patch_status(client: Client, pod: Object, status: dict[str, Any]) -> None:
    """Send a strategic merge patch. It fails with Conflict if the pod was replaced under its name, or with NotFound."""
    meta = pod["metadata"]
    patch = {"metadata": {"uid": meta["uid"]}, "status": status}
    client.patch(PODS, meta["name"], meta["namespace"], patch, type="strategic", subresource="status")


def disruption_target(reason: str, message: str) -> Object:
    """Return the condition that says why a pod is deleted though it has not ended."""
    condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
    return {**condition, "lastTransitionTime": now()}
