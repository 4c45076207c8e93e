"""The last-applied-configuration annotation of client-side apply, for objects that are applied to in both ways.

This concerns only the manager "kubectl", because its users may use ``kubectl apply`` with and without
``--server-side`` on one object. Upstream: lastappliedmanager.go and lastappliedupdater.go.
"""

from __future__ import annotations

import orjson

from apiserver.managedfields import fieldset, walks
from apiserver.managedfields.entries import ManagerIdentifier
from apiserver.managedfields.fieldset import Fields
from apiserver.managedfields.updating import VersionedSchema
from apiserver.model.metadata import ANNOTATIONS_LIMIT
from machinery.objects import Object

MANAGER = "kubectl"
ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"


def remaining(
    schema: VersionedSchema, live: Object, conflicts: dict[ManagerIdentifier, Fields]
) -> dict[ManagerIdentifier, Fields]:
    """Return the conflicts without those about fields whose values are still those of the annotation.

    kubectl itself set these by client-side apply, which is tracked as an update, so it may change them.
    """
    applied = _last_applied(live)
    if applied is None or applied.get("apiVersion") != schema.api_version:
        return conflicts
    difference = walks.compare(schema.node, applied, live)
    mine = walks.owned(schema.node, applied)
    for changed in difference:
        mine = fieldset.difference(mine, changed)
    left = {who: fieldset.difference(fields, mine) for who, fields in conflicts.items()}
    return {who: fields for who, fields in left.items() if fields}


def _last_applied(obj: Object) -> Object | None:
    text = ((obj.get("metadata") or {}).get("annotations") or {}).get(ANNOTATION)
    try:
        applied = orjson.loads(text or "null")
    except orjson.JSONDecodeError:
        return None
    return applied if isinstance(applied, dict) else None


def update(obj: Object, config: Object) -> None:
    """Set the annotation, in place, to what has now been applied, if there is one; drop it if it gets too long."""
    annotations = obj["metadata"].get("annotations")
    if not annotations or not annotations.get(ANNOTATION):
        return
    metadata = dict(config["metadata"])
    if metadata.get("annotations"):
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != ANNOTATION}
    text = orjson.dumps({**config, "metadata": metadata}, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    annotations[ANNOTATION] = text
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > ANNOTATIONS_LIMIT:
        del annotations[ANNOTATION]
