"""The optional parts of the API server, a file each; ``feature.py`` says what such a part may bring along.

A feature is added by adding its file and its name to ``NAMES``. One that ``--features`` does not select is not even
imported.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import replace

from apiserver.features.feature import Feature
from apiserver.kinds.registry import Registry
from apiserver.kinds.rows import core
from apiserver.kinds.services.ranges import ServiceRanges
from apiserver.model.kind import Subresource
from apiserver.streaming.handlers import SUBRESOURCES as STREAMING

# The modules of this folder that hold a ``FEATURE``.
NAMES = (
    "accesscontrol",
    "certificates",
    "configuration",
    "customresources",
    "events",
    "metrics",
    "podsecurity",
    "projects",
    "proxying",
    "quota",
    "scheduling",
    "serversideapply",
    "serviceaccounts",
    "workloads",
)
ALL, NONE = "*", "none"


def selected(names: Iterable[str]) -> tuple[str, ...]:
    """Return the features that ``--features`` asks for, in the order of ``NAMES``.

    ``*`` stands for all and ``none`` for none; ``-x`` leaves x out. Raises ValueError for a name that is not a feature.
    """
    asked = {name.removeprefix("-"): not name.startswith("-") for name in names if name not in ("", NONE)}
    everything = asked.pop(ALL, False)
    if unknown := asked.keys() - set(NAMES):
        raise ValueError(f"no feature is called {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return tuple(name for name in NAMES if asked.get(name, everything))


def load(names: Iterable[str] = (ALL,)) -> tuple[Feature, ...]:
    """Import the selected features. Raises ValueError for a name that is not one, or where one lacks another."""
    chosen = selected(names)
    features: tuple[Feature, ...] = tuple(
        importlib.import_module(f"apiserver.features.{name}").FEATURE for name in chosen
    )
    for feature in features:
        if missing := [name for name in feature.requires if name not in chosen]:
            raise ValueError(f"the feature {feature.name} needs {', '.join(missing)}: select both or none")
    return features


def registry_of(features: Iterable[Feature], ranges: ServiceRanges) -> Registry:
    """Return the rows of the core and of these features, each with its subresources, in the order of discovery.

    Subresources of a kind that is not selected are left out.
    """
    features = tuple(features)
    added: dict[str, list[Subresource]] = {}
    for rows in (STREAMING, *(feature.subresources for feature in features)):
        for resource, subresources in rows.items():
            added.setdefault(resource, []).extend(subresources)
    kinds = [*core(ranges), *(kind for feature in features for kind in feature.kinds)]
    return Registry.of_builtin(
        replace(kind, subresources=(*kind.subresources, *added[kind.resource])) if kind.resource in added else kind
        for kind in kinds
    )
