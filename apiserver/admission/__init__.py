"""Admission: plugins that may change a request (``admit``) and refuse it (``validate``).

A plugin of your own is a subclass of ``plugin.Plugin`` and a place in ``CHAIN``. The order is upstream's
(pkg/kubeapiserver/options/plugins.go: AllOrderedPlugins), and matters: limits are filled in before anybody looks at
them, and quotas are charged when nobody is left who could refuse.
"""

from collections.abc import Iterable

from apiserver.admission.certificates import CertificateApproval, CertificateSigning, CertificateSubjectRestriction
from apiserver.admission.escalation import Escalation
from apiserver.admission.limitranger import LimitRanger
from apiserver.admission.namespacelifecycle import NamespaceLifecycle
from apiserver.admission.noderestriction import NodeRestriction
from apiserver.admission.plugin import Plugin
from apiserver.admission.podsecurity import PodSecurity
from apiserver.admission.priority import Priority
from apiserver.admission.projectrequest import ProjectRequest
from apiserver.admission.resourcequota import ResourceQuota
from apiserver.admission.runtimeclass import RuntimeClass
from apiserver.admission.serviceaccount import ServiceAccount
from apiserver.admission.tolerations import DefaultTolerationSeconds

CHAIN: tuple[Plugin, ...] = (
    NamespaceLifecycle(),
    Escalation(),
    ProjectRequest(),
    LimitRanger(),
    ServiceAccount(),
    NodeRestriction(),
    PodSecurity(),
    Priority(),
    DefaultTolerationSeconds(),
    RuntimeClass(),
    CertificateApproval(),
    CertificateSigning(),
    CertificateSubjectRestriction(),
    ResourceQuota(),
)


def chain(disabled: Iterable[str]) -> tuple[Plugin, ...]:
    """The plugins but those that --disable-admission-plugins names; raises ValueError for one that there is not."""
    names = [plugin.name for plugin in CHAIN if plugin.name]
    if unknown := set(disabled) - set(names):
        known = ", ".join(names)
        raise ValueError(f"--disable-admission-plugins: unknown: {', '.join(sorted(unknown))}; there are {known}")
    return tuple(plugin for plugin in CHAIN if plugin.name not in disabled)
