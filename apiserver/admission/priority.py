"""Priority: the name of a pod's class is resolved to its number; at most one class is the default.

Upstream: plugin/pkg/admission/priority.
"""

from __future__ import annotations

from apiserver.admission.plugin import Plugin, is_pod, refuse
from apiserver.kinds.priorityclasses import PREEMPT_LOWER_PRIORITY, PRIORITY_CLASSES, SYSTEM_CLASSES
from apiserver.model.reader import Reader
from apiserver.registry.admissionrequest import AdmissionRequest
from machinery.objects import Object


class Priority(Plugin):
    name = "Priority"

    def handles(self, request: AdmissionRequest) -> bool:
        return request.resource == PRIORITY_CLASSES.resource or is_pod(request, "CREATE", "UPDATE")

    def admit(self, request: AdmissionRequest) -> None:
        if request.resource == PRIORITY_CLASSES.resource:
            if request.operation == "DELETE" and request.name in SYSTEM_CLASSES:
                raise refuse(request, "this is a system priority class and cannot be deleted")
        elif request.old is not None:
            _keep(request.new["spec"], request.old["spec"])
        else:
            _resolve(request)

    def validate(self, request: AdmissionRequest) -> None:
        obj = request.object
        if request.resource != PRIORITY_CLASSES.resource or obj is None or not obj.get("globalDefault"):
            return
        default = _default_class(request.reader)
        if default is not None and default["metadata"]["name"] != obj["metadata"].get("name"):
            name = default["metadata"]["name"]
            raise refuse(request, f"PriorityClass {name} is already marked as default. Only one default can exist")


def _default_class(reader: Reader) -> Object | None:
    """Return the default class; the lowest of several, which two simultaneous writes can make."""
    marked = [obj for obj in reader.list(PRIORITY_CLASSES, consistent=True) if obj.get("globalDefault")]
    return min(marked, key=lambda obj: int(obj["value"]), default=None)


def _resolve(request: AdmissionRequest) -> None:
    spec = request.new["spec"]
    name = spec.get("priorityClassName")
    if name:
        found = request.reader.get(PRIORITY_CLASSES, "", name, consistent=True)
        if found is None:
            raise refuse(request, f"no PriorityClass with name {name} was found")
    else:
        found = _default_class(request.reader)
        if found is not None:
            spec["priorityClassName"] = found["metadata"]["name"]
    priority = found["value"] if found else 0
    policy = found.get("preemptionPolicy") if found else PREEMPT_LOWER_PRIORITY
    if spec.get("priority") not in (None, priority):
        raise refuse(request, _must_not_be_provided(f"integer value of priority ({spec['priority']})", priority))
    spec["priority"] = priority
    if policy:
        if spec.get("preemptionPolicy") not in (None, policy):
            what = f"string value of PreemptionPolicy ({spec['preemptionPolicy']})"
            raise refuse(request, _must_not_be_provided(what, policy))
        spec["preemptionPolicy"] = policy


def _must_not_be_provided(what: str, computed: object) -> str:
    return (
        f"the {what} must not be provided in pod spec; "
        f"priority admission controller computed {computed} from the given PriorityClass name"
    )


def _keep(spec: Object, old: Object) -> None:
    """Restore what an update leaves out: the plugin chose it, not the client."""
    for field in ("priority", "preemptionPolicy"):
        if field in old:
            spec.setdefault(field, old[field])
