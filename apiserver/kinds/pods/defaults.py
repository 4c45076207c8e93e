"""The fields of a pod and of a pod template that the API server fills in (upstream: pkg/apis/core/v1/defaults.go).

Some defaults are set in pods only, and not in templates: ``enableServiceLinks``, host ports, and requests from limits.
"""

from __future__ import annotations

from machinery import quantity
from machinery.objects import Object

DEFAULT_MODE = 0o644
TOKEN_SECONDS = 3600
CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE_DEFAULTS = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


def default_pod(pod: Object) -> None:
    """Fill in the defaults of a pod. Running it again changes nothing."""
    spec = pod.setdefault("spec", {})
    default_pod_spec(spec)
    for container in spec.get("initContainers", []) + spec.get("containers", []):
        _requests_from_limits(container)
    spec.setdefault("enableServiceLinks", True)
    if spec.get("hostNetwork"):
        for container in spec.get("initContainers", []) + spec.get("containers", []):
            for port in container.get("ports", ()):
                port["hostPort"] = port.get("hostPort") or port.get("containerPort", 0)


def default_pod_template(template: Object) -> None:
    """Fill in the defaults of a pod template, as in a ReplicationController."""
    template.setdefault("metadata", {}).setdefault("creationTimestamp", None)
    default_pod_spec(template.setdefault("spec", {}))


def default_pod_spec(spec: Object) -> None:
    """Fill in what pods and pod templates have in common."""
    spec["dnsPolicy"] = spec.get("dnsPolicy") or "ClusterFirst"
    spec["restartPolicy"] = spec.get("restartPolicy") or "Always"
    spec["schedulerName"] = spec.get("schedulerName") or "default-scheduler"
    spec.setdefault("securityContext", {})
    spec.setdefault("terminationGracePeriodSeconds", 30)
    set_service_account(spec, spec.get("serviceAccountName") or spec.get("serviceAccount") or "")
    for field in CONTAINER_LISTS:
        for container in spec.get(field, ()):
            _default_container(container)
    for volume in spec.get("volumes", ()):
        _default_volume(volume)
    if spec.get("overhead"):
        _canonical(spec["overhead"])


def set_service_account(spec: Object, name: str) -> None:
    """Set the ServiceAccount's name in both of its fields, of which the older one is for old clients."""
    if name:
        spec["serviceAccountName"] = spec["serviceAccount"] = name


def _default_container(container: Object) -> None:
    container["imagePullPolicy"] = container.get("imagePullPolicy") or pull_policy(container.get("image", ""))
    container["terminationMessagePath"] = container.get("terminationMessagePath") or "/dev/termination-log"
    container["terminationMessagePolicy"] = container.get("terminationMessagePolicy") or "File"
    resources = container.setdefault("resources", {})
    for field in ("limits", "requests"):
        if resources.get(field):
            _canonical(resources[field])
    for port in container.get("ports", ()):
        port["protocol"] = port.get("protocol") or "TCP"
    for variable in container.get("env", ()):
        _default_field_ref(variable.get("valueFrom", {}).get("fieldRef"))
        _default_resource_ref(variable.get("valueFrom", {}).get("resourceFieldRef"))
    for field in PROBES:
        if container.get(field) is not None:
            _default_probe(container[field])
    for hook in container.get("lifecycle", {}).values():
        _default_http_get(hook.get("httpGet"))


def pull_policy(image: str) -> str:
    """Return Always for the tag ``latest``, written or implied, and IfNotPresent for any other tag or a digest."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return "Always" if tag == "latest" or not (tag or digest) else "IfNotPresent"


def _default_probe(probe: Object) -> None:
    for field, value in _PROBE_DEFAULTS.items():
        probe[field] = probe.get(field) or value
    _default_http_get(probe.get("httpGet"))
    if probe.get("grpc") is not None:
        probe["grpc"].setdefault("service", "")


def _default_http_get(action: Object | None) -> None:
    if action is not None:
        action["path"] = action.get("path") or "/"
        action["scheme"] = action.get("scheme") or "HTTP"


def _default_field_ref(reference: Object | None) -> None:
    if reference is not None:
        reference["apiVersion"] = reference.get("apiVersion") or "v1"


def _default_resource_ref(reference: Object | None) -> None:
    if reference is not None:
        reference["divisor"] = _canonical_quantity(reference.get("divisor", "0"))


def _default_volume(volume: Object) -> None:
    sources = [field for field in volume if field != "name"]
    if not sources:
        volume["emptyDir"] = {}
    for field in ("configMap", "secret", "downwardAPI", "projected"):
        if volume.get(field) is not None:
            volume[field].setdefault("defaultMode", DEFAULT_MODE)
    if volume.get("hostPath") is not None:
        volume["hostPath"].setdefault("type", "")
    _default_downward(volume.get("downwardAPI"))
    for source in volume.get("projected", {}).get("sources", ()):
        _default_downward(source.get("downwardAPI"))
        if source.get("serviceAccountToken") is not None:
            source["serviceAccountToken"].setdefault("expirationSeconds", TOKEN_SECONDS)
    size = volume.get("emptyDir", {}).get("sizeLimit")
    if size is not None:
        volume["emptyDir"]["sizeLimit"] = _canonical_quantity(size)


def _default_downward(source: Object | None) -> None:
    for item in (source or {}).get("items", ()):
        _default_field_ref(item.get("fieldRef"))
        _default_resource_ref(item.get("resourceFieldRef"))


def _requests_from_limits(container: Object) -> None:
    limits = container["resources"].get("limits")
    if limits:
        requests = container["resources"].setdefault("requests", {})
        for name, amount in limits.items():
            requests.setdefault(name, amount)


def _canonical(amounts: Object) -> None:
    for name, amount in amounts.items():
        amounts[name] = _canonical_quantity(amount)


def _canonical_quantity(amount: str | int | float) -> str:
    """Return an amount in canonical form, or as it is if it is not a quantity: the schema refuses it."""
    try:
        return quantity.canonical(amount)
    except ValueError:
        return str(amount)
