"""All controllers in one process, over one set of informers."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from controllers.shared.context import Context
from controllers.shared.parallel import in_parallel
from machinery.client import Client

log = logging.getLogger(__name__)

# Seconds for events that still wait when the process ends.
CLOSING = 0.5
# Upstream's names, and where each is; imported only if it runs.
CONTROLLERS = {
    "serviceaccount-controller": "namespaces.serviceaccount:ServiceAccountController",
    "serviceaccount-token-controller": "namespaces.serviceaccounttokens:ServiceAccountTokens",
    "root-ca-certificate-publisher-controller": "namespaces.rootca:RootCAController",
    "replicationcontroller-controller": "workloads.replicationcontroller:ReplicationManager",
    "replicaset-controller": "workloads.replicaset:ReplicaSetController",
    "scheduler": "scheduler.scheduler:Scheduler",
    "endpointslice-controller": "services.endpointslice:EndpointSliceController",
    "endpoints-controller": "services.endpoints:EndpointsController",
    "endpointslice-mirroring-controller": "services.endpointslicemirroring:EndpointSliceMirroringController",
    "namespace-controller": "namespaces.namespace:NamespaceController",
    "node-lifecycle-controller": "nodes.nodelifecycle:NodeLifecycleController",
    "taint-eviction-controller": "nodes.tainteviction:TaintEvictionController",
    "resourcequota-controller": "namespaces.resourcequota:ResourceQuotaController",
    "certificatesigningrequest-signing-controller": "certificates.csrsigning:CertificateSigner",
    "certificatesigningrequest-approving-controller": "certificates.csrapproving:CertificateApprover",
    "certificatesigningrequest-cleaner-controller": "certificates.csrcleaner:CertificateCleaner",
    "pod-garbage-collector-controller": "nodes.podgc:PodGarbageCollector",
    "garbage-collector-controller": "garbagecollector.garbagecollector:GarbageCollector",
}
# The names that upstream had before, still understood.
ALIASES = {
    "serviceaccount": "serviceaccount-controller",
    "serviceaccount-token": "serviceaccount-token-controller",
    "root-ca-cert-publisher": "root-ca-certificate-publisher-controller",
    "replicationcontroller": "replicationcontroller-controller",
    "replicaset": "replicaset-controller",
    "endpointslice": "endpointslice-controller",
    "endpoint": "endpoints-controller",
    "endpointslicemirroring": "endpointslice-mirroring-controller",
    "namespace": "namespace-controller",
    "nodelifecycle": "node-lifecycle-controller",
    "resourcequota": "resourcequota-controller",
    "csrsigning": "certificatesigningrequest-signing-controller",
    "csrapproving": "certificatesigningrequest-approving-controller",
    "csrcleaner": "certificatesigningrequest-cleaner-controller",
    "podgc": "pod-garbage-collector-controller",
    "garbagecollector": "garbage-collector-controller",
}

# Without which option a controller does not run.
NEEDED_OPTIONS = {
    "root-ca-certificate-publisher-controller": "root_ca_file",
    "certificatesigningrequest-signing-controller": "cluster_signing_cert_file",
}


class Runnable(Protocol):
    """A controller that is wired and can be started."""

    def start(self, stop: threading.Event) -> None: ...


def selected(names: Iterable[str]) -> list[str]:
    """The controllers that ``--controllers`` asks for: ``*`` is all, ``-x`` is not x; raises ValueError for others."""
    asked = [(not name.startswith("-"), name.removeprefix("-")) for name in names if name]
    known = {name: on for on, name in ((on, ALIASES.get(name, name)) for on, name in asked) if name != "*"}
    if unknown := known.keys() - CONTROLLERS.keys():
        raise ValueError(
            f"no controller is called {', '.join(sorted(unknown))}; there are {', '.join(sorted(CONTROLLERS))}"
        )
    all_others = (True, "*") in asked
    return [name for name in CONTROLLERS if known.get(name, all_others)]


class Manager:
    """Builds and runs controllers."""

    def __init__(
        self, context: Context, names: Iterable[str], identity: Callable[[str], Client | None] = lambda name: None
    ) -> None:
        """``identity`` gives the client that a controller writes with, None for the process' own."""
        self.context = context
        self.contexts = [context]
        self._identity = identity
        self.running = {name: self._build(name) for name in names if self._possible(name)}

    def start(self, stop: threading.Event) -> None:
        """Starts informers and workers; returns at once."""
        self.context.informers.start(stop)
        for controller in self.running.values():
            controller.start(stop)
        log.info("running %s", ", ".join(self.running))

    def problem(self) -> str | None:
        """Why the process is not healthy: a kind that was never listed."""
        waiting = sorted({kind for context in self.contexts for kind in context.unsynced()})
        return f"waiting for the first list of {', '.join(waiting)}" if waiting else None

    def close(self) -> None:
        """Writes the events that still wait, as far as a moment suffices."""
        recorders = [recorder for context in self.contexts for recorder in context.recorders.values()]
        in_parallel([partial(recorder.close, CLOSING) for recorder in recorders], 16)

    def _possible(self, name: str) -> bool:
        option = NEEDED_OPTIONS.get(name)
        if option is not None and not getattr(self.context.options, option):
            log.warning("%s does not run: no --%s is given", name, option.replace("_", "-"))
            return False
        return True

    def _build(self, name: str) -> Runnable:
        module, _, cls = CONTROLLERS[name].partition(":")
        context, client = self.context, self._identity(name)
        if client is not None:
            context = self.context.acting_as(client)
            self.contexts.append(context)
        made: Runnable = getattr(importlib.import_module(f"controllers.{module}"), cls)(context)
        return made
