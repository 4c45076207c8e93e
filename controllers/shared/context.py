"""What controllers share: the client, one indexed informer a kind, event recorders and the options.

Informers are made on first use, so a controller that does not run costs no watch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import InitVar, dataclass, field
from functools import cached_property

from controllers.shared.monitors import Monitors
from machinery import resources
from machinery.client import Client
from machinery.events import EventRecorder
from machinery.informer import Informer, Informers
from machinery.objects import Object, controller_of
from machinery.resources import Resource

# Names of indexes, and the prefix of OWNER's entry for pods of a namespace that nobody manages.
NAMESPACE = "namespace"
NODE = "node"
OWNER = "owner"
ORPHANS = "orphans/"
SERVICE = "service"

# The label that ties an EndpointSlice to its Service.
SERVICE_NAME = "kubernetes.io/service-name"


@dataclass(frozen=True)
class Options:
    """What the command line says; durations in seconds. Defaults are upstream's."""

    root_ca_file: str = ""
    cluster_signing_cert_file: str = ""
    cluster_signing_key_file: str = ""
    cluster_signing_duration: float = 365 * 24 * 3600.0
    legacy_service_account_tokens: bool = False
    node_monitor_grace_period: float = 40.0
    terminated_pod_gc_threshold: int = 12500
    concurrent_gc_syncs: int = 4
    orphaned_pod_quarantine: float = 40.0


def by_namespace(obj: Object) -> Iterable[str]:
    """Index function: the namespace."""
    return (obj["metadata"].get("namespace", ""),)


def by_node(pod: Object) -> Iterable[str]:
    """Index function: the node of a bound pod."""
    node = pod["spec"].get("nodeName")
    return (node,) if node else ()


def by_owner(obj: Object) -> Iterable[str]:
    """Index function: the uid of the manager; orphans are found by namespace."""
    reference = controller_of(obj)
    return (reference["uid"] if reference else ORPHANS + obj["metadata"].get("namespace", ""),)


def service_key(slice: Object) -> str:
    """``namespace/name`` of the Service of an EndpointSlice; empty when it belongs to none."""
    name = (slice["metadata"].get("labels") or {}).get(SERVICE_NAME)
    return f"{slice['metadata']['namespace']}/{name}" if name else ""


def by_service(slice: Object) -> Iterable[str]:
    """Index function: the Service of an EndpointSlice."""
    return filter(None, [service_key(slice)])


@dataclass
class Context:
    """One process's worth of shared things."""

    client: Client
    informers: Informers
    options: Options = field(default_factory=Options)
    recorders: dict[str, EventRecorder] = field(default_factory=dict)
    monitors: Monitors = field(init=False)
    of: InitVar[Context | None] = None

    def __post_init__(self, of: Context | None) -> None:
        self.monitors = of.monitors if of else Monitors(self.client, self.informers)

    def acting_as(self, client: Client) -> Context:
        """What is read is shared; what is written, events included, is under the client's identity."""
        return Context(client, self.informers, self.options, of=self)

    def recorder(self, component: str) -> EventRecorder:
        """Records events in the name of one of upstream's components."""
        if component not in self.recorders:
            self.recorders[component] = EventRecorder(self.client, component)
        return self.recorders[component]

    def informer(self, resource: Resource) -> Informer:
        """The shared informer of any kind."""
        return self.informers.of(resource)

    def unsynced(self) -> list[str]:
        """The kinds in use that have not been listed yet."""
        made = [value for value in vars(self).values() if isinstance(value, Informer)]
        return [each.resource.plural for each in made if not each.synced]

    @cached_property
    def pods(self) -> Informer:
        indexers = {NAMESPACE: by_namespace, NODE: by_node, OWNER: by_owner}
        return self.informers.of(resources.PODS, indexers=indexers)

    @cached_property
    def services(self) -> Informer:
        return self.informers.of(resources.SERVICES, indexers={NAMESPACE: by_namespace})

    @cached_property
    def replication_controllers(self) -> Informer:
        return self.informers.of(resources.REPLICATION_CONTROLLERS, indexers={NAMESPACE: by_namespace})

    @cached_property
    def replica_sets(self) -> Informer:
        return self.informers.of(resources.REPLICA_SETS, indexers={NAMESPACE: by_namespace})

    @cached_property
    def endpoint_slices(self) -> Informer:
        return self.informers.of(resources.ENDPOINT_SLICES, indexers={SERVICE: by_service})

    @cached_property
    def endpoints(self) -> Informer:
        return self.informers.of(resources.ENDPOINTS)

    @cached_property
    def nodes(self) -> Informer:
        return self.informers.of(resources.NODES)

    @cached_property
    def namespaces(self) -> Informer:
        return self.informers.of(resources.NAMESPACES)

    @cached_property
    def service_accounts(self) -> Informer:
        return self.informers.of(resources.SERVICE_ACCOUNTS, indexers={NAMESPACE: by_namespace})

    @cached_property
    def resource_quotas(self) -> Informer:
        return self.informers.of(resources.RESOURCE_QUOTAS, indexers={NAMESPACE: by_namespace})

    @cached_property
    def leases(self) -> Informer:
        return self.informers.of(resources.LEASES)

    @cached_property
    def certificate_signing_requests(self) -> Informer:
        return self.informers.of(resources.CERTIFICATE_SIGNING_REQUESTS)
