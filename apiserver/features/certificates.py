"""CertificateSigningRequests: who may ask for a certificate, approve it and sign it."""

from __future__ import annotations

from apiserver.admission.certificates import CertificateApproval, CertificateSigning, CertificateSubjectRestriction
from apiserver.admission.plugin import Plugin
from apiserver.features.feature import Base, Feature
from apiserver.kinds.certificatesigningrequests import CERTIFICATE_SIGNING_REQUESTS
from apiserver.model.attributes import Authorizer


def _admission(base: Base, authorizer: Authorizer) -> tuple[Plugin, ...]:
    return CertificateApproval(authorizer), CertificateSigning(authorizer), CertificateSubjectRestriction()


FEATURE = Feature("certificates", kinds=(CERTIFICATE_SIGNING_REQUESTS,), admission=_admission)
