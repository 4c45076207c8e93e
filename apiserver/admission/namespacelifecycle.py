"""NamespaceLifecycle: no object is created in a namespace that is missing or terminating; three are never deleted."""

from __future__ import annotations

from apiserver.admission.plugin import Plugin, refuse
from apiserver.kinds.namespaces import NAMESPACES, TERMINATING
from apiserver.registry.admissionrequest import AdmissionRequest
from machinery.errors import not_found

IMMORTAL = ("default", "kube-system", "kube-public")


class NamespaceLifecycle(Plugin):
    name = "NamespaceLifecycle"

    def handles(self, request: AdmissionRequest) -> bool:
        return request.operation in ("CREATE", "UPDATE", "DELETE")

    def admit(self, request: AdmissionRequest) -> None:
        if request.resource == NAMESPACES.resource:
            if request.operation == "DELETE" and request.name in IMMORTAL:
                raise refuse(request, "this namespace may not be deleted")
            return
        if request.kind.namespaced and request.operation != "DELETE":
            self._require(request)

    def _require(self, request: AdmissionRequest) -> None:
        name = request.namespace
        namespace = request.reader.get(NAMESPACES, "", name, consistent=request.operation == "CREATE")
        if namespace is None:
            raise not_found(NAMESPACES.resource, name)
        if request.operation != "CREATE" or (namespace.get("status") or {}).get("phase") != TERMINATING:
            return
        error = refuse(request, f"unable to create new content in namespace {name} because it is being terminated")
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {name} is being terminated",
            "field": "metadata.namespace",
        }
        error.details = {**(error.details or {}), "causes": [cause]}
        raise error
