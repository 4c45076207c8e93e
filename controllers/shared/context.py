"""What one controller is built with: a client with its own identity, and the shared informers that it declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controllers.shared.monitors import Monitors
from controllers.shared.options import ControllerOptions
from machinery.client import Client
from machinery.events import EventRecorder
from machinery.informer import Informer
from machinery.resources import Resource


class UndeclaredError(Exception):
    """A controller asks for something that its descriptor does not declare."""


@dataclass
class ControllerContext:
    """The things that one controller works with. It writes everything, events included, with ``client``."""

    controller: str
    declared_in: str  # the file of its descriptor
    client: Client
    options: ControllerOptions
    informers: Mapping[Resource, Informer]
    everything: Monitors | None = None
    recorders: dict[str, EventRecorder] = field(default_factory=dict)

    def informer(self, resource: Resource) -> Informer:
        """Return the shared informer of a kind; raise UndeclaredError if the descriptor does not name the kind."""
        if resource not in self.informers:
            raise UndeclaredError(
                f"{self.controller} asks for the informer of {resource.name}, which it does not declare: "
                f"add WatchedKind({resource.kind}) to the watches in {self.declared_in}"
            )
        return self.informers[resource]

    @property
    def monitors(self) -> Monitors:
        """The watches on all kinds; raises UndeclaredError if the descriptor does not ask for them."""
        if self.everything is None:
            raise UndeclaredError(
                f"{self.controller} asks for the watches on all kinds: set watches_everything in {self.declared_in}"
            )
        return self.everything

    def recorder(self, component: str) -> EventRecorder:
        """Return the recorder of events whose source is ``component``, which is upstream's name."""
        if component not in self.recorders:
            self.recorders[component] = EventRecorder(self.client, component)
        return self.recorders[component]
