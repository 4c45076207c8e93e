"""What a controller tells the manager about itself; each controller's module ends with one such value.

Upstream's counterpart is ControllerDescriptor (cmd/kube-controller-manager/app/controllermanager.go).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from controllers.shared.context import ControllerContext
from controllers.shared.monitors import Monitors
from controllers.shared.options import ControllerOptions
from machinery.client import Client
from machinery.informer import Indexer, Informers
from machinery.policyrules import Rule
from machinery.resources import Resource

# An account that is no service account, but the user of --scheduler-kubeconfig.
SCHEDULER_USER = "system:kube-scheduler"


class Runnable(Protocol):
    """A controller that has been built and can be started."""

    def start(self, stop: threading.Event) -> None: ...


@dataclass(frozen=True)
class WatchedKind:
    """A kind whose informer a controller reads.

    ``indexers`` maps the names of indexes to their functions, as those in ``indexes.py`` do. With a ``field_selector``
    the informer has only the objects that it selects, and is shared with those who name the same selector.
    """

    resource: Resource
    indexers: Mapping[str, Indexer] | None = None
    field_selector: str = ""


@dataclass(frozen=True)
class ControllerDescriptor:
    """One controller: its name, its rights, what it watches and how it is built.

    ``account`` is the service account in kube-system that it writes as, ``rules`` are what the account's ClusterRole
    ``system:controller:ACCOUNT`` allows; after a change of either run ``make controllerroles``.
    Controllers that share an account add up their rules. An empty account is the identity of the process.
    Informers are shared by all controllers and read with the identity of the process, so what is only watched needs no
    rule here; upstream's roles mostly have one all the same.

    ``watches_everything`` gives it ``context.monitors``, the watches on all kinds. ``needs_option`` names the field of
    ``ControllerOptions`` without which it does not run. ``aliases`` are names that upstream used before.
    """

    name: str
    new: Callable[[ControllerContext], Runnable]
    account: str = ""
    rules: tuple[Rule, ...] = ()
    watches: tuple[WatchedKind, ...] = ()
    watches_everything: bool = False
    needs_option: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """The path of the module that declares it, for messages."""
        return self.new.__module__.replace(".", "/") + ".py"

    @property
    def role(self) -> str:
        """The name of the ClusterRole with its rules; empty without an account."""
        if not self.account or self.account.startswith("system:"):
            return self.account
        return f"system:controller:{self.account}"

    def context(
        self,
        client: Client,
        informers: Informers,
        options: ControllerOptions | None = None,
        monitors: Monitors | None = None,
    ) -> ControllerContext:
        """Return what the controller is built with: of the shared things, those that it declares."""
        declared = {
            watch.resource: informers.of(watch.resource, field_selector=watch.field_selector, indexers=watch.indexers)
            for watch in self.watches
        }
        everything = monitors if self.watches_everything else None
        return ControllerContext(self.name, self.file, client, options or ControllerOptions(), declared, everything)
