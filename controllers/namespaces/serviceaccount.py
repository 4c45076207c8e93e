"""The default service account of every active namespace (upstream: pkg/controller/serviceaccount).

Its tokens are no objects: the API server signs them on request for the pod that mounts them.
"""

from __future__ import annotations

from controllers.shared.context import Context
from controllers.shared.descriptor import ControllerDescriptor, Watch
from controllers.shared.failures import namespace_terminating
from machinery.controller import Controller
from machinery.errors import AlreadyExists, Forbidden
from machinery.objects import Object
from machinery.policyrules import WRITE_EVENTS, can
from machinery.resources import NAMESPACES, SERVICE_ACCOUNTS, Resource

DEFAULT = "default"


def is_active(namespace: Object | None) -> bool:
    """It takes new objects."""
    return namespace is not None and namespace.get("status", {}).get("phase", "Active") == "Active"


def ensure(context: Context, resource: Resource, obj: Object) -> None:
    """Creates an object unless it exists, or its namespace takes no more.

    A namespace that has gone raises NotFound: the next try knows of it, and of one that came back meanwhile.
    """
    try:
        context.client.create(resource, obj)
    except AlreadyExists:
        return
    except Forbidden as error:
        if not namespace_terminating(error):
            raise


class ServiceAccountController:
    """Runs the reconciler over namespaces."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.namespaces = context.informer(NAMESPACES)
        self.accounts = context.informer(SERVICE_ACCOUNTS)
        self.controller = Controller("serviceaccount", self.reconcile)
        self.controller.watch(self.namespaces)
        self.controller.requires(self.accounts)
        self.accounts.add_handler(self.account_changed)
        self.start = self.controller.start

    def account_changed(self, old: Object | None, new: Object | None) -> None:
        """A deleted default account is made again."""
        if new is None and old is not None and old["metadata"]["name"] == DEFAULT:
            self.controller.enqueue(old["metadata"]["namespace"])

    def reconcile(self, namespace: str) -> None:
        """Makes the account if it is missing."""
        if not is_active(self.namespaces.get(namespace)) or self.accounts.get(f"{namespace}/{DEFAULT}") is not None:
            return
        meta = {"name": DEFAULT, "namespace": namespace}
        ensure(self.context, SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})


SERVICE_ACCOUNT = ControllerDescriptor(
    "serviceaccount-controller",
    ServiceAccountController,
    account="service-account-controller",
    rules=(can("create", "serviceaccounts"), WRITE_EVENTS),
    watches=(
        Watch(NAMESPACES),
        Watch(SERVICE_ACCOUNTS),
    ),
    aliases=("serviceaccount",),
)
