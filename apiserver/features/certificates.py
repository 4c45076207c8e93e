"""CertificateSigningRequests: who may ask for a certificate, approve it and sign it."""

from __future__ import annotations

from apiserver.features.feature import Feature
from apiserver.kinds.certificatesigningrequests import CERTIFICATE_SIGNING_REQUESTS

FEATURE = Feature("certificates", kinds=(CERTIFICATE_SIGNING_REQUESTS,))
