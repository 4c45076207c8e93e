"""Creates and repairs what must exist: the system namespaces, and the Service through which pods reach the API server.

Upstream's controllers ``systemnamespaces`` and ``kubernetesservice`` (pkg/controlplane/controller). Features add steps
of their own. All steps run again when an object changes that one of them is concerned with, and every ``RESYNC``
seconds.
"""

from __future__ import annotations

import copy
import ipaddress
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from apiserver.config import Config
from apiserver.kinds.endpoints import ENDPOINTS
from apiserver.kinds.endpointslices import ENDPOINT_SLICES
from apiserver.kinds.namespaces import NAMESPACES
from apiserver.model.item import Item
from apiserver.model.kind import Kind
from apiserver.registry.rest import Rest
from apiserver.registry.writerequest import own_write
from machinery.errors import AlreadyExists, Conflict, Invalid
from machinery.objects import Object

log = logging.getLogger(__name__)

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
SERVICE = "kubernetes"
RESYNC = 60.0


class BootstrapStep(Protocol):
    """One part of what must be there before the server calls itself ready."""

    def concerns(self, key: str) -> bool:
        """Return whether a change of this key of the store may leave something to do."""

    def run(self) -> None:
        """Do what there is to do. Raises ApiError or StoreError when that failed, and is run again then."""


class Bootstrap:
    """Runs all steps, in their order, and then calls ``done``."""

    def __init__(self, steps: Iterable[BootstrapStep], done: Callable[[], None]) -> None:
        self._steps = tuple(steps)
        self._done = done

    def concerns(self, key: str) -> bool:
        """Return whether a change of this key may leave something to do."""
        return any(step.concerns(key) for step in self._steps)

    def sync(self) -> None:
        """Run the steps. Raises ApiError or StoreError when one could not be done."""
        for step in self._steps:
            step.run()
        self._done()


class OwnObjects:
    """Keeps objects as the server wants them: makes those that are missing, and restores what was changed in them.

    With ``restore`` off, an object is the users' own as soon as it is there.
    """

    def __init__(self, rest: Rest, wanted: Iterable[tuple[Kind, Object]], *, restore: bool = True) -> None:
        self._rest = rest
        self._wanted = tuple(wanted)
        self._restore = restore
        self._keys = frozenset(
            kind.key(obj["metadata"].get("namespace", ""), obj["metadata"]["name"]) for kind, obj in self._wanted
        )

    def concerns(self, key: str) -> bool:
        return self._restore and key in self._keys

    def run(self) -> None:
        for kind, obj in self._wanted:
            self._ensure(kind, obj)

    def _ensure(self, kind: Kind, wanted: Object) -> None:
        found = self._create_missing(kind, wanted)
        if self._restore and found is not None and not covers(found.object, wanted):
            meta = wanted["metadata"]
            namespace, name = meta.get("namespace", ""), meta["name"]
            try:
                self._rest.modify(own_write(kind, namespace, name), lambda old: {**old, **_parts(wanted)})
                log.info("put %s %s right again", kind.kind, name)
            except Conflict:
                return  # Another worker has repaired it.

    def _create_missing(self, kind: Kind, wanted: Object) -> Item | None:
        """Create the object unless it exists; return the existing one, None if it was created."""
        meta = wanted["metadata"]
        namespace, name = meta.get("namespace", ""), meta["name"]
        key = kind.key(namespace, name)
        found = self._rest.cache.get(kind.prefix, key)
        if found is None:
            try:
                self._rest.create(own_write(kind, namespace, name), copy.deepcopy(wanted))
                log.info("created %s %s", kind.kind, name)
            except (AlreadyExists, Invalid):
                # Another worker was faster. Which of the two it is depends on how far it has come: a Service's
                # address is asked for before its name.
                if self._rest.store.get(key) is None:
                    raise
        return found


def wanted_objects(config: Config, services: Kind) -> Iterator[tuple[Kind, Object]]:
    """Yield the objects as they should be, the namespaces first."""
    for name in SYSTEM_NAMESPACES:
        yield _object(NAMESPACES, {"name": name})
    vip = str(ipaddress.ip_network(config.service_cluster_ip_range)[1])
    port = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": config.secure_port}
    spec = {"type": "ClusterIP", "clusterIP": vip, "clusterIPs": [vip], "sessionAffinity": "None", "ports": [port]}
    yield _object(services, _metadata({"component": "apiserver", "provider": "kubernetes"}), spec=spec)
    address = config.advertise_address
    if ipaddress.ip_address(address).is_loopback:
        return  # as upstream, no endpoint may be one: a pod would reach itself
    endpoint = {"name": "https", "port": config.secure_port, "protocol": "TCP"}
    # The mirroring controller leaves these Endpoints alone, because their slice is the next object.
    metadata = _metadata({"endpointslice.kubernetes.io/skip-mirror": "true"})
    yield _object(ENDPOINTS, metadata, subsets=[{"addresses": [{"ip": address}], "ports": [endpoint]}])
    yield _object(
        ENDPOINT_SLICES,
        _metadata({"kubernetes.io/service-name": SERVICE}),
        addressType="IPv6" if ":" in address else "IPv4",
        endpoints=[{"addresses": [address], "conditions": {"ready": True}}],
        ports=[endpoint],
    )


def _object(kind: Kind, metadata: Object, **parts: Any) -> tuple[Kind, Object]:
    return kind, {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata, **parts}


def _metadata(labels: Object) -> Object:
    return {"name": SERVICE, "namespace": "default", "labels": labels}


def covers(found: object, wanted: object) -> bool:
    """Return whether ``found`` has all that ``wanted`` has; the rest is defaults and users' labels."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(key in found and covers(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(covers, found, wanted))
    return found == wanted


def _parts(wanted: Object) -> Object:
    return {key: value for key, value in copy.deepcopy(wanted).items() if key != "metadata"}
