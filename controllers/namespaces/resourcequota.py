"""Count what the objects of a namespace use of its quotas (upstream: pkg/controller/resourcequota).

Admission charges each object in the transaction that creates it. So at every revision ``status.used`` is at least what
is really used, and a count can only lower it: for objects that were deleted or have ended, or for a resource that is
limited only now.

A count must not lose a charge that is made while it runs. So it uses lists that are no older than the quota, and
writes the quota only if its resourceVersion has not changed; every charge changes it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator

from controllers.shared.context import ControllerContext
from controllers.shared.descriptor import ControllerDescriptor, WatchedKind
from controllers.shared.indexes import BY_NAMESPACE, NAMESPACE
from machinery.client import Client
from machinery.controller import Controller
from machinery.errors import Conflict, NotFound
from machinery.objects import Object, key
from machinery.policyrules import WRITE_EVENTS, can
from machinery.quota import STANDARD, Evaluator, evaluator_of, has_deadline, is_charged, utc_now
from machinery.resourcelists import ZERO, ResourceList, add, equal, masked, parsed, written
from machinery.resources import PODS, RESOURCE_QUOTAS, SERVICES, Resource

log = logging.getLogger(__name__)

# Seconds after which a quota is counted even if nothing changed (upstream: --resource-quota-sync-period).
RESYNC = 300.0
# After so many counts in a row that failed because of new charges, the queue's backoff follows.
ATTEMPTS = 5


class ResourceQuotaController:
    """Reconciles the status of ResourceQuotas when they change, or objects use less."""

    def __init__(self, context: ControllerContext) -> None:
        self.client: Client = context.client
        self.quotas = context.informer(RESOURCE_QUOTAS)
        self.monitors = context.monitors
        self.controller = Controller("resourcequota", self.reconcile)
        self.controller.requires(self.quotas, self.monitors)
        self.quotas.add_handler(self.quota_changed)
        self.monitors.add_handler(self.object_changed)
        self.monitors.add_listener(self.kinds_listed)

    def start(self, stop: threading.Event) -> None:
        """Begin to watch and work; return at once."""
        self.monitors.start(stop)
        self.controller.start(stop)

    def quota_changed(self, old: Object | None, new: Object | None) -> None:
        """Enqueue a quota with new limits, and again when they are in force.

        Nobody was charged for a new limit until it was in force, so it must be counted after that.
        """
        if new is None:
            return
        if old is None or old.get("spec") != new.get("spec") or _status(old, "hard") != _status(new, "hard"):
            self.controller.enqueue(key(new))

    def object_changed(self, old: Object | None, new: Object | None) -> None:
        """Enqueue the quotas of the namespace if the object may use less than before."""
        if old is None or not (quotas := self.quotas.by_index(NAMESPACE, old["metadata"].get("namespace", ""))):
            return
        resource = self.monitors.resource(old["apiVersion"], old["kind"])
        if resource is None:
            return
        if new is None or (resource in self.monitors.whole and uses_less(resource, old, new)):
            self._enqueue(quotas, [resource])

    def kinds_listed(self, resources: Collection[Resource]) -> None:
        """Enqueue all quotas that limit these kinds, which can be counted from now on."""
        self._enqueue(self.quotas.list(), resources)

    def _enqueue(self, quotas: list[Object], resources: Collection[Resource]) -> None:
        evaluators = [evaluator_of(resource.name) for resource in resources]
        for quota in quotas:
            if any(evaluator.tracked(_hard(quota)) for evaluator in evaluators):
                self.controller.enqueue(key(quota))

    def reconcile(self, quota_key: str) -> float | None:
        """Write what is used, and the limits that are now in force; return the seconds until the next count."""
        quota = self.quotas.get(quota_key)
        for _ in range(ATTEMPTS):
            if quota is None:
                return None
            try:
                self._write(quota)
                return RESYNC
            except Conflict:
                quota = self.client.find(RESOURCE_QUOTAS, quota["metadata"]["name"], quota["metadata"]["namespace"])
            except NotFound:
                return None
        raise Conflict(f"quota {quota_key} is charged faster than it can be counted")

    def _write(self, quota: Object) -> None:
        hard = _hard(quota)
        used = masked(parsed(_status(quota, "used")), hard) | self.count(quota)
        if _status(quota, "hard") == hard and equal(parsed(_status(quota, "used")), used):
            return
        status = {"hard": hard, "used": written(used)}
        self.client.update(RESOURCE_QUOTAS, {**quota, "status": status}, subresource="status")

    def count(self, quota: Object) -> ResourceList:
        """Return what is used of each limited resource that can be counted."""
        used: ResourceList = {}
        for evaluator, resource in self._evaluators(_hard(quota)):
            names = evaluator.tracked(_hard(quota))
            used |= dict.fromkeys(names, ZERO) | masked(self._usage(evaluator, resource, quota), names)
        return used

    def _evaluators(self, hard: Collection[str]) -> Iterator[tuple[Evaluator, Resource | None]]:
        """Yield the evaluators that track any of the limited resources, with the kind that they count.

        The kind is None if the API server does not serve it; only standard evaluators are yielded then.
        """
        served = {resource.name: resource for resource in self.monitors.watched()}
        counted = [name.removeprefix("count/") for name in hard if name.startswith("count/")]
        for name in dict.fromkeys([*STANDARD, *counted]):
            evaluator = evaluator_of(name)
            if (name in STANDARD or name in served) and evaluator.tracked(hard):
                yield evaluator, served.get(name)

    def _usage(self, evaluator: Evaluator, resource: Resource | None, quota: Object) -> ResourceList:
        spec, namespace, now = quota.get("spec", {}), quota["metadata"]["namespace"], utc_now()
        if resource is None:
            return {}
        if evaluator.only_counts:
            number = self._number(resource, namespace) if evaluator.matches(spec, {}) else 0
            return {name: one._replace(amount=one.amount * number) for name, one in evaluator.usage({}, now).items()}
        used: ResourceList = {}
        for obj in self.client.list(resource, namespace)["items"]:
            if evaluator.matches(spec, obj):
                used = add(used, evaluator.usage(obj, now))
        return used

    def _number(self, resource: Resource, namespace: str) -> int:
        """Count the objects without reading them all."""
        page = self.client.list(resource, namespace, limit=1)
        return len(page["items"]) + int(page["metadata"].get("remainingItemCount") or 0)


def uses_less(resource: Resource, old: Object, new: Object) -> bool:
    """Return True if the change may have freed something (upstream: pkg/quota/v1/install/update_filter.go)."""
    if resource.name == "pods":
        now = utc_now()
        ended = is_charged(old, now) and not is_charged(new, now)
        return ended or has_deadline(old) != has_deadline(new)
    evaluator = evaluator_of(resource.name)
    return not evaluator.only_counts and evaluator.usage(old, utc_now()) != evaluator.usage(new, utc_now())


def _hard(quota: Object) -> dict[str, str]:
    hard: dict[str, str] = quota.get("spec", {}).get("hard", {})
    return hard


def _status(quota: Object, field: str) -> dict[str, str]:
    quantities: dict[str, str] = quota.get("status", {}).get(field, {})
    return quantities


RESOURCE_QUOTA = ControllerDescriptor(
    "resourcequota-controller",
    ResourceQuotaController,
    account="resourcequota-controller",
    rules=(
        can("list watch", "*", "*"),
        can("get", "resourcequotas"),  # Upstream's controller does not need it.
        can("update", "resourcequotas/status"),
        WRITE_EVENTS,
    ),
    watches=(WatchedKind(RESOURCE_QUOTAS, BY_NAMESPACE), WatchedKind(PODS), WatchedKind(SERVICES)),
    watches_everything=True,
    aliases=("resourcequota",),
)
