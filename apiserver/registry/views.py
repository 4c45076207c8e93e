"""Writes of a subresource that shows its object in another form: ``scale`` and ``finalize``.

A change of the form is written back into the object. A Scale has managed fields of its own, in which the owners of the
object's replicas are found, so that they can be conflicted with and taken over from (upstream: ScaleREST).
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from apiserver import managedfields, patch
from apiserver.kinds.subresources import Subresource
from apiserver.managedfields import Writer
from apiserver.model import metadata
from apiserver.model import query as parameters
from apiserver.model.kind import Kind
from apiserver.model.patchtypes import APPLY_PATCH
from apiserver.registry import apply as applying
from apiserver.registry.request import Call
from machinery.objects import Object

# From the form that is shown to the one that is wanted.
_Edit = Callable[[Object], Object]


def change(call: Call, row: Subresource, view: Kind, wanted: Object | None) -> Callable[[Object], Object]:
    """What a PUT (of ``wanted``) or PATCH does to the object, a copy of which it is given, perhaps several times."""
    writer = call.writer._replace(version=view.version) if row.show is not None else None
    edit = _replacement(wanted) if wanted is not None else _patch(call, view, writer)

    def write(old: Object) -> Object:
        shown = row.show(old) if row.show is not None else old
        owners = old["metadata"].get("managedFields") or ()
        if writer is not None:
            shown["metadata"]["managedFields"] = managedfields.to_scale(owners, row.replicas)
        changed = edit(shown)
        sent = changed["metadata"]
        metadata.check_name(changed, call.name, call.namespace)
        if writer is not None:
            _complete(changed, shown)
            if call.content_type != APPLY_PATCH:
                managedfields.updated(view, changed, shown, writer)
        if row.apply is not None:
            row.apply(old, changed)
        meta = old["metadata"]
        if writer is not None:
            version = f"{call.kind.group}/{call.version}" if call.kind.group else call.version
            entries = managedfields.to_parent(owners, sent.get("managedFields") or (), version, row.replicas)
            meta.pop("managedFields", None)
            meta.update({"managedFields": entries} if entries else {})
        meta["resourceVersion"] = sent.get("resourceVersion", "")
        if sent.get("uid"):
            meta["uid"] = sent["uid"]
        return old

    return write


def _complete(changed: Object, shown: Object) -> None:
    """Nothing is absent from a Scale: Go leaves out numbers that are zero."""
    for part in ("spec", "status"):
        zeros = {field: type(value)() for field, value in shown[part].items()}
        changed[part] = {**zeros, **(changed.get(part) or {})}


def _replacement(wanted: Object) -> _Edit:
    pristine = orjson.dumps(wanted)
    return lambda shown: orjson.loads(pristine)


def _patch(call: Call, view: Kind, writer: Writer | None) -> _Edit:
    content_type, body, validation = patch.accepted_type(call.content_type, call.kind), call.body, call.field_validation
    applies = content_type == APPLY_PATCH
    if not applies:

        def edit(shown: Object) -> Object:
            patched = patch.apply(view, shown, body, content_type)
            return view.codec.check(patched, field_validation=validation)[0]

        return edit
    force = parameters.flag(call.query, "force")
    configuration = managedfields.read(view, view.version, body, validation)

    def apply(shown: Object) -> Object:
        assert writer is not None
        applied = managedfields.apply(view, shown, configuration.object, writer, force=force)
        applying.report_duplicates(call, configuration)
        return view.codec.check(applied, field_validation="Ignore")[0]

    return apply
