"""Tell apart what an API error means to a controller."""

from __future__ import annotations

from machinery.errors import ApiError


def namespace_terminating(error: ApiError) -> bool:
    """Return True if the object was refused because its namespace is being deleted.

    A retry is of no use then, because everything in the namespace is deleted.
    """
    causes = (error.details or {}).get("causes", ())
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


def outcome_unknown(error: Exception) -> bool:
    """Return True if the request may or may not have been carried out.

    That is so if the connection broke, or the server failed on the way.
    """
    return not isinstance(error, ApiError) or error.code >= 500
