"""CertificateSigningRequests: who may ask for a certificate, approve it and sign it."""

from __future__ import annotations

from apiserver.admission.certificates import CertificateApproval, CertificateSigning, CertificateSubjectRestriction
from apiserver.features.feature import Feature
from apiserver.kinds.certificatesigningrequests import CERTIFICATE_SIGNING_REQUESTS

FEATURE = Feature(
    "certificates",
    kinds=(CERTIFICATE_SIGNING_REQUESTS,),
    admission=lambda base, authorizer: (
        CertificateApproval(authorizer),
        CertificateSigning(authorizer),
        CertificateSubjectRestriction(),
    ),
)
