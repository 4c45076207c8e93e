"""Durations on the command line."""


def seconds(text: str) -> float:
    """A duration as upstream writes it (``40s``, ``1m``) or a plain number."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    unit = next((unit for unit in units if text.endswith(unit)), "")
    return float(text.removesuffix(unit)) * units.get(unit, 1.0)
