"""Patterns in schemas are Go's, which are RE2's: in their syntax, and in taking no longer than the text is long."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

# RE2's words in C++ → in Go.
_GO_WORDS = {
    "missing ]": "missing closing ]",
    "missing )": "missing closing )",
    "unexpected )": "unexpected )",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "no argument for repetition operator": "missing argument to repetition operator",
    "invalid repetition size": "invalid repeat count",
    "bad repetition operator": "invalid nested repetition operator",
}


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Any:
    """The pattern, ready to ``search``; raises ValueError with Go's words."""
    import re2  # only a cluster with patterns in its custom resources pays for it

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        words = error.args[0]
        what, _, where = (words.decode() if isinstance(words, bytes) else str(words)).partition(": ")
        raise ValueError(f"error parsing regexp: {_GO_WORDS.get(what, what)}: `{where}`") from None


def problem(pattern: str) -> str:
    """What is wrong with a pattern; empty for a good one."""
    try:
        if pattern:
            compiled(pattern)
    except ValueError as error:
        return str(error)
    return ""
