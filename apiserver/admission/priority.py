"""Priority: a pod's class by name becomes a number. Only the two classes that every cluster has are known here."""

from __future__ import annotations

from apiserver.admission.plugin import Plugin, is_pod, refuse
from apiserver.request import AdmissionRequest
from machinery.objects import Object

SYSTEM_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
PREEMPTION_POLICY = "PreemptLowerPriority"


class Priority(Plugin):
    name = "Priority"

    def handles(self, request: AdmissionRequest) -> bool:
        return is_pod(request, "CREATE", "UPDATE")

    def admit(self, request: AdmissionRequest) -> None:
        assert request.object is not None
        spec = request.object["spec"]
        if request.old is not None:
            _keep(spec, request.old["spec"])
            return
        name = spec.get("priorityClassName")
        if name and name not in SYSTEM_CLASSES:
            raise refuse(request, f"no PriorityClass with name {name} was found")
        priority = SYSTEM_CLASSES.get(name or "", 0)
        if spec.get("priority") not in (None, priority):
            why = (
                f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
                f"priority admission controller computed {priority} from the given PriorityClass name"
            )
            raise refuse(request, why)
        spec["priority"] = priority
        spec.setdefault("preemptionPolicy", PREEMPTION_POLICY)


def _keep(spec: Object, old: Object) -> None:
    """An update may leave out what it did not choose."""
    for field in ("priority", "preemptionPolicy"):
        if field in old:
            spec.setdefault(field, old[field])
