"""DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or cannot be reached."""

from __future__ import annotations

from apiserver.admission.plugin import Plugin, is_pod
from apiserver.registry.admissionrequest import AdmissionRequest
from machinery.objects import Object

SECONDS = 300
TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class DefaultTolerationSeconds(Plugin):
    name = "DefaultTolerationSeconds"

    def handles(self, request: AdmissionRequest) -> bool:
        return is_pod(request, "CREATE", "UPDATE")

    def admit(self, request: AdmissionRequest) -> None:
        tolerations = request.new["spec"].get("tolerations") or []
        missing = [taint for taint in TAINTS if not any(_tolerates(entry, taint) for entry in tolerations)]
        added = [
            {"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}
            for taint in missing
        ]
        if added:
            request.new["spec"]["tolerations"] = [*tolerations, *added]


def _tolerates(toleration: Object, taint: str) -> bool:
    """Return whether the pod already tolerates this taint, for however long."""
    return (toleration.get("key") or taint) == taint and (toleration.get("effect") or "NoExecute") == "NoExecute"
