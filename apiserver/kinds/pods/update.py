"""Checks of a whole pod, and of what may change in one.

Upstream: ValidatePodCreate, ValidatePodUpdate and ValidatePodStatusUpdate.
"""

from __future__ import annotations

import copy

import orjson

from apiserver.kinds.pods.spec import validate_pod_spec, validate_tolerations
from apiserver.model import checks
from machinery.errors import FieldError
from machinery.objects import Object
from machinery.validation import in_range

MIRROR = "kubernetes.io/config.mirror"
PADDED = "must not have leading or trailing whitespace"
CHANGEABLE = (
    "`spec.containers[*].image`",
    "`spec.initContainers[*].image`",
    "`spec.activeDeadlineSeconds`",
    "`spec.tolerations` (only additions to existing tolerations)",
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
)


def validate_pod(pod: Object) -> checks.Errors:
    """Check everything about a pod that does not depend on an older one."""
    spec, annotations = pod["spec"], pod["metadata"].get("annotations", {})
    if MIRROR in annotations and not spec.get("nodeName"):
        why = "must set spec.nodeName if mirror pod annotation is set"
        yield FieldError.invalid(f"metadata.annotations[{MIRROR}]", annotations[MIRROR], why)
    yield from validate_pod_spec("spec", spec, is_pod=True)
    if not spec.get("serviceAccountName"):
        yield from _refuse_tokens(spec)
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field, ())):
            image = container.get("image", "")
            if image != image.strip():
                yield FieldError.invalid(f"spec.{field}[{index}].image", image, PADDED)


def _refuse_tokens(spec: Object) -> checks.Errors:
    for index, volume in enumerate(spec.get("volumes", ())):
        for position, source in enumerate(volume.get("projected", {}).get("sources", ())):
            if source.get("serviceAccountToken") is not None:
                path = f"spec.volumes[{index}].projected.sources[{position}].serviceAccountToken"
                yield FieldError.forbidden(path, "must not be specified when serviceAccountName is not set")


def validate_new_pod(pod: Object) -> checks.Errors:
    """Check a pod that is to be created."""
    yield from validate_pod(pod)
    if pod["spec"].get("ephemeralContainers"):
        yield FieldError.forbidden("spec.ephemeralContainers", "cannot be set on create")
    if pod["spec"].get("nodeName") and pod["spec"].get("schedulingGates"):
        yield FieldError.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")


