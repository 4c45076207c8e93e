"""LimitRanger: containers get a namespace's default requests and limits; what asks for too much or little is refused.

Upstream: plugin/pkg/admission/limitranger. Pods are looked at on creation only: their resources never change after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import ROUND_CEILING

from apiserver.admission.plugin import Plugin, refuse
from apiserver.kinds.limitranges import CLAIM, CONTAINER, LIMIT_RANGES, POD
from apiserver.registry.admissionrequest import AdmissionRequest
from machinery.objects import Object, PodSpec
from machinery.pods import pod_total
from machinery.quantity import Quantity
from machinery.resourcelists import ResourceList, parsed

ANNOTATION = "kubernetes.io/limit-ranger"


class LimitRanger(Plugin):
    name = "LimitRanger"
    looks_inside = True  # whether there is an object

    def handles(self, request: AdmissionRequest) -> bool:
        if request.subresource or request.kind.group or request.object is None:
            return False
        if request.kind.kind == "Pod":
            return request.operation == "CREATE"
        return request.kind.kind == "PersistentVolumeClaim" and request.operation in ("CREATE", "UPDATE")

    def admit(self, request: AdmissionRequest) -> None:
        if request.kind.kind == "Pod" and request.object is not None:
            for limits in _limits(request):
                fill_in(request.object, limits)

    def validate(self, request: AdmissionRequest) -> None:
        if request.object is None or (request.old is not None and request.old["metadata"].get("deletionTimestamp")):
            return
        problems = claim_problems if request.kind.kind == "PersistentVolumeClaim" else pod_problems
        for limits in _limits(request):
            if found := list(dict.fromkeys(problems(request.object["spec"], limits))):
                raise refuse(request, found[0] if len(found) == 1 else f"[{', '.join(found)}]")


def _limits(request: AdmissionRequest) -> Iterator[list[Object]]:
    """Yield the limits of each LimitRange of the namespace."""
    for limit_range in request.reader.list(LIMIT_RANGES, request.namespace, consistent=True):
        yield (limit_range.get("spec") or {}).get("limits") or []


def fill_in(pod: Object, limits: list[Object]) -> None:
    """Set the requests and limits that containers do not state, and list them in an annotation of the pod."""
    defaults = {
        field: {
            name: amount
            for item in limits
            if item["type"] == CONTAINER
            for name, amount in (item.get(source) or {}).items()
        }
        for field, source in (("requests", "defaultRequest"), ("limits", "default"))
    }
    told: list[str] = []
    for field, what in (("containers", "container"), ("initContainers", "init container")):
        for container in pod["spec"].get(field) or ():
            told += [f"{each} for {what} {container['name']}" for each in _fill_in(container, defaults)]
    if told:
        annotations = pod["metadata"].get("annotations") or {}
        pod["metadata"]["annotations"] = annotations | {ANNOTATION: f"LimitRanger plugin set: {'; '.join(told)}"}


def _fill_in(container: Object, defaults: Mapping[str, dict[str, str]]) -> Iterator[str]:
    resources = container.setdefault("resources", {})
    for field, singular in (("requests", "request"), ("limits", "limit")):
        stated = resources.get(field) or {}
        missing = {name: amount for name, amount in defaults[field].items() if name not in stated}
        if missing:
            resources[field] = stated | missing
            yield f"{', '.join(sorted(missing))} {singular}"


def pod_problems(spec: PodSpec, limits: list[Object]) -> Iterator[str]:
    """Return what is wrong with a pod's requests and limits."""
    for item in limits:
        if item["type"] == CONTAINER:
            for container in [*spec.get("containers", ()), *spec.get("initContainers", ())]:
                resources = container.get("resources", {})
                asked = parsed(resources.get("requests")), parsed(resources.get("limits"))
                yield from _out_of_bounds(item, *asked)
        elif item["type"] == POD:
            yield from _out_of_bounds(item, pod_total(spec, "requests"), pod_total(spec, "limits"))


def claim_problems(spec: Object, limits: list[Object]) -> Iterator[str]:
    """Return what is wrong with a claim's request for storage; claims have no limits."""
    requests = parsed((spec.get("resources") or {}).get("requests"))
    for item in limits:
        if item["type"] == CLAIM:
            for name, least in _bounds(item, "min"):
                yield from _too_little(CLAIM, name, least, requests, {})
            for name, most in _bounds(item, "max"):
                if name not in requests:
                    yield f"maximum {name} usage per {CLAIM} is {most}.  No request is specified"
                elif _milli(requests[name]) > _milli(most):
                    yield f"maximum {name} usage per {CLAIM} is {most}, but request is {requests[name]}"


def _out_of_bounds(item: Object, requests: ResourceList, limits: ResourceList) -> Iterator[str]:
    kind = item["type"]
    for name, least in _bounds(item, "min"):
        yield from _too_little(kind, name, least, requests, limits)
    for name, most in _bounds(item, "max"):
        yield from _too_much(kind, name, most, requests, limits)
    for name, ratio in _bounds(item, "maxLimitRequestRatio"):
        yield from _too_far_apart(kind, name, ratio, requests, limits)


def _too_little(kind: str, name: str, least: Quantity, requests: ResourceList, limits: ResourceList) -> Iterator[str]:
    what = f"minimum {name} usage per {kind} is {least}"
    if name not in requests:
        yield f"{what}.  No request is specified"
    elif _milli(requests[name]) < _milli(least):
        yield f"{what}, but request is {requests[name]}"
    elif name in limits and _milli(limits[name]) < _milli(least):
        yield f"{what}, but limit is {limits[name]}"


def _too_much(kind: str, name: str, most: Quantity, requests: ResourceList, limits: ResourceList) -> Iterator[str]:
    what = f"maximum {name} usage per {kind} is {most}"
    if name not in limits:
        yield f"{what}.  No limit is specified"
    elif _milli(limits[name]) > _milli(most):
        yield f"{what}, but limit is {limits[name]}"
    elif name in requests and _milli(requests[name]) > _milli(most):
        yield f"{what}, but request is {requests[name]}"


def _too_far_apart(kind: str, name: str, most: Quantity, requests: ResourceList, limits: ResourceList) -> Iterator[str]:
    what = f"{name} max limit to request ratio per {kind} is {most}"
    request, limit = (_milli(amounts[name]) if name in amounts else 0 for amounts in (requests, limits))
    if not request:
        yield f"{what}, but no request is specified or request is 0"
    elif not limit:
        yield f"{what}, but no limit is specified or limit is 0"
    elif limit / request * 1000 > _milli(most):
        yield f"{what}, but provided ratio is {limit / request:f}"


def _bounds(item: Object, field: str) -> Iterator[tuple[str, Quantity]]:
    yield from sorted(parsed(item.get(field)).items())


def _milli(amount: Quantity) -> int:
    """Return an amount in thousandths, rounded up, in which upstream compares them."""
    return int((amount.amount * 1000).to_integral_value(ROUND_CEILING))
