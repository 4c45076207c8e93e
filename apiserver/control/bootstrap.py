"""Creates and repairs what must exist: the system namespaces, and the Service through which pods reach the API server.

Upstream's controllers ``systemnamespaces`` and ``kubernetesservice`` (pkg/controlplane/controller). The system's
priority classes are created if they are missing, and not changed otherwise. It runs again when one of its objects
changes, and every RESYNC seconds.
"""

from __future__ import annotations

import copy
import ipaddress
import logging
from collections.abc import Callable, Iterator

from apiserver.config import Config
from apiserver.control import projects
from apiserver.control.policykeeper import PolicyKeeper
from apiserver.kinds.endpoints import ENDPOINTS
from apiserver.kinds.endpointslices import ENDPOINT_SLICES
from apiserver.kinds.namespaces import NAMESPACES
from apiserver.kinds.priorityclasses import PRIORITY_CLASSES, SYSTEM_CLASSES
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


class Bootstrap:
    """Writes the objects with ``sync``, and calls ``done`` each time that all of them are there."""

    def __init__(
        self, rest: Rest, config: Config, services: Kind, keeper: PolicyKeeper, done: Callable[[], None]
    ) -> None:
        self._rest = rest
        self._keeper = keeper
        self._wanted = list(wanted_objects(config, services))
        self._initial = list(initial_objects())
        self._done = done
        self._keys = frozenset(
            kind.key(obj["metadata"].get("namespace", ""), obj["metadata"]["name"]) for kind, obj in self._wanted
        )

    def concerns(self, key: str) -> bool:
        """Return whether a change of this key may leave something to do."""
        return key in self._keys or self._keeper.concerns(key)

    def sync(self) -> None:
        """Write what is missing or wrong. Raises ApiError or StoreError."""
        for kind, obj in self._wanted:
            self._ensure(kind, obj)
        for kind, obj in self._initial:
            self._create_missing(kind, obj)
        self._keeper.run()
        projects.complete_all(self._rest)
        self._done()

    def _ensure(self, kind: Kind, wanted: Object) -> None:
        found = self._create_missing(kind, wanted)
        if found is not None and not covers(found.object, wanted):
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
                self._rest.create(own_write(kind, namespace, name), _copy(wanted))
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
        yield NAMESPACES, {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}}
    vip = str(ipaddress.ip_network(config.service_cluster_ip_range)[1])
    labels = {"component": "apiserver", "provider": "kubernetes"}
    port = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": config.secure_port}
    yield (
        services,
        {
            "kind": "Service",
            "apiVersion": "v1",
            "metadata": {"name": SERVICE, "namespace": "default", "labels": labels},
            "spec": {
                "type": "ClusterIP",
                "clusterIP": vip,
                "clusterIPs": [vip],
                "sessionAffinity": "None",
                "ports": [port],
            },
        },
    )
    address = config.advertise_address
    if ipaddress.ip_address(address).is_loopback:
        return  # as upstream, no endpoint may be one: a pod would reach itself
    endpoint = {"name": "https", "port": config.secure_port, "protocol": "TCP"}
    yield (
        ENDPOINTS,
        {
            "kind": "Endpoints",
            "apiVersion": "v1",
            # The mirroring controller leaves it alone: its slice is the next one.
            "metadata": {
                "name": SERVICE,
                "namespace": "default",
                "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
            },
            "subsets": [{"addresses": [{"ip": address}], "ports": [endpoint]}],
        },
    )
    yield (
        ENDPOINT_SLICES,
        {
            "kind": "EndpointSlice",
            "apiVersion": "discovery.k8s.io/v1",
            "metadata": {"name": SERVICE, "namespace": "default", "labels": {"kubernetes.io/service-name": SERVICE}},
            "addressType": "IPv6" if ":" in address else "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": [endpoint],
        },
    )


def initial_objects() -> Iterator[tuple[Kind, Object]]:
    """Yield the objects that a cluster begins with, and that users may change."""
    for name, (value, description) in SYSTEM_CLASSES.items():
        metadata = {"name": name}
        identity = {"kind": PRIORITY_CLASSES.kind, "apiVersion": PRIORITY_CLASSES.api_version}
        yield PRIORITY_CLASSES, {**identity, "metadata": metadata, "value": value, "description": description}


def covers(found: object, wanted: object) -> bool:
    """Return whether ``found`` has all that ``wanted`` has; the rest is defaults and users' labels."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(key in found and covers(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(covers, found, wanted))
    return found == wanted


def _parts(wanted: Object) -> Object:
    return {key: value for key, value in _copy(wanted).items() if key != "metadata"}


def _copy(obj: Object) -> Object:
    return copy.deepcopy(obj)
