"""RuntimeClass: the overhead and the node selection of a pod's class are copied into the pod.

Upstream: plugin/pkg/admission/runtimeclass.
"""

from __future__ import annotations

from apiserver.admission.plugin import Plugin, is_pod, refuse
from apiserver.kinds.runtimeclasses import RUNTIME_CLASSES
from apiserver.registry.admissionrequest import AdmissionRequest
from machinery.errors import quote
from machinery.objects import Object

MISMATCH = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
WITHOUT_CLASS = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"


class RuntimeClass(Plugin):
    name = "RuntimeClass"

    def handles(self, request: AdmissionRequest) -> bool:
        return is_pod(request, "CREATE")

    def admit(self, request: AdmissionRequest) -> None:
        spec, runtime_class = request.new["spec"], _class_of(request)
        if runtime_class is None:
            return
        overhead = _overhead(runtime_class)
        if overhead is not None:
            if spec.get("overhead") not in (None, overhead):
                raise refuse(request, MISMATCH)
            spec["overhead"] = dict(overhead)
        if runtime_class.get("scheduling"):
            _schedule(request, spec, runtime_class["scheduling"])

    def validate(self, request: AdmissionRequest) -> None:
        runtime_class, present = _class_of(request), request.new["spec"].get("overhead")
        overhead = _overhead(runtime_class) if runtime_class else None
        if overhead is None and present is not None:
            raise refuse(request, WITHOUT_CLASS)
        if overhead is not None and present != overhead:
            raise refuse(request, MISMATCH)


def _class_of(request: AdmissionRequest) -> Object | None:
    """Return the class that the pod names, None if it names none; raises Forbidden if it does not exist."""
    name = request.new["spec"].get("runtimeClassName")
    if name is None:
        return None
    found = request.reader.get(RUNTIME_CLASSES, "", name, consistent=True)
    if found is None:
        raise refuse(request, f"pod rejected: RuntimeClass {quote(name)} not found")
    return found


def _overhead(runtime_class: Object) -> Object | None:
    return (runtime_class.get("overhead") or {}).get("podFixed") or None


def _schedule(request: AdmissionRequest, spec: Object, scheduling: Object) -> None:
    wanted, selector = scheduling.get("nodeSelector") or {}, dict(spec.get("nodeSelector") or {})
    for key, value in wanted.items():
        if selector.setdefault(key, value) != value:
            why = (
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                f"pod.spec.nodeSelector[{key}] = {selector[key]}"
            )
            raise refuse(request, why)
    if selector:
        spec["nodeSelector"] = selector
    tolerations = merge_tolerations([*(spec.get("tolerations") or ()), *(scheduling.get("tolerations") or ())])
    if tolerations:
        spec["tolerations"] = tolerations


def merge_tolerations(tolerations: list[Object]) -> list[Object]:
    """Leave out tolerations that another one includes; of equal ones keep the first (upstream: util/tolerations)."""
    merged: list[Object] = []
    for index, toleration in enumerate(tolerations):
        later = (other for other in tolerations[index + 1 :] if other != toleration)
        if not any(_includes(other, toleration) for other in [*merged, *later]):
            merged.append(dict(toleration))
    return merged


def _includes(wide: Object, narrow: Object) -> bool:
    """Return whether ``wide`` tolerates whatever ``narrow`` does."""
    if wide == narrow:
        return True
    operator = wide.get("operator") or "Equal"
    any_key = not wide.get("key") and operator == "Exists"
    if not any_key and (wide.get("key") or "") != (narrow.get("key") or ""):
        return False
    if wide.get("effect") and wide["effect"] != narrow.get("effect"):
        return False
    seconds = wide.get("tolerationSeconds") if wide.get("effect") == "NoExecute" else None
    if seconds is not None and (narrow.get("tolerationSeconds") is None or narrow["tolerationSeconds"] > seconds):
        return False
    if operator == "Exists":
        return True
    return narrow.get("operator") == "Equal" and (wide.get("value") or "") == (narrow.get("value") or "")
