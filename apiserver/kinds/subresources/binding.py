"""``pods/binding``: the scheduler's decision (upstream: BindingREST). A pod is bound once, and never moved."""

from __future__ import annotations

from apiserver.kinds.subresources import body
from apiserver.model.actions import Actions, success
from apiserver.model.kind import Subresource
from machinery.errors import BadRequest, FieldError, conflict, invalid
from machinery.objects import Object, set_condition

RESOURCE = "pods/binding"


def bind(actions: Actions, pod: Object, binding: Object) -> Object:
    """Answer a POST to the pod's own ``binding``."""
    name = pod["metadata"]["name"]
    if binding.get("metadata", {}).get("name", name) != name:
        raise BadRequest("name in URL does not match name in Binding object")
    check(name, binding)
    actions.update(actions.kind, pod["metadata"]["namespace"], name, lambda newest: assign(newest, binding))
    return success()


def check(name: str, binding: Object) -> None:
    """Raise Invalid unless the Binding names a node."""
    target, errors = binding.get("target", {}), []
    if target.get("kind") and target["kind"] != "Node":
        errors.append(FieldError.not_supported("target.kind", target["kind"], ("Node", "<empty>")))
    if not target.get("name"):
        errors.append(FieldError.required("target.name"))
    if errors:
        raise invalid("Binding", name, errors)


def assign(pod: Object, binding: Object) -> None:
    """Put the pod on the Binding's node; raises Conflict if it is on one already, or being deleted, or has changed."""
    metadata, wanted, spec = pod["metadata"], binding.get("metadata", {}), pod["spec"]
    name = metadata["name"]
    for field, shown in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(field) and wanted[field] != metadata.get(field):
            why = f"{shown} in precondition: {wanted[field]}, {shown} in object meta: {metadata.get(field)}"
            raise conflict(RESOURCE, name, f"Precondition failed: {why}")
    if metadata.get("deletionTimestamp"):
        raise conflict(RESOURCE, name, f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise conflict(RESOURCE, name, f'pod {name} is already assigned to node "{spec["nodeName"]}"')
    if spec.get("schedulingGates"):
        raise conflict(RESOURCE, name, f"pod {name} has non-empty .spec.schedulingGates")
    spec["nodeName"] = binding["target"]["name"]
    if wanted.get("annotations"):
        metadata["annotations"] = {**(metadata.get("annotations", {})), **wanted["annotations"]}
    set_condition(pod, "PodScheduled", "True", lastProbeTime=None)


BINDING = Subresource("binding", ("create",), *body("", "Binding"), act=bind)
