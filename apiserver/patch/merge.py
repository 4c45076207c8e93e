"""JSON merge patch (RFC 7396): objects merge, null removes, everything else replaces."""

from __future__ import annotations

from typing import Any


def merge(target: Any, patch: Any) -> Any:
    """The patched target, which may be modified; the patch's parts may end up in it."""
    if not isinstance(patch, dict):
        return patch
    if not isinstance(target, dict):
        target = {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            target[key] = merge(target.get(key), value)
        else:
            target[key] = value
    return target


def diff(original: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """The merge patch that turns ``original`` into ``wanted`` (which must not hold nulls: they cannot be said)."""
    patch: dict[str, Any] = {key: None for key in original if key not in wanted}
    for key, value in wanted.items():
        old = original.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            if changed := diff(old, value):
                patch[key] = changed
        elif key not in original or not _same(old, value):
            patch[key] = value
    return patch


def _same(left: Any, right: Any) -> bool:
    """Equal as JSON, where true is not 1."""
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(_same(*pair) for pair in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    return bool(left == right)
