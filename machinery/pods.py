"""Questions about a pod that the API server, the controllers and the kubelet all ask. Pure.

A spec may be one that is not validated yet, so that containers may be missing; nulls may not stand in it.

Upstream: component-helpers/resource (requests and limits), pkg/apis/core/v1/helper/qos (ComputePodQOS) and
pkg/api/v1/pod (the visitors of names and containers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, TypeVar

from machinery.objects import Container, Object, PodSpec
from machinery.resourcelists import ResourceList, add, equal, larger, masked, parsed

# Plural of the kind, and name, of an object in the pod's namespace.
Reference = tuple[str, str]
Amounts = TypeVar("Amounts")

_COMPUTE = ("cpu", "memory")
# Kinds of volumes that name a Secret in secretRef.
_SECRET_REFS = ("cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos")


def every_container(spec: PodSpec, *, ephemeral: bool = False) -> Iterator[Container]:
    """Yield the init containers and the containers, and on demand the ephemeral ones, in upstream's order."""
    yield from spec.get("initContainers", ())
    yield from spec.get("containers", ())
    if ephemeral:
        yield from spec.get("ephemeralContainers", ())


def is_sidecar(container: Container) -> bool:
    """Return True for an init container that keeps running beside the others (a restartable init container)."""
    return container.get("restartPolicy") == "Always"


def total(
    spec: PodSpec,
    needs: Callable[[Container], Amounts],
    nothing: Amounts,
    plus: Callable[[Amounts, Amounts], Amounts],
    most: Callable[[Amounts, Amounts], Amounts],
) -> Amounts:
    """Return what the pod's containers need together, without its overhead.

    Init containers run one after the other, but beside the sidecars that precede them: what counts is the sum of
    containers and sidecars, or what an init container needs while it runs if that is more. ``needs`` gives one
    container's amounts by resource, ``plus`` and ``most`` combine two of those.
    """
    running = nothing
    for container in spec.get("containers", ()):
        running = plus(running, needs(container))
    sidecars = peak = nothing
    for container in spec.get("initContainers", ()):
        own = needs(container)
        peak = most(peak, plus(sidecars, own))
        if is_sidecar(container):
            sidecars = plus(sidecars, own)
    return most(plus(running, sidecars), peak)


def pod_total(spec: PodSpec, field: Literal["requests", "limits"]) -> ResourceList:
    """Return the requests or limits of a pod's containers together, without its overhead."""

    def stated(container: Container) -> ResourceList:
        return parsed(container.get("resources", {}).get(field))

    return total(spec, stated, {}, add, larger)


def qos_class(spec: PodSpec) -> str:
    """Return the quality of service class, from requests and limits of cpu and memory.

    Guaranteed: every container limits both, and each request equals its limit. BestEffort: no container has a request
    or limit. Burstable: all others.
    """
    requests: ResourceList = {}
    limits: ResourceList = {}
    limited = True
    for container in every_container(spec):
        resources = container.get("resources", {})
        limit = _positive(resources.get("limits", {}))
        requests = add(requests, _positive(resources.get("requests", {})))
        limits = add(limits, limit)
        limited = limited and set(limit) == set(_COMPUTE)
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if limited and equal(requests, masked(limits, requests)) else "Burstable"


def _positive(quantities: Mapping[str, str]) -> ResourceList:
    compute = {name: quantities[name] for name in _COMPUTE if name in quantities}
    return {name: quantity for name, quantity in parsed(compute).items() if quantity.amount > 0}


def references(spec: PodSpec) -> set[Reference]:
    """Return the objects of its namespace that a pod refers to: its service account, Secrets, ConfigMaps and claims."""
    found = {("serviceaccounts", spec.get("serviceAccountName", ""))}
    found.update(("secrets", secret.get("name", "")) for secret in spec.get("imagePullSecrets", ()))
    for volume in spec.get("volumes", ()):
        found.update(_of_volume(volume))
    for container in every_container(spec, ephemeral=True):
        found.update(_of_container(container))
    return {reference for reference in found if reference[1]}


def _of_volume(volume: Object) -> Iterator[Reference]:
    if claim := volume.get("persistentVolumeClaim"):
        yield "persistentvolumeclaims", claim.get("claimName", "")
    if config_map := volume.get("configMap"):
        yield "configmaps", config_map.get("name", "")
    for source in ("secret", "azureFile"):
        if secret := volume.get(source):
            yield "secrets", secret.get("secretName", "")
    for source in _SECRET_REFS:
        yield from _of_ref("secrets", volume.get(source, {}).get("secretRef"))
    yield from _of_ref("secrets", volume.get("csi", {}).get("nodePublishSecretRef"))
    for source in volume.get("projected", {}).get("sources", ()):
        yield from _of_ref("secrets", source.get("secret"))
        yield from _of_ref("configmaps", source.get("configMap"))


def _of_container(container: Container) -> Iterator[Reference]:
    for source in container.get("envFrom", ()):
        yield from _of_ref("secrets", source.get("secretRef"))
        yield from _of_ref("configmaps", source.get("configMapRef"))
    for variable in container.get("env", ()):
        value = variable.get("valueFrom", {})
        yield from _of_ref("secrets", value.get("secretKeyRef"))
        yield from _of_ref("configmaps", value.get("configMapKeyRef"))


def _of_ref(resource: str, ref: Object | None) -> Iterator[Reference]:
    if ref:
        yield resource, ref.get("name", "")
