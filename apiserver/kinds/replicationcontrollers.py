"""ReplicationControllers: a number of pods that are all made from one template.

Upstream: pkg/registry/core/replicationcontroller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from apiserver.kinds.cells import AGE, NAME, label_map, names
from apiserver.kinds.pods.defaults import default_pod_template
from apiserver.kinds.pods.spec import validate_pod_template
from apiserver.kinds.pods.warnings import name_warnings, pod_warnings
from apiserver.kinds.strategies import StatusStrategy
from apiserver.kinds.subresources import STATUS
from apiserver.kinds.subresources.scale import SCALE
from apiserver.model import checks
from apiserver.model.kind import Column, Kind
from apiserver.schema.codec import upstream
from machinery.errors import FieldError
from machinery.objects import Object
from machinery.selectors import Selector, from_map

STATUS_COUNTS = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration")
TOO_MANY = "cannot be greater than status.replicas"


class ReplicationControllerStrategy(StatusStrategy):
    initial_status = {"replicas": 0}
    counts_generation = True
    orphan_by_default = True

    def default(self, obj: Object) -> None:
        """Fill in defaults; the template's labels are those of the selector and of the object itself."""
        spec = obj.setdefault("spec", {})
        template = spec.get("template")
        labels = ((template or {}).get("metadata", {})).get("labels")
        if labels:
            if not spec.get("selector"):
                spec["selector"] = dict(labels)
            metadata = obj.setdefault("metadata", {})
            if not metadata.get("labels"):
                metadata["labels"] = dict(labels)
        spec.setdefault("replicas", 1)
        if template is not None:
            default_pod_template(template)

    def validate(self, obj: Object) -> checks.Errors:
        spec = obj["spec"]
        yield from checks.not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
        yield from checks.required("spec.selector", spec.get("selector"))
        yield from checks.not_negative("spec.replicas", spec["replicas"])
        yield from validate_template(obj, from_map(spec.get("selector")))

    def validate_status_update(self, new: Object, old: Object) -> checks.Errors:
        return _validate_status(new.get("status", {}))

    def warnings(self, obj: Object, before: Object | None = None) -> list[str]:
        template = obj["spec"].get("template")
        found = [] if before else list(name_warnings(obj["metadata"].get("name", ""), "Pod names and hostnames"))
        if template and (before is None or before["spec"].get("template") != template):
            found += pod_warnings("spec.template.", template)
        return found

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {"status.replicas": str(obj.get("status", {}).get("replicas", 0))}


def validate_template(obj: Object, selector: Selector) -> checks.Errors:
    """Check the template of a ReplicationController or ReplicaSet (upstream: ValidatePodTemplateSpecForRC)."""
    template = obj["spec"].get("template")
    if template is None:
        yield FieldError.required("spec.template")
        return
    labels = template.get("metadata", {}).get("labels", {})
    if not selector.empty and not selector.matches(labels):
        why = "`selector` does not match template `labels`"
        yield FieldError.invalid("spec.template.metadata.labels", labels, why)
    yield from validate_pod_template("spec.template", template)
    pod = template.get("spec", {})
    if pod.get("restartPolicy") != "Always":
        yield FieldError.not_supported("spec.template.spec.restartPolicy", pod.get("restartPolicy"), ("Always",))
    if pod.get("activeDeadlineSeconds") is not None:
        why = f"activeDeadlineSeconds in {obj['kind']} is not Supported"
        yield FieldError.forbidden("spec.template.spec.activeDeadlineSeconds", why)


def _validate_status(status: Object) -> checks.Errors:
    counts = {name: status.get(name) or 0 for name in STATUS_COUNTS}
    for name, count in counts.items():
        yield from checks.not_negative(f"status.{name}", count)
    for name in ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"):
        if counts[name] > counts["replicas"]:
            yield FieldError.invalid(f"status.{name}", counts[name], TOO_MANY)
    if counts["availableReplicas"] > counts["readyReplicas"]:
        why = "cannot be greater than readyReplicas"
        yield FieldError.invalid("status.availableReplicas", counts["availableReplicas"], why)


def _containers(obj: Object) -> list[Object]:
    containers: list[Object] = obj["spec"].get("template", {}).get("spec", {}).get("containers", [])
    return containers


def _status(obj: Object, count: str) -> int:
    return obj.get("status", {}).get(count) or 0


def replica_columns(selector: Callable[[Object], str]) -> tuple[Column, ...]:
    """Return the columns; ``selector`` returns the text of an object's selector."""
    return (
        NAME,
        Column("Desired", lambda obj: obj["spec"].get("replicas", 0), "integer"),
        Column("Current", lambda obj: _status(obj, "replicas"), "integer"),
        Column("Ready", lambda obj: _status(obj, "readyReplicas"), "integer"),
        AGE,
        Column("Containers", lambda obj: names(_containers(obj), "name"), priority=1),
        Column("Images", lambda obj: names(_containers(obj), "image"), priority=1),
        Column("Selector", selector, priority=1),
    )


REPLICATION_CONTROLLERS = Kind(
    *upstream("", "ReplicationController"),
    short_names=("rc",),
    categories=("all",),
    subresources=(SCALE, STATUS),
    strategy=ReplicationControllerStrategy(),
    columns=replica_columns(lambda obj: label_map(obj["spec"].get("selector"))),
)
