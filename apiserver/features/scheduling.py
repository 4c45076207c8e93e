"""PriorityClasses and RuntimeClasses, and what they and the default tolerations fill into a pod."""

from __future__ import annotations

from apiserver.admission.priority import Priority
from apiserver.admission.runtimeclass import RuntimeClass
from apiserver.admission.tolerations import DefaultTolerationSeconds
from apiserver.control.bootstrap import OwnObjects
from apiserver.features.feature import Feature
from apiserver.kinds.priorityclasses import PRIORITY_CLASSES, system_classes
from apiserver.kinds.runtimeclasses import RUNTIME_CLASSES

FEATURE = Feature(
    "scheduling",
    kinds=(PRIORITY_CLASSES, RUNTIME_CLASSES),
    admission=lambda base, authorizer: (Priority(), RuntimeClass(), DefaultTolerationSeconds()),
    steps=lambda core: (OwnObjects(core.rest, system_classes(), restore=False),),
)
