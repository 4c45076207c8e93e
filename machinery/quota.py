"""Compute what an object uses of a ResourceQuota: for admission, which charges it, and the controller, which counts.

Each resource has an *evaluator*. For most it counts objects, as ``count/<resource>.<group>``; those of pods, services
and persistentvolumeclaims add what else a quota can limit. Upstream: pkg/quota/v1/evaluator/core and
apiserver/pkg/quota/v1/generic.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from machinery.objects import Object, is_pod_terminal, parse_time
from machinery.pods import pod_total
from machinery.quantity import parse_quantity
from machinery.resourcelists import HUGE_PAGES, ONE, REQUESTS, ZERO, ResourceList, add, is_extended, is_native, parsed
from machinery.selectors import LABEL_SELECTOR_OPERATORS, Requirement

# Resources that a quota may also name without ``count/``, as it was before v1.9.
ALIASES = ("configmaps", "replicationcontrollers", "resourcequotas", "secrets")
# Resources that are not counted.
IGNORED = ("events", "events.events.k8s.io", "bindings")
COMPUTE = ("cpu", "memory", "ephemeral-storage")
LIMITS = "limits."
# If a quota limits one of these, every container must state it. Upstream calls that a mistake and adds no more.
STATED = frozenset({"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"})
_POD_RESOURCES = frozenset(
    {"count/pods", "pods", *(part + name for part in ("", REQUESTS, LIMITS) for name in COMPUTE)}
)
STORAGE_CLASS = ".storageclass.storage.k8s.io/"
STORAGE_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


class Evaluator:
    """Counts the objects of one resource. Its subclasses know what else they use."""

    # Whether an update may use more than before.
    charges_updates = False
    # Whether all objects use the same, so that their number is enough to know.
    only_counts = True

    def __init__(self, resource: str) -> None:
        self.resource = resource
        self.count = f"count/{resource}"

    def tracks(self, name: str) -> bool:
        """Return whether objects of this kind use the resource ``name`` of a quota."""
        return name == self.count or (name == self.resource and name in ALIASES)

    def usage(self, obj: Object, now: datetime) -> ResourceList:
        """Return what one object uses at the time ``now``."""
        return {self.count: ONE, self.resource: ONE} if self.resource in ALIASES else {self.count: ONE}

    def in_scope(self, requirement: Object, obj: Object) -> bool:
        """Return whether an object meets one requirement of a quota's scopes. Kinds without scopes never do."""
        return False

    def unstated(self, names: Iterable[str], obj: Object) -> dict[str, set[str]]:
        """Return the resources of ``names`` that must be stated and are not, each with the containers that do not."""
        return {}

    def tracked(self, names: Iterable[str]) -> list[str]:
        """Return those resources that objects of this kind use."""
        return [name for name in names if self.tracks(name)]

    def matches(self, spec: Object, obj: Object) -> bool:
        """Return whether an object is within all scopes of a quota."""
        return all(self.in_scope(requirement, obj) for requirement in _requirements(spec))


class PodEvaluator(Evaluator):
    only_counts = False

    def tracks(self, name: str) -> bool:
        if name in _POD_RESOURCES or name.startswith((HUGE_PAGES, REQUESTS + HUGE_PAGES)):
            return True
        return name.startswith(REQUESTS) and not is_native(name)

    def usage(self, obj: Object, now: datetime) -> ResourceList:
        """Return what a pod uses. One that has ended, or should have by now, counts as an object only."""
        if not is_charged(obj, now):
            return {self.count: ONE}
        spec = obj["spec"]
        overhead = parsed(spec.get("overhead"))
        requests, limits = add(pod_total(spec, "requests"), overhead), pod_total(spec, "limits")
        limited = {name for name, amount in limits.items() if amount.amount}
        limits = add(limits, {name: amount for name, amount in overhead.items() if name in limited})
        return {self.count: ONE, **_compute_usage(requests, limits)}

    def in_scope(self, requirement: Object, obj: Object) -> bool:
        match requirement["scopeName"]:
            case "Terminating":
                return has_deadline(obj)
            case "NotTerminating":
                return not has_deadline(obj)
            case "BestEffort":
                return _is_best_effort(obj)
            case "NotBestEffort":
                return not _is_best_effort(obj)
            case "PriorityClass":
                return _selects(requirement, obj["spec"].get("priorityClassName") or "")
            case "CrossNamespacePodAffinity":
                terms = _affinity_terms(obj["spec"].get("affinity") or {})
                return any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms)
        return False

    def unstated(self, names: Iterable[str], obj: Object) -> dict[str, set[str]]:
        missing: dict[str, set[str]] = {}
        required = STATED.intersection(names)
        for container in [*(obj["spec"].get("containers") or ()), *(obj["spec"].get("initContainers") or ())]:
            resources = container.get("resources") or {}
            stated = _compute_usage(parsed(resources.get("requests")), parsed(resources.get("limits")))
            for name in required - stated.keys():
                missing.setdefault(name, set()).add(container["name"])
        return missing


