"""Exponential back-off as upstream's kubelet counts it, for crashing containers and for images that do not come.

The first failure is retried at once and opens an entry of 10 s; each later one doubles it, up to 300 s; ten quiet
minutes forget it. Pure: an entry and a time go in, an entry or a moment comes out.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 10.0
LONGEST = 300.0
FORGOTTEN_AFTER = 2 * LONGEST


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait after a failure, in seconds, and when the entry was last changed (Unix time)."""

    delay: float
    updated: float


def waits_until(entry: Backoff | None, failed_at: float) -> float | None:
    """Return when to try again what failed at ``failed_at``, None if that is at once. Times are Unix times."""
    if entry is None or _forgotten(entry, failed_at):
        return None
    return failed_at + entry.delay


def after_retry(entry: Backoff | None, failed_at: float, now: float) -> Backoff:
    """Return the entry to keep when the next try begins."""
    if entry is None or _forgotten(entry, failed_at):
        return Backoff(FIRST, now)
    return Backoff(min(entry.delay * 2, LONGEST), now)


def _forgotten(entry: Backoff, moment: float) -> bool:
    return moment - entry.updated > FORGOTTEN_AFTER
