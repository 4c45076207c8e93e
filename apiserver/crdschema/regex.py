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
        raise ValueError(_go_words(why.decode() if isinstance(why, bytes) else why, pattern)) from None


# What Go calls the faults that RE2 names before the colon.
_FAULTS = {
    "missing ]": "missing closing ]",
    "missing )": "missing closing )",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid repetition size": "invalid repeat count",
    "invalid named capture group": "invalid named capture",
    "invalid perl operator": "invalid or unsupported Perl syntax",
}


def _go_words(why: str, pattern: str) -> str:
    fault, _, place = why.partition(": ")
    if fault == "trailing \\":
        fault, place = "trailing backslash at end of expression", ""
    elif place.startswith(("(?<=", "(?<!")):
        # Go takes these for the beginning of a name.
        fault, place = "invalid named capture", pattern[pattern.find(place) :]
    return f"error parsing regexp: {_FAULTS.get(fault, fault)}: `{place}`"


def problem(pattern: str) -> str:
    """Return what is wrong with a pattern, "" if it is valid."""
    try:
        if pattern:
            compiled(pattern)
    except ValueError as error:
        return str(error)
    return ""
