"""Three plugins: who may approve and who may sign certificate requests, and what nobody may request.

Upstream: plugin/pkg/admission/certificates. Rights are on ``signers`` by name, or by ``domain/*``.
"""

from __future__ import annotations

import base64

from apiserver.admission.plugin import Plugin, refuse
from apiserver.kinds.certificatesigningrequests import CERTIFICATE_SIGNING_REQUESTS
from apiserver.model.attributes import Attributes, Authorizer
from apiserver.model.user import MASTERS
from apiserver.registry.admissionrequest import AdmissionRequest
from machinery.objects import Object
from machinery.pemcertificates import organizations, parse_request

API_CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


class _OfSigners(Plugin):
    """Asks whether a user may act for the signer of the stored request; the one that was sent may name another."""

    verb = subresource = ""  # the right that it takes, and what it is for

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def handles(self, request: AdmissionRequest) -> bool:
        asked = (request.resource, request.operation, request.subresource)
        return asked == (CERTIFICATE_SIGNING_REQUESTS.resource, "UPDATE", self.subresource)

    def validate(self, request: AdmissionRequest) -> None:
        assert request.old is not None
        signer = request.old["spec"]["signerName"]
        names = (signer, f"{signer.partition('/')[0]}/*")
        group = CERTIFICATE_SIGNING_REQUESTS.group
        asked = (Attributes(request.user, self.verb, group, "signers", name=name) for name in names)
        if not any(map(self._authorizer.allows, asked)):
            raise refuse(request, f'user not permitted to {self.verb} requests with signerName "{signer}"')


class CertificateApproval(_OfSigners):
    name = "CertificateApproval"
    verb, subresource = "approve", "approval"


class CertificateSigning(_OfSigners):
    name = "CertificateSigning"
    looks_inside = True  # at the certificate
    verb, subresource = "sign", "status"

    def handles(self, request: AdmissionRequest) -> bool:
        return super().handles(request) and _signed(request.object) != _signed(request.old)


class CertificateSubjectRestriction(Plugin):
    name = "CertificateSubjectRestriction"

    def handles(self, request: AdmissionRequest) -> bool:
        asked = (request.resource, request.operation, request.subresource)
        return asked == (CERTIFICATE_SIGNING_REQUESTS.resource, "CREATE", "")

    def validate(self, request: AdmissionRequest) -> None:
        spec = request.new["spec"]
        if spec.get("signerName") != API_CLIENT_SIGNER:
            return
        try:
            subject = parse_request(base64.b64decode(spec["request"])).subject
        except ValueError as error:
            raise refuse(request, f"failed to parse CSR: {error}") from None
        if MASTERS in organizations(subject):
            raise refuse(request, f"use of {API_CLIENT_SIGNER} signer with {MASTERS} group is not allowed")


def _signed(obj: Object | None) -> tuple[object, ...]:
    status = (obj or {}).get("status") or {}
    return status.get("certificate"), status.get("conditions") or []
