"""Writes of a subresource that shows its object in another form: ``scale`` and ``finalize``.

A change of the form is written back into the object. A Scale has managed fields of its own, in which the owners of the
object's replicas are found, so that they can be conflicted with and taken over from (upstream: ScaleREST).
"""

from __future__ import annotations

import orjson

from apiserver import patch
from apiserver.model import metadata
from apiserver.model import query as parameters
from apiserver.model.fieldmanager import Writer
from apiserver.model.kind import Kind, Subresource
from apiserver.model.patchtypes import APPLY_PATCH
from apiserver.registry.apply import report_duplicates
from apiserver.registry.call import Call
from apiserver.registry.fieldmanager import FieldManager
from apiserver.registry.update import Change
from machinery.objects import Object


def through_view(call: Call, row: Subresource, view: Kind, wanted: Object | None, fields: FieldManager) -> Change:
    """Return what a PUT (of ``wanted``) or a PATCH of the form ``view`` does to the parent object.

    Raises UnsupportedMediaType or BadRequest at once for a patch that the parent's kind does not take.
    """
    writer = call.writer._replace(version=view.version) if row.show is not None else None
    edit = _replacement(wanted) if wanted is not None else _patch(call, view, writer, fields)

    def write(old: Object) -> Object:
        shown = row.show(old) if row.show is not None else old
        owners = old["metadata"].get("managedFields") or ()
        if writer is not None:
            shown["metadata"]["managedFields"] = fields.to_scale(owners, row.replicas)
        changed = edit(shown)
        sent = changed["metadata"]
        metadata.check_name(changed, call.name, call.namespace)
        if writer is not None:
            _complete(changed, shown)
            if call.content_type != APPLY_PATCH:
                fields.updated(view, changed, shown, writer)
        if row.apply is not None:
            row.apply(old, changed)
        meta = old["metadata"]
        if writer is not None:
            version = f"{call.kind.group}/{call.version}" if call.kind.group else call.version
            entries = fields.to_parent(owners, sent.get("managedFields") or (), version, row.replicas)
            meta.pop("managedFields", None)
            meta.update({"managedFields": entries} if entries else {})
        meta["resourceVersion"] = sent.get("resourceVersion", "")
        if sent.get("uid"):
            meta["uid"] = sent["uid"]
        return old

    return write


def _complete(changed: Object, shown: Object) -> None:
    """Fill in the zeros that a client written in Go leaves out, for no number of a Scale is absent."""
    for part in ("spec", "status"):
        zeros = {field: type(value)() for field, value in shown[part].items()}
        changed[part] = {**zeros, **(changed.get(part) or {})}


def _replacement(wanted: Object) -> Change:
    """Return what a PUT does to the form that is shown."""
    pristine = orjson.dumps(wanted)
    return lambda shown: orjson.loads(pristine)


def _patch(call: Call, view: Kind, writer: Writer | None, fields: FieldManager) -> Change:
    """Return what a PATCH does to the form that is shown."""
    content_type, body, validation = patch.accepted_type(call.content_type, call.kind), call.body, call.field_validation
    applies = content_type == APPLY_PATCH
    if not applies:

        def edit(shown: Object) -> Object:
            patched = patch.apply(view, shown, body, content_type)
            return view.codec.check(patched, field_validation=validation)[0]

        return edit
    force = parameters.flag(call.query, "force")
    configuration = fields.read(view, view.version, body, validation)

    def apply(shown: Object) -> Object:
        assert writer is not None
        applied = fields.apply(view, shown, configuration.object, writer, force=force)
        report_duplicates(call, configuration)
        return view.codec.check(applied, field_validation="Ignore")[0]

    return apply