class ServiceEvaluator(Evaluator):
    charges_updates = True
    only_counts = False

    def tracks(self, name: str) -> bool:
        return name in (self.count, "services", "services.nodeports", "services.loadbalancers")

    def usage(self, obj: Object, now: datetime) -> ResourceList:
        spec = obj["spec"]
        ports = spec.get("ports") or ()
        balanced = spec.get("type") == "LoadBalancer"
        # Ports that have no number yet count as well, because usage is asked before the numbers are allocated.
        if balanced and spec.get("allocateLoadBalancerNodePorts") is False:
            ports = [port for port in ports if port.get("nodePort")]
        has_ports = balanced or spec.get("type") == "NodePort"
        return {
            self.count: ONE,
            "services": ONE,
            "services.nodeports": ONE._replace(amount=ONE.amount * len(ports)) if has_ports else ZERO,
            "services.loadbalancers": ONE if balanced else ZERO,
        }


class ClaimEvaluator(Evaluator):
    """Counts PersistentVolumeClaims and their storage, of all and of each storage class."""

    charges_updates = True
    only_counts = False

    def tracks(self, name: str) -> bool:
        own = (self.resource, "requests.storage")
        return name == self.count or name in own or name.endswith(tuple(STORAGE_CLASS + each for each in own))

    def usage(self, obj: Object, now: datetime) -> ResourceList:
        spec = obj["spec"]
        used = {self.resource: ONE}
        if storage := ((spec.get("resources") or {}).get("requests") or {}).get("storage"):
            amount = parse_quantity(storage)
            used["requests.storage"] = amount._replace(amount=amount.amount.to_integral_value("ROUND_CEILING"))
        annotations = obj["metadata"].get("annotations") or {}
        storage_class = annotations.get(STORAGE_CLASS_ANNOTATION) or spec.get("storageClassName")
        by_class = {storage_class + STORAGE_CLASS + name: used[name] for name in used} if storage_class else {}
        return {self.count: ONE, **used, **by_class}


_EVALUATORS = {
    "pods": PodEvaluator("pods"),
    "services": ServiceEvaluator("services"),
    "persistentvolumeclaims": ClaimEvaluator("persistentvolumeclaims"),
    **{resource: Evaluator(resource) for resource in ALIASES},
}
# The resources that have an evaluator of their own, or a name without ``count/``.
STANDARD = tuple(_EVALUATORS)


def evaluator_of(resource: str) -> Evaluator:
    """Return the evaluator of a resource, ``pods`` or ``leases.coordination.k8s.io``."""
    return _EVALUATORS.get(resource) or Evaluator(resource)


def is_charged(pod: Object, now: datetime) -> bool:
    """Return whether a pod still counts: until it has ended, or its grace period is over (upstream: QuotaV1Pod)."""
    meta = pod["metadata"]
    if is_pod_terminal(pod):
        return False
    if not meta.get("deletionTimestamp") or meta.get("deletionGracePeriodSeconds") is None:
        return True
    grace = timedelta(seconds=meta["deletionGracePeriodSeconds"])
    return now <= parse_time(meta["deletionTimestamp"]) + grace


def has_deadline(pod: Object) -> bool:
    """Return whether a pod is in scope Terminating."""
    return pod["spec"].get("activeDeadlineSeconds") is not None


def utc_now() -> datetime:
    """Return the time that ``usage`` and ``is_charged`` take as ``now``."""
    return datetime.now(UTC)


def _is_best_effort(pod: Object) -> bool:
    return (pod.get("status") or {}).get("qosClass") == "BestEffort"


def _requirements(spec: Object) -> Iterator[Object]:
    for scope in spec.get("scopes") or ():
        yield {"scopeName": scope, "operator": "Exists"}
    yield from (spec.get("scopeSelector") or {}).get("matchExpressions") or ()


def _selects(requirement: Object, value: str) -> bool:
    """Match a value by a scope selector's requirement. An empty value is in no set."""
    operator = LABEL_SELECTOR_OPERATORS[requirement["operator"]]
    selects = Requirement("value", operator, tuple(requirement.get("values") or ()))
    return selects.matches({"value": value} if value else {})


def _affinity_terms(affinity: Object) -> Iterator[Object]:
    for field in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(field) or {}
        yield from rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        for weighted in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            yield weighted["podAffinityTerm"]


def _compute_usage(requests: ResourceList, limits: ResourceList) -> ResourceList:
    used = {"pods": ONE}
    for name, amount in requests.items():
        if name in COMPUTE or name.startswith(HUGE_PAGES):
            used[name] = used[REQUESTS + name] = amount
        elif is_extended(name):
            used[REQUESTS + name] = amount
    used |= {LIMITS + name: limits[name] for name in COMPUTE if name in limits}
    return used
