"""Publish the API server's certificate authority in every namespace, as a ConfigMap that pods can mount.

Upstream: pkg/controller/certificates/rootcacertpublisher.
"""

from __future__ import annotations

from pathlib import Path

from controllers.namespaces.serviceaccount import ensure, is_active
from controllers.shared.context import ControllerContext
from controllers.shared.descriptor import ControllerDescriptor, WatchedKind
from machinery.controller import Controller
from machinery.objects import Object
from machinery.policyrules import WRITE_EVENTS, can
from machinery.resources import CONFIG_MAPS, NAMESPACES

NAME = "kube-root-ca.crt"
FILE = "ca.crt"


class RootCAController:
    """Reconciles the ConfigMap of each namespace."""

    def __init__(self, context: ControllerContext) -> None:
        self.context = context
        self.data = {FILE: Path(context.options.root_ca_file).read_text()}
        self.namespaces = context.informer(NAMESPACES)
        self.published = context.informer(CONFIG_MAPS)
        self.controller = Controller("rootca", self.reconcile)
        self.controller.watch(self.namespaces)
        self.controller.watch(self.published, lambda published: str(published["metadata"]["namespace"]))
        self.start = self.controller.start

    def reconcile(self, namespace: str) -> None:
        """Create the ConfigMap, or restore its data if somebody changed it."""
        if not is_active(self.namespaces.get(namespace)):
            return
        published = self.published.get(f"{namespace}/{NAME}")
        if published is None:
            ensure(self.context, CONFIG_MAPS, self.wanted(namespace))
        elif published.get("data") != self.data:
            self.context.client.update(CONFIG_MAPS, {**published, "data": self.data})

    def wanted(self, namespace: str) -> Object:
        """Return the ConfigMap for a namespace."""
        meta = {"name": NAME, "namespace": namespace}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": self.data}


ROOT_CA = ControllerDescriptor(
    "root-ca-certificate-publisher-controller",
    RootCAController,
    account="root-ca-cert-publisher",
    rules=(can("create update", "configmaps"), WRITE_EVENTS),
    watches=(WatchedKind(NAMESPACES), WatchedKind(CONFIG_MAPS, field_selector=f"metadata.name={NAME}")),
    needs_option="root_ca_file",
    aliases=("root-ca-cert-publisher",),
)