def validate_pod_change(new: Object, old: Object) -> checks.Errors:
    """Check an update of a pod.

    It may change images, shorten the deadline, add tolerations and remove scheduling gates, and nothing else in the
    spec.
    """
    yield from validate_pod(new)
    yield from _validate_mirror(new, old)
    spec, before = new["spec"], old["spec"]
    for field in ("containers", "initContainers"):
        if len(spec.get(field, ())) != len(before.get(field, ())):
            yield FieldError.forbidden(f"spec.{field}", "pod updates may not add or remove containers")
            return
    deadline = list(_validate_deadline(spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")))
    yield from deadline
    if deadline and spec.get("activeDeadlineSeconds") is not None:
        return
    yield from _validate_tolerations(spec.get("tolerations", []), before.get("tolerations", []))
    yield from _validate_gates(spec.get("schedulingGates", []), before.get("schedulingGates", []))
    unchanged = _with_changeable_of(spec, before)
    if unchanged != before:
        listed = ",".join(CHANGEABLE)
        why = f"pod updates may not change fields other than {listed}\n{checks.difference(before, unchanged)}"
        yield FieldError.forbidden("spec", why)


def _validate_mirror(new: Object, old: Object) -> checks.Errors:
    mirror = new["metadata"].get("annotations", {}).get(MIRROR)
    before = old["metadata"].get("annotations", {}).get(MIRROR)
    if mirror != before:
        verb = "add" if before is None else "remove or update"
        yield FieldError.forbidden(f"metadata.annotations[{MIRROR}]", f"may not {verb} mirror pod annotation")


def _validate_deadline(new: int | None, old: int | None) -> checks.Errors:
    path = "spec.activeDeadlineSeconds"
    if new is not None:
        if not 0 <= new <= checks.MAX_INT32:
            yield FieldError.invalid(path, new, in_range(0, checks.MAX_INT32))
        elif old is not None and old < new:
            yield FieldError.invalid(path, new, "must be less than or equal to previous value")
    elif old is not None:
        yield FieldError.invalid(path, None, "must not update from a positive integer to nil value")


def _validate_tolerations(new: list[Object], old: list[Object]) -> checks.Errors:
    def timeless(toleration: Object) -> bytes:
        kept = {field: value for field, value in toleration.items() if field != "tolerationSeconds"}
        return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS)

    kept = {timeless(toleration) for toleration in new}
    if any(timeless(toleration) not in kept for toleration in old):
        why = "existing toleration can not be modified except its tolerationSeconds"
        yield FieldError.forbidden("spec.tolerations", why)
    else:
        yield from validate_tolerations("spec.tolerations", new)


def _validate_gates(new: list[Object], old: list[Object]) -> checks.Errors:
    known = {gate["name"] for gate in old}
    for index, gate in enumerate(new):
        if gate["name"] not in known:
            why = f"only deletion is allowed, but found new scheduling gate '{gate['name']}'"
            yield FieldError.forbidden(f"spec.schedulingGates[{index}].name", why)


def _with_changeable_of(new: Object, old: Object) -> Object:
    """Return the new spec with the old values of fields that may change: it equals the old spec if nothing else has."""
    spec = copy.deepcopy(new)
    for field in ("containers", "initContainers"):
        for container, before in zip(spec.get(field, ()), old.get(field, ()), strict=True):
            container["image"] = before.get("image")
    for field in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        if field in old:
            spec[field] = old[field]
        else:
            spec.pop(field, None)
    grace = old.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        spec["terminationGracePeriodSeconds"] = grace
    return spec


def validate_pod_status_change(new: Object, old: Object) -> checks.Errors:
    """Check a write to the status: containers that have terminated stay so, and addresses are valid."""
    yield from _validate_mirror(new, old)
    status, before = new.get("status", {}), old.get("status", {})
    for index, condition in enumerate(status.get("conditions", ())):
        if condition.get("type") not in ("PodScheduled", "Ready", "Initialized"):
            yield from checks.qualified_name(f"metadata.conditions[{index}].Type", condition.get("type", ""))
    nominated = status.get("nominatedNodeName")
    if nominated and nominated != before.get("nominatedNodeName"):
        yield from checks.subdomain("status.nominatedNodeName", nominated)
    yield from checks.immutable("status.qosClass", status.get("qosClass"), before.get("qosClass"))
    restart = old["spec"].get("restartPolicy")
    for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        policy = "Never" if field.startswith("ephemeral") else restart
        yield from _validate_transitions(field, status.get(field, []), before.get(field, []), policy, old["spec"])
    for field in ("podIPs", "hostIPs"):
        for index, entry in enumerate(status.get(field, ())):
            yield from checks.ip(f"status.{field}[{index}]", entry.get("ip", ""))


def _validate_transitions(
    field: str, new: list[Object], old: list[Object], policy: str | None, spec: Object
) -> checks.Errors:
    if policy == "Always":
        return
    sidecars = {c["name"] for c in spec.get("initContainers", ()) if c.get("restartPolicy") == "Always"}
    now_running = {status["name"] for status in new if not status.get("state", {}).get("terminated")}
    for index, status in enumerate(old):
        ended = status.get("state", {}).get("terminated")
        if not ended or (ended.get("exitCode") and policy == "OnFailure"):
            continue
        if field == "initContainerStatuses" and status["name"] in sidecars:
            continue
        if status["name"] in now_running:
            why = "may not be transitioned to non-terminated state"
            yield FieldError.forbidden(f"status.{field}[{index}].state", why)
