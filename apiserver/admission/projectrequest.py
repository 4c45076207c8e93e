"""ProjectRequest: marks the new namespace of a user with the verb ``own`` as hers (``authorization/ownership.py``)."""

from __future__ import annotations

from apiserver.admission.plugin import Plugin, refuse
from apiserver.authorization.authorizer import MASTERS
from apiserver.authorization.ownership import REQUESTER, owns_what_she_makes
from apiserver.kinds.namespaces import NAMESPACES
from apiserver.model.attributes import Authorizer
from apiserver.registry.admissionrequest import AdmissionRequest
from machinery.objects import Object

# Marks a namespace whose owner has not got her bindings yet: they are several writes.
UNFINISHED = "mini-minishift/unfinished-project"
# Prefixes of names that belong to the system.
RESERVED = ("kube-", "openshift-")


class ProjectRequest(Plugin):
    """Writes, and protects, the annotations of a project."""

    name = "ProjectRequest"
    optional = False  # upstream has no such plugin

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def handles(self, request: AdmissionRequest) -> bool:
        return request.kind is NAMESPACES and request.operation in ("CREATE", "UPDATE")

    def admit(self, request: AdmissionRequest) -> None:
        assert request.object is not None
        if MASTERS in request.user.groups:
            return
        marks = _marks(request.old)
        if request.old is None and owns_what_she_makes(self._authorizer, request.user):
            _check_name(request, request.object["metadata"])
            marks = {REQUESTER: request.user.name, **({} if request.dry_run else {UNFINISHED: "true"})}
        _set_marks(request.object["metadata"], marks)


def _marks(namespace: Object | None) -> dict[str, str]:
    annotations = ((namespace or {}).get("metadata") or {}).get("annotations") or {}
    return {name: annotations[name] for name in (REQUESTER, UNFINISHED) if name in annotations}


def _set_marks(metadata: Object, marks: dict[str, str]) -> None:
    """Write the marks, and restore them on updates: they give rights, so no user may write them."""
    annotations = metadata.get("annotations") or {}
    if _marks({"metadata": metadata}) != marks:
        others = {name: value for name, value in annotations.items() if name not in (REQUESTER, UNFINISHED)}
        metadata["annotations"] = {**others, **marks}


def _check_name(request: AdmissionRequest, metadata: Object) -> None:
    name = metadata.get("name") or metadata.get("generateName") or ""
    for prefix in RESERVED:
        if name.startswith(prefix):
            raise refuse(request, f'cannot request a project starting with "{prefix}"')
