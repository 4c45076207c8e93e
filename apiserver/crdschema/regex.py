"""Patterns in schemas, which are RE2's as Go's are: in their syntax, and in taking time linear in the text's length."""

from __future__ import annotations

from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Any:
    """Return a pattern that has a method ``search``; raises ValueError with RE2's message."""
    import re2  # here, so that only clusters with patterns in their custom resources load it

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0]
        raise ValueError(f"error parsing regexp: {why.decode() if isinstance(why, bytes) else why}") from None


def problem(pattern: str) -> str:
    """Return what is wrong with a pattern, "" if it is valid."""
    try:
        if pattern:
            compiled(pattern)
    except ValueError as error:
        return str(error)
    return ""
