"""What every admission plugin is, and how one refuses."""

from __future__ import annotations

from apiserver.registry.request import AdmissionRequest
from machinery.errors import Forbidden, forbidden


class Plugin:
    """Changes ``request.object`` in place or raises an ApiError; the defaults do neither."""

    name = ""  # upstream's, see ``chain.ORDER``
    optional = True  # --disable-admission-plugins may name it

    def handles(self, request: AdmissionRequest) -> bool:
        """Whether this plugin has anything to do with the request."""
        raise NotImplementedError

    def admit(self, request: AdmissionRequest) -> None:
        """Fills in; runs before the object is checked."""

    def validate(self, request: AdmissionRequest) -> None:
        """Refuses; runs when every plugin has filled in."""


def refuse(request: AdmissionRequest, why: str) -> Forbidden:
    """``pods "x" is forbidden: why``; an object without a name yet goes by its generateName."""
    metadata = (request.object or {}).get("metadata") or {}
    name = request.name or metadata.get("name") or metadata.get("generateName") or ""
    return forbidden(request.kind.resource, name, why)


def is_pod(request: AdmissionRequest, *operations: str) -> bool:
    """The request is one of these operations on a pod itself, not on a subresource."""
    kind = request.kind
    return request.operation in operations and (kind.group, kind.kind, request.subresource) == ("", "Pod", "")
