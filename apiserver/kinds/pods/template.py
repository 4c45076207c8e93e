"""Checks of a pod template (upstream: ValidatePodTemplateSpec)."""

from __future__ import annotations

from apiserver.kinds import checks
from apiserver.kinds.pods.spec import validate_pod_spec
from machinery.errors import FieldError
from machinery.objects import Object


def validate_pod_template(path: str, template: Object) -> checks.Errors:
    """Metadata and spec of the pods to be."""
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    yield from checks.labels(f"{path}.labels", metadata.get("labels") or {})
    for name in metadata.get("annotations") or {}:
        yield from checks.qualified_name(f"{path}.annotations", name.lower())
    yield from validate_pod_spec(f"{path}.spec", spec, is_pod=False)
    if spec.get("ephemeralContainers"):
        why = "ephemeral containers not allowed in pod template"
        yield FieldError.forbidden(f"{path}.spec.ephemeralContainers", why)
