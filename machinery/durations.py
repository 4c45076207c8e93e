"""Parse durations as Go does (``1h30m``, ``1.5s``, ``-2us``; upstream: time.ParseDuration)."""

from __future__ import annotations

import re

UNITS = {
    "ns": 1,
    "us": 10**3,
    "\u00b5s": 10**3,  # micro sign
    "\u03bcs": 10**3,  # Greek letter mu
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = re.compile(r"([0-9]*)(\.[0-9]*)?([^0-9.]*)")


def parse(text: str) -> int:
    """Return a duration in nanoseconds; raises ValueError for another form, or one beyond 64 bits."""
    sign = text[:1] if text[:1] in ("+", "-") else ""
    rest = text[len(sign) :]
    if rest == "0":
        return 0
    total = position = 0
    while position < len(rest) or not rest:
        part = _PART.match(rest, position)
        whole, fraction, unit = part.groups() if part else ("", "", "")
        digits = whole.lstrip("0")
        if not (whole or (fraction or "").strip(".")) or unit not in UNITS or len(digits) > 19:
            raise ValueError(f'time: invalid duration "{text}"')
        decimals = (fraction or "")[1:19]  # Go ignores what is finer than it can hold.
        total += int(digits or 0) * UNITS[unit] + int(decimals or 0) * UNITS[unit] // 10 ** len(decimals)
        position = part.end() if part else len(rest)
        if total > 2**63 - (sign != "-"):
            raise ValueError(f'time: invalid duration "{text}"')
    return -total if sign == "-" else total
