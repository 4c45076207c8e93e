"""Query parameters as upstream reads them: the first of several values counts, and numbers and flags are Go's.

Upstream: apimachinery/pkg/runtime/conversion.go. What cannot be read is refused with strconv's words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from machinery.errors import BadRequest, quote

_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)


def parse(text: str) -> dict[str, str]:
    """Return the query's parameters, each with its first value."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True) if text else ():
        found.setdefault(name, value)
    return found


def values(text: str, name: str) -> list[str]:
    """Return every value of one parameter."""
    return [value for key, value in parse_qsl(text, keep_blank_values=True) if key == name] if text else []


def flag(query: Mapping[str, str], name: str) -> bool:
    """Return a boolean: False if it is absent, ``false`` or ``0``, so ``?watch=`` and ``?watch=no`` are True."""
    text = query.get(name)
    return text is not None and text != "0" and text.lower() != "false"


def integer(query: Mapping[str, str], name: str) -> int | None:
    """Return an integer of 64 bits, or None if the parameter is absent; raises BadRequest for anything else."""
    text = query.get(name)
    return None if text is None else int64(text)


def int64(text: str) -> int:
    """Return what Go's ``strconv.ParseInt(text, 10, 64)`` does; raises BadRequest with its message."""
    if not _INTEGER.fullmatch(text):
        raise BadRequest(f"strconv.ParseInt: parsing {quote(text)}: invalid syntax")
    number = int(text) if len(text) < 40 else 1 << 64
    if not -(1 << 63) <= number < 1 << 63:
        raise BadRequest(f"strconv.ParseInt: parsing {quote(text)}: value out of range")
    return number
