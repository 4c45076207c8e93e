"""``pods/eviction``: a deletion that may be put off. No budget limits it here, so it never is."""

from __future__ import annotations

from apiserver.kinds.pods.row import PODS
from apiserver.model.subresource import Actions, success
from machinery.errors import BadRequest
from machinery.objects import Object


def evict(actions: Actions, pod: Object, eviction: Object) -> Object:
    """Deletes the pod with the DeleteOptions of the Eviction."""
    metadata = pod["metadata"]
    if (eviction.get("metadata") or {}).get("name", metadata["name"]) != metadata["name"]:
        raise BadRequest("name in URL does not match name in Eviction object")
    actions.delete(PODS, metadata["namespace"], metadata["name"], eviction.get("deleteOptions") or {})
    return success()
