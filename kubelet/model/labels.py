"""Labels and names of our containers: how the kubelet finds its own again after a restart.

Names and label keys follow upstream's dockershim, so that tools which know those find their way; the cluster label
alone decides what is ours and may be removed.
"""

from __future__ import annotations

from typing import Any

from machinery.objects import Object

CLUSTER = "mini-minishift.cluster"
POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
TYPE = "io.kubernetes.docker.type"
SANDBOX = "podsandbox"
CONTAINER = "container"
SANDBOX_ID = "io.kubernetes.sandbox.id"
RESTART_COUNT = "io.kubernetes.container.restartCount"
RUNTIME = "io.kubernetes.runtime.handler"  # of a sandbox whose pod has a RuntimeClass
GRACE = "io.kubernetes.pod.terminationGracePeriod"
SANDBOX_NAME = "POD"


def container_name(pod: Object, container: str, attempt: int) -> str:
    meta = pod["metadata"]
    return f"k8s_{container}_{meta['name']}_{meta['namespace']}_{meta['uid']}_{attempt}"


def of_sandbox(pod: Object, attempt: int, runtime: str = "") -> dict[str, str]:
    handler = {RUNTIME: runtime} if runtime else {}
    return {**_of_pod(pod), CONTAINER_NAME: SANDBOX_NAME, TYPE: SANDBOX, RESTART_COUNT: str(attempt), **handler}


def of_container(pod: Object, container: str, attempt: int, sandbox_id: str) -> dict[str, str]:
    return {
        **_of_pod(pod),
        CONTAINER_NAME: container,
        TYPE: CONTAINER,
        RESTART_COUNT: str(attempt),
        SANDBOX_ID: sandbox_id,
    }


def _of_pod(pod: Object) -> dict[str, str]:
    meta = pod["metadata"]
    return {
        POD_NAME: meta["name"],
        POD_NAMESPACE: meta["namespace"],
        POD_UID: meta["uid"],
        GRACE: str(pod["spec"].get("terminationGracePeriodSeconds", 30)),
    }


def fields(labels: dict[str, str]) -> dict[str, Any]:
    """Return the fields of a RuntimeContainer that its labels hold."""
    return {
        "pod_uid": labels.get(POD_UID, ""),
        "pod_name": labels.get(POD_NAME, ""),
        "namespace": labels.get(POD_NAMESPACE, ""),
        "name": labels.get(CONTAINER_NAME, ""),
        "sandbox": labels.get(TYPE) == SANDBOX,
        "attempt": int(labels.get(RESTART_COUNT, "0")),
        "sandbox_id": labels.get(SANDBOX_ID, ""),
        "runtime": labels.get(RUNTIME, ""),
        "grace": int(labels.get(GRACE, "30")),
    }
