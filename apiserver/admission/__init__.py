"""Admission: plugins that may change a request (``admit``) and refuse it (``validate``), in upstream's order.

A plugin of your own is a subclass of ``plugin.Plugin`` and a place in ``CHAIN``.
"""

from apiserver.admission.namespacelifecycle import NamespaceLifecycle
from apiserver.admission.plugin import Plugin
from apiserver.admission.priority import Priority
from apiserver.admission.runtimeclass import RuntimeClass
from apiserver.admission.serviceaccount import ServiceAccount
from apiserver.admission.tolerations import DefaultTolerationSeconds

CHAIN: tuple[Plugin, ...] = (
    NamespaceLifecycle(),
    ServiceAccount(),
    Priority(),
    DefaultTolerationSeconds(),
    RuntimeClass(),
)
