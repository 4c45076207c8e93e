"""``namespaces/finalize``: who has cleaned up a deleted namespace removes its name from ``spec.finalizers`` here."""

from __future__ import annotations

from apiserver.kinds.namespaces import validate_finalizers
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
