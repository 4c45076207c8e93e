"""Create the default service account of every active namespace (upstream: pkg/controller/serviceaccount).

Its tokens are no objects: the API server signs one for each pod that mounts it.
"""

from __future__ import annotations

from controllers.shared.context import ControllerContext
from controllers.shared.descriptor import ControllerDescriptor, WatchedKind
from controllers.shared.failures import namespace_terminating
from machinery.controller import Controller
from machinery.errors import AlreadyExists, Forbidden
from machinery.objects import Object
from machinery.policyrules import WRITE_EVENTS, can
from machinery.resources import NAMESPACES, SERVICE_ACCOUNTS, Resource

DEFAULT = "default"


def is_active(namespace: Object | None) -> bool:
    """Return True if the namespace exists and is not being deleted."""
    return namespace is not None and namespace.get("status", {}).get("phase", "Active") == "Active"


def ensure(context: ControllerContext, resource: Resource, obj: Object) -> None:
    """Create an object unless it exists, or its namespace is being deleted.

    Raises NotFound if the namespace is gone; the queue's next try finds out whether there is another of its name.
    """
    try:
        context.client.create(resource, obj)
    except AlreadyExists:
        return
    except Forbidden as error:
        if not namespace_terminating(error):
            raise


class ServiceAccountController:
    """Reconciles the default service account of each namespace."""

    def __init__(self, context: ControllerContext) -> None:
        self.context = context
        self.namespaces = context.informer(NAMESPACES)
        self.accounts = context.informer(SERVICE_ACCOUNTS)
        self.controller = Controller("serviceaccount", self.reconcile)
        self.controller.watch(self.namespaces)
        self.controller.requires(self.accounts)
        self.accounts.add_handler(self.account_changed)
        self.start = self.controller.start

    def account_changed(self, old: Object | None, new: Object | None) -> None:
        """Enqueue the namespace of a default account that was deleted, to create it again."""
        if new is None and old is not None and old["metadata"]["name"] == DEFAULT:
            self.controller.enqueue(old["metadata"]["namespace"])

    def reconcile(self, namespace: str) -> None:
        """Create the account if it is missing."""
        if not is_active(self.namespaces.get(namespace)) or self.accounts.get(f"{namespace}/{DEFAULT}") is not None:
            return
        meta = {"name": DEFAULT, "namespace": namespace}
        ensure(self.context, SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})


SERVICE_ACCOUNT = ControllerDescriptor(
    "serviceaccount-controller",
    ServiceAccountController,
    account="service-account-controller",
    rules=(can("create", "serviceaccounts"), WRITE_EVENTS),
    watches=(WatchedKind(NAMESPACES), WatchedKind(SERVICE_ACCOUNTS)),
    aliases=("serviceaccount",),
)
