"""``namespaces/finalize``: who has cleaned up a deleted namespace removes its name from ``spec.finalizers`` here."""

from __future__ import annotations

from apiserver.model import checks
from apiserver.model.kind import Subresource
from machinery import validation
from machinery.errors import invalid
from machinery.objects import Object


def finalize(namespace: Object, wanted: Object) -> None:
    """Replace the finalizers, and nothing else; raises Invalid for bad names."""
    finalizers = wanted.get("spec", {}).get("finalizers", [])
    spec = namespace.setdefault("spec", {})
    spec["finalizers"] = finalizers
    if errors := list(validate_finalizers("spec.finalizers", namespace)):
        raise invalid("Namespace", namespace["metadata"]["name"], errors)
    if not finalizers:
        del spec["finalizers"]


def validate_finalizers(path: str, namespace: Object) -> checks.Errors:
    """Check the names in ``spec.finalizers``."""
    for name in namespace.get("spec", {}).get("finalizers", ()):
        yield from checks.invalid(path, name, validation.is_finalizer_name(name))


FINALIZE = Subresource("finalize", ("update",), apply=finalize, hooks=False)
