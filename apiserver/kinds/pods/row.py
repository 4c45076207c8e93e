"""The rows of Pods and of Bindings, which assign pods to nodes (upstream: pkg/registry/core/pod)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apiserver.kinds.cells import AGE, NAME, NONE
from apiserver.kinds.pods import columns
from apiserver.kinds.pods.defaults import default_pod
from apiserver.kinds.pods.update import validate_new_pod, validate_pod_change, validate_pod_status_change
from apiserver.kinds.pods.warnings import name_warnings, pod_warnings
from apiserver.kinds.strategies import StatusStrategy, restore
from apiserver.kinds.subresources import STATUS
from apiserver.kinds.subresources.binding import BINDING
from apiserver.model import checks
from apiserver.model.kind import Column, Kind
from apiserver.schema.codec import UpstreamCodec, upstream
from machinery.objects import Object, is_pod_terminal, now
from machinery.pods import qos_class

_BUT_STATUS: Mapping[str, Any] = {"f:spec": {}, "f:metadata": {"f:deletionTimestamp": {}, "f:ownerReferences": {}}}


class PodStrategy(StatusStrategy):
    return_deleted = True

    def default(self, obj: Object) -> None:
        default_pod(obj)

    def reset_fields(self, subresource: str) -> Mapping[str, Any]:
        return _BUT_STATUS if subresource == "status" else super().reset_fields(subresource)

    def prepare_create(self, obj: Object) -> None:
        obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj["spec"])}
        if obj["spec"].get("schedulingGates"):
            obj["status"]["conditions"] = [_gated()]

    def validate(self, obj: Object) -> checks.Errors:
        return validate_new_pod(obj)

    def validate_update(self, new: Object, old: Object) -> checks.Errors:
        return validate_pod_change(new, old)

    def prepare_status_update(self, new: Object, old: Object) -> None:
        super().prepare_status_update(new, old)
        restore(new["metadata"], "ownerReferences", old["metadata"])
        status, before = new.setdefault("status", {}), old.get("status", {})
        if not status.get("qosClass") and before.get("qosClass"):
            status["qosClass"] = before["qosClass"]
        for single, several in (("podIP", "podIPs"), ("hostIP", "hostIPs")):
            if status.get(single) and not status.get(several):
                status[several] = [{"ip": status[single]}]

    def validate_status_update(self, new: Object, old: Object) -> checks.Errors:
        return validate_pod_status_change(new, old)

    def warnings(self, obj: Object, before: Object | None = None) -> list[str]:
        name = obj["metadata"].get("name", "")
        return [*(name_warnings(name, "the Pod's hostname") if before is None else ()), *pod_warnings("", obj)]

    def fields(self, obj: Object) -> Mapping[str, str]:
        spec, status = obj.get("spec", {}), obj.get("status", {})
        return {
            "spec.nodeName": spec.get("nodeName", ""),
            "spec.host": spec.get("nodeName", ""),  # the name of the field before v1
            "spec.restartPolicy": spec.get("restartPolicy", ""),
            "spec.schedulerName": spec.get("schedulerName", ""),
            "spec.serviceAccountName": spec.get("serviceAccountName", ""),
            "spec.hostNetwork": str(bool(spec.get("hostNetwork"))).lower(),
            "status.phase": status.get("phase", ""),
            "status.podIP": status.get("podIP", ""),
            "status.podIPs": "",  # upstream accepts the name, but has no value for it
            "status.nominatedNodeName": status.get("nominatedNodeName", ""),
        }

    def graceful_period(self, obj: Object, requested: int | None) -> int:
        """Return 0 if no kubelet must stop the pod: it is on no node, or has ended (upstream: CheckGracefulDelete)."""
        spec = obj["spec"]
        if not spec.get("nodeName") or is_pod_terminal(obj):
            return 0
        period = spec.get("terminationGracePeriodSeconds") or 0 if requested is None else requested
        return 1 if period < 0 else int(period)


def _gated() -> Object:
    """Return the condition of a pod that the scheduler leaves alone until its scheduling gates are removed."""
    return {
        "type": "PodScheduled",
        "status": "False",
        "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
        "lastProbeTime": None,
        "lastTransitionTime": now(),
    }


PODS = Kind(
    *upstream("", "Pod"),
    short_names=("po",),
    categories=("all",),
    subresources=(BINDING, STATUS),
    strategy=PodStrategy(),
    columns=(
        NAME,
        Column("Ready", columns.ready, description="The aggregate readiness state of this pod for accepting traffic."),
        Column("Status", columns.reason, description="The aggregate status of the containers in this pod."),
        Column("Restarts", columns.restarts, description="How often the containers in this pod have been restarted."),
        AGE,
        Column("IP", columns.ip, priority=1),
        Column("Node", lambda obj: obj["spec"].get("nodeName") or NONE, priority=1),
        Column("Nominated Node", lambda obj: obj.get("status", {}).get("nominatedNodeName") or NONE, priority=1),
        Column("Readiness Gates", columns.readiness_gates, priority=1),
    ),
)

BINDINGS = Kind("", "v1", "Binding", "bindings", UpstreamCodec("io.k8s.api.core.v1.Binding"), verbs=("create",))
