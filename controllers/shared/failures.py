"""What an API error means to a controller."""

from __future__ import annotations

from machinery.errors import ApiError


def namespace_terminating(error: ApiError) -> bool:
    """The namespace takes no new objects any more: nothing to retry, for all in it goes away."""
    causes = (error.details or {}).get("causes", ())
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


def outcome_unknown(error: Exception) -> bool:
    """The request may or may not have been carried out: the connection broke, or the server gave up on its way."""
    return not isinstance(error, ApiError) or error.code >= 500
