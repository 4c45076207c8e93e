"""What every admission plugin is, and how one refuses."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from apiserver.registry.admissionrequest import AdmissionRequest, Swap
from machinery.errors import Forbidden, forbidden


class Plugin:
    """One concern of admission; the defaults let everything pass as it is.

    A request meets ``admit`` of all plugins, then the kind's own validation, then ``validate`` of all plugins. An
    update may meet them several times, each time with a newer object, until it is stored.
    """

    name = ""  # upstream's, see ``chain.ORDER``
    optional = True  # --disable-admission-plugins may name it
    # Whether ``handles`` looks at more than operation, kind and subresource. Otherwise it is asked once for each sort.
    looks_inside = False

    def handles(self, request: AdmissionRequest) -> bool:
        """Return whether the other methods are to be called. Be quick: many writes ask."""
        raise NotImplementedError

    def admit(self, request: AdmissionRequest) -> None:
        """Complete ``request.object`` in place; raises an ApiError to refuse it early."""

    def guard(self, request: AdmissionRequest) -> AbstractContextManager[None]:
        """Return what must be held while a new object is validated and stored: a lock, where one is needed."""
        return nullcontext()

    def validate(self, request: AdmissionRequest) -> Sequence[Swap] | None:
        """Raise an ApiError to refuse the finished object.

        Return other objects that the transaction must replace which stores this one. When one of them has changed
        meanwhile, nothing is stored and the plugins are asked again.
        """
        return None


def refuse(request: AdmissionRequest, why: str) -> Forbidden:
    """Return the error ``pods "x" is forbidden: why``; an object without a name goes by its generateName."""
    metadata = (request.object or {}).get("metadata") or {}
    name = request.name or metadata.get("name") or metadata.get("generateName") or ""
    return forbidden(request.resource, name, why)


def is_pod(request: AdmissionRequest, *operations: str) -> bool:
    """Return whether the request is one of these operations on a pod itself, not on a subresource."""
    kind = request.kind
    return request.operation in operations and (kind.group, kind.kind, request.subresource) == ("", "Pod", "")
