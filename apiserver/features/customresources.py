"""Custom resources: kinds that a CustomResourceDefinition adds while the server runs."""

from __future__ import annotations

from typing import cast

from apiserver.control.definitions import RESYNC, Definitions
from apiserver.control.loop import Reconciler
from apiserver.features.feature import Core, Feature
from apiserver.kinds.customresourcedefinitions import CUSTOM_RESOURCE_DEFINITIONS
from apiserver.registry.customkinds import CustomKinds


def _tasks(core: Core) -> tuple[Reconciler, ...]:
    definitions = Definitions(core.rest, cast(CustomKinds, core.served))  # which this feature has made
    return (Reconciler("customresourcedefinitions", core.cache, definitions.sync, definitions.concerns, RESYNC),)


FEATURE = Feature(
    "customresources",
    kinds=(CUSTOM_RESOURCE_DEFINITIONS,),
    served=lambda base: CustomKinds(base.cache, base.builtin),
    tasks=_tasks,
)
