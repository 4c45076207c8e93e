"""A feature is a row: an optional part of the API server, with everything that it brings along.

The core serves the verbs, watches, Tables and discovery of the kinds in ``kinds/rows.py``; everything else is a
feature. The core knows of none of them: ``assembly.py`` asks the row of each selected feature for its parts.
"""

from __future__ import annotations

from dataclasses import dataclass

from apiserver.model.kind import Kind


@dataclass(frozen=True)
class Feature:
    """One row; whatever a feature does not bring along, it leaves out."""

    name: str
    kinds: tuple[Kind, ...] = ()  # the rows that it adds to the registry
