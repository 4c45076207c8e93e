"""Kinds of which nothing is stored: their objects are worked out anew for each get and list.

A row says so with ``computed``, and what works its objects out is found by the resource's name. There is nothing to
watch, and an object has no resourceVersion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from apiserver.config import Config
from apiserver.kinds.componentstatuses import COMPONENT_STATUSES
from apiserver.kinds.usage import NODE_METRICS, POD_METRICS
from apiserver.model.reader import Reader
from apiserver.registry.computed import Computed
from apiserver.storage.protocol import Store, StoreError
from apiserver.streaming.backend import Dialer
from apiserver.streaming.usage import NodeMetrics, PodMetrics, Usage, asking
from machinery.errors import not_found
from machinery.objects import Object

# Seconds that a component has for its answer.
PATIENCE = 5.0


def computed(config: Config, store: Store, reader: Reader) -> Mapping[str, Computed]:
    """Resource → what works its objects out."""
    usage = Usage(reader, asking(Dialer.of(config)))
    return {
        COMPONENT_STATUSES.resource: ComponentStatuses(config.controllers_healthz, store),
        NODE_METRICS.resource: NodeMetrics(usage),
        POD_METRICS.resource: PodMetrics(usage),
    }


class ComponentStatuses:
    """How the control plane's other parts answer; the scheduler and the controllers are one process here."""

    def __init__(self, controllers: str, store: Store) -> None:
        self._checks: dict[str, Callable[[], str]] = {
            "controller-manager": lambda: _ask(controllers),
            "etcd-0": lambda: _ask_store(store),
            "scheduler": lambda: _ask(controllers),
        }

    def get(self, namespace: str, name: str) -> Object:
        if name not in self._checks:
            raise not_found(COMPONENT_STATUSES.resource, name)
        message = self._checks[name]()
        condition = {"type": "Healthy", "status": str(message == "ok"), "message": message}
        return {
            "kind": COMPONENT_STATUSES.kind,
            "apiVersion": COMPONENT_STATUSES.api_version,
            "metadata": {"name": name, "creationTimestamp": None},
            "conditions": [condition],
        }

    def list(self, namespace: str) -> Sequence[Object]:
        return [self.get("", name) for name in self._checks]


def _ask(url: str) -> str:
    """What a health endpoint says: ``ok``, or what is wrong."""
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return str(answer.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        with error:
            return f"HTTP probe failed with statuscode: {error.code}: {error.read().decode(errors='replace')}"
    except OSError as error:
        return f'Get "{url}": {getattr(error, "reason", error)}'


def _ask_store(store: Store) -> str:
    try:
        store.revision()
    except StoreError as error:
        return str(error)
    return "ok"
