"""The annotation of client-side apply, for objects that go over to server-side apply or are applied to in both ways.

Only for the manager "kubectl", whose two ways of applying are one to its users (upstream: lastappliedmanager.go and
lastappliedupdater.go).
"""

from __future__ import annotations

import orjson

from apiserver.managedfields import fieldset, walks
from apiserver.managedfields.entries import Manager
from apiserver.managedfields.fieldset import Fields
from apiserver.managedfields.updating import Schema
from apiserver.model.metadata import ANNOTATIONS_LIMIT
from machinery.objects import Object

MANAGER = "kubectl"
ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"


def remaining(schema: Schema, live: Object, conflicts: dict[Manager, Fields]) -> dict[Manager, Fields]:
    """The conflicts about fields that are not still as kubectl itself applied them last."""
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
    """Lets the annotation, where there is one, say what has now been applied; one that gets too long is dropped."""
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
