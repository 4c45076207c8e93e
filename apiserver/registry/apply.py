"""Server-side apply as a PATCH: what it makes of the object that is there, if one is.

Upstream: apiserver endpoints/handlers/patch.go, applyPatcher.
"""

from __future__ import annotations

from collections.abc import Callable

from apiserver import managedfields
from apiserver.managedfields import Configuration
from apiserver.model import metadata
from apiserver.model import query as parameters
from apiserver.registry.request import Call
from machinery.errors import BadRequest, conflict
from machinery.objects import Object


def change(call: Call) -> Callable[[Object | None], Object]:
    """What the verb does to the live object, None when there is none; raises BadRequest at once for a bad body."""
    kind, writer, force = call.kind, call.writer, parameters.flag(call.query, "force")
    configuration = managedfields.read(kind, call.version, call.body, call.field_validation)

    def apply(live: Object | None) -> Object:
        new = managedfields.apply(kind, live, configuration.object, writer, force=force)
        report_duplicates(call, configuration)
        new, _ = (kind.stored_as or kind).codec.check(new, field_validation="Ignore")
        _check_identity(call, new, live)
        return new

    return apply


def report_duplicates(call: Call, configuration: Configuration) -> None:
    """Keys that occur twice are refused or warned of, once the configuration could be applied."""
    if not configuration.duplicates:
        return
    if call.field_validation == "Strict":
        raise BadRequest(f"error strict decoding YAML: {configuration.duplicates}")
    call.warnings.append(configuration.duplicates)


def _check_identity(call: Call, new: Object, live: Object | None) -> None:
    sent = new["metadata"]
    if live is None and sent.get("uid"):
        why = f"uid mismatch: the provided object specified uid {sent['uid']}, and no existing object was found"
        raise conflict(call.kind.resource, call.name, why)
    if live is None and sent.get("resourceVersion"):
        why = "the object does not exist, but its resourceVersion was given"
        raise conflict(call.kind.resource, call.name, why)
    metadata.check_name(new, call.name, "")
    metadata.place(call.kind, call.namespace, new)
