"""Build and run the selected controllers in one process, over one set of informers.

The manager makes the informers that the controllers declare, and gives each controller those and a client with its own
identity. If the API server refuses the first list of a kind, because it does not serve the kind or because the process
may not list it, no controller that needs the kind could ever work. So the manager stops, and ``fault`` says which
controller it was and where to look.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial

from controllers.shared.descriptor import ControllerDescriptor, Runnable
from controllers.shared.monitors import Monitors
from controllers.shared.options import ControllerOptions
from controllers.shared.parallel import in_parallel
from machinery.client import Client
from machinery.errors import ApiError, Forbidden, NotFound
from machinery.informer import Informer, Informers
from machinery.resources import Resource

log = logging.getLogger(__name__)

# Seconds that events which still wait are given when the process ends.
CLOSING = 0.5
# In so many seconds a new cluster's API server writes its roles; until then it may answer 403 to anything.
ROLES_WRITTEN = 10.0

ClientOf = Callable[[ControllerDescriptor], Client | None]


def process_identity(row: ControllerDescriptor) -> None:
    """Let every controller write with the identity of the process (the default of ``Manager``)."""


class Manager:
    """The controllers of one process. ``fault`` is set before ``stop``, if they cannot work at all."""

    def __init__(
        self,
        client: Client,
        rows: Iterable[ControllerDescriptor],
        options: ControllerOptions | None = None,
        identity: ClientOf = process_identity,
    ) -> None:
        """Build the controllers. ``identity`` gives the client that one writes with, None for ``client``."""
        options = options or ControllerOptions()
        self.rows = [row for row in rows if _has_its_option(row, options)]
        self.fault = ""
        self._stop = threading.Event()
        self._started = 0.0
        self._informers = Informers(client, on_refused=self._refused)
        whole = {watch.resource for row in self.rows for watch in row.watches if not watch.field_selector}
        monitors = Monitors(client, self._informers, whole)
        self._contexts = {
            row.name: row.context(identity(row) or client, self._informers, options, monitors) for row in self.rows
        }
        self.running: dict[str, Runnable] = {row.name: row.new(self._contexts[row.name]) for row in self.rows}

    def start(self, stop: threading.Event) -> None:
        """Start informers and workers, and return at once. A fault sets ``stop``."""
        self._stop = stop
        self._started = time.monotonic()
        self._informers.start(stop)
        for controller in self.running.values():
            controller.start(stop)
        log.info("running %s", ", ".join(self.running))

    def problem(self) -> str | None:
        """Return why the process is not healthy: which kinds were never listed; None if it is."""
        waiting = sorted({each.resource.plural for each in self._declared() if not each.synced})
        return f"waiting for the first list of {', '.join(waiting)}" if waiting else None

    def close(self) -> None:
        """Write the events that still wait, as far as ``CLOSING`` seconds suffice."""
        recorders = [recorder for context in self._contexts.values() for recorder in context.recorders.values()]
        in_parallel([partial(recorder.close, CLOSING) for recorder in recorders], 16)

    def _declared(self) -> list[Informer]:
        return [informer for context in self._contexts.values() for informer in context.informers.values()]

    def _refused(self, resource: Resource, error: ApiError) -> None:
        """Stop everything, with a sentence, if the first list of a kind is refused for good."""
        if isinstance(error, Forbidden) and time.monotonic() - self._started < ROLES_WRITTEN:
            return
        if self.fault or not isinstance(error, NotFound | Forbidden):
            return
        row = next((row for row in self.rows if resource in [watch.resource for watch in row.watches]), None)
        if row is None:
            return
        self.fault = not_served(row, resource) if isinstance(error, NotFound) else not_allowed(row, resource, error)
        log.critical("%s", self.fault)
        self._stop.set()


def not_served(row: ControllerDescriptor, resource: Resource) -> str:
    return (
        f"{row.name} watches {resource.name}, which the API server does not serve in {resource.api_version}: "
        f"add the kind's row to apiserver/kinds/rows.py or to a feature in apiserver/features/, start the API server "
        f"with that feature (--features), or take the watch out of {row.file}"
    )


def not_allowed(row: ControllerDescriptor, resource: Resource, error: ApiError) -> str:
    return (
        f"{row.name} watches {resource.name} (declared in {row.file}), and this process may not: {error}. "
        f"Its role is system:kube-controller-manager in apiserver/authorization/defaults.py"
    )


def _has_its_option(row: ControllerDescriptor, options: ControllerOptions) -> bool:
    if row.needs_option and not getattr(options, row.needs_option):
        log.warning("%s does not run: no --%s is given", row.name, row.needs_option.replace("_", "-"))
        return False
    return True
