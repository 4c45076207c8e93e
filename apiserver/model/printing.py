"""How times are printed in the columns of ``kubectl get``, as upstream's printers do."""

from __future__ import annotations

from datetime import UTC, datetime

from machinery.objects import parse_time


def age(timestamp: str | None) -> str:
    """Return how long ago an RFC 3339 time was, as a column shows it: ``5s``, ``2m3s``, ``3h12m``.

    Without a time it is ``<unknown>``.
    """
    if not timestamp:
        return "<unknown>"
    return human_duration((datetime.now(UTC) - parse_time(timestamp)).total_seconds())


def human_duration(duration: float) -> str:
    """Return a duration of so many seconds in at most two units, rounded down (upstream: duration.HumanDuration).

    The longer it is, the coarser: ``119s``, ``9m59s``, ``179m``, ``7h59m``, ``47h``, ``7d23h``, ``729d``, ``7y364d``.
    """
    seconds = int(duration)
    if seconds < -1:
        return "<invalid>"
    if seconds < 120:
        return f"{max(seconds, 0)}s"
    minutes, hours = seconds // 60, seconds // 3600
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 2 * 365:
        return f"{days}d"
    if days < 8 * 365:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
