"""The admission plugins of a server that has everything."""

from __future__ import annotations

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
from apiserver.authorization.authorizer import UnionAuthorizer


def standard_plugins(authorizer: UnionAuthorizer) -> tuple[Plugin, ...]:
    """Return them in no particular order; ``chain`` sorts them."""
    return (
        NamespaceLifecycle(),
        Escalation(authorizer),
        ProjectRequest(authorizer),
        LimitRanger(),
        ServiceAccount(),
        NodeRestriction(),
        PodSecurity(),
        Priority(),
        DefaultTolerationSeconds(),
        RuntimeClass(),
        CertificateApproval(authorizer),
        CertificateSigning(authorizer),
        CertificateSubjectRestriction(),
        ResourceQuota(),
    )
