"""The source of ComponentStatuses, which are computed for each request (see ``registry/computed.py``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apiserver.kinds.componentstatuses import COMPONENT_STATUSES
from apiserver.storage.protocol import Store, StoreError
from machinery.errors import not_found
from machinery.objects import Object

# Seconds that a component has for its answer.
TIMEOUT = 5.0


class ComponentStatusSource:
    """Asks etcd and the controllers how they are. The scheduler and the controllers are one process here."""

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
    """Return what a health endpoint answers: ``ok``, or what is wrong."""
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
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
