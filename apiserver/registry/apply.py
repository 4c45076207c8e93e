"""Server-side apply: a PATCH that says what there is to be, and creates what does not exist.

Upstream: apiserver endpoints/handlers/patch.go, applyPatcher.
"""

from __future__ import annotations

from collections.abc import Callable

from apiserver.model import metadata
from apiserver.model import query as parameters
from apiserver.model.fieldmanager import Configuration
from apiserver.registry.call import Call
from apiserver.registry.fieldmanager import FieldManager
from machinery.errors import BadRequest, conflict
from machinery.objects import Object


def applying(call: Call, fields: FieldManager) -> Callable[[Object | None], Object]:
    """Return what the request does to the live object, or to None if there is none.

    Raises BadRequest for a bad body at once, UnsupportedMediaType on a server without managed fields.
    """
    kind, writer, force = call.kind, call.writer, parameters.flag(call.query, "force")
    configuration = fields.read(kind, call.version, call.body, call.field_validation)

    def apply(live: Object | None) -> Object:
        new = fields.apply(kind, live, configuration.object, writer, force=force)
        report_duplicates(call, configuration)
        new, _ = (kind.stored_as or kind).codec.check(new, field_validation="Ignore")
        _check_identity(call, new, live)
        return new

    return apply


def report_duplicates(call: Call, configuration: Configuration) -> None:
    """Raise BadRequest for keys that the body has twice, or warn of them; upstream does so once it could be applied."""
    if not configuration.duplicates:
        return
    if call.field_validation == "Strict":
        raise BadRequest(f"error strict decoding YAML: {configuration.duplicates}")
    call.warnings.append(configuration.duplicates)


def _check_identity(call: Call, new: Object, live: Object | None) -> None:
    """Raise Conflict if the client means an object that does not exist, BadRequest if not the one of the path."""
    sent = new["metadata"]
    if live is None and sent.get("uid"):
        why = f"uid mismatch: the provided object specified uid {sent['uid']}, and no existing object was found"
        raise conflict(call.kind.resource, call.name, why)
    if live is None and sent.get("resourceVersion"):
        why = "the object does not exist, but its resourceVersion was given"
        raise conflict(call.kind.resource, call.name, why)
    metadata.check_name(new, call.name, "")
    metadata.place(call.kind, call.namespace, new)
