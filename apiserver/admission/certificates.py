"""Three plugins: who may approve and who may sign certificate requests, and what nobody may request.

Upstream: plugin/pkg/admission/certificates. Rights are on ``signers`` by name, or by ``domain/*``.
"""

from __future__ import annotations

import base64

from apiserver.admission.plugin import Plugin, refuse
from apiserver.kinds.certificatesigningrequests import CERTIFICATE_SIGNING_REQUESTS
from apiserver.model.attributes import Attributes, Authorizer
from apiserver.registry.admissionrequest import AdmissionRequest
from machinery.objects import Object
from machinery.pemcertificates import organizations, parse_request

API_CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"
MASTERS = "system:masters"


class _OfSigners(Plugin):
    """Asks whether a user may act for a signer."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def _may(self, request: AdmissionRequest, verb: str, signer: str) -> bool:
        group, names = CERTIFICATE_SIGNING_REQUESTS.group, (signer, f"{signer.partition('/')[0]}/*")
        asked = (Attributes(request.user, verb, group, "signers", name=name) for name in names)
        return any(map(self._authorizer.allows, asked))


class CertificateApproval(_OfSigners):
    name = "CertificateApproval"

    def handles(self, request: AdmissionRequest) -> bool:
        return _is_update(request, "approval")

    def validate(self, request: AdmissionRequest) -> None:
        """Ask about the signer of the stored request, for the one that was sent may name another."""
        assert request.old is not None
        signer = request.old["spec"]["signerName"]
        if not self._may(request, "approve", signer):
            raise refuse(request, f'user not permitted to approve requests with signerName "{signer}"')


class CertificateSigning(_OfSigners):
    name = "CertificateSigning"

    def handles(self, request: AdmissionRequest) -> bool:
        return _is_update(request, "status")

    def validate(self, request: AdmissionRequest) -> None:
        assert request.old is not None and request.object is not None
        if _signed(request.object) == _signed(request.old):
            return
        signer = request.old["spec"]["signerName"]
        if not self._may(request, "sign", signer):
            raise refuse(request, f'user not permitted to sign requests with signerName "{signer}"')


class CertificateSubjectRestriction(Plugin):
    name = "CertificateSubjectRestriction"

    def handles(self, request: AdmissionRequest) -> bool:
        kind, operation = request.kind, request.operation
        return kind is CERTIFICATE_SIGNING_REQUESTS and (operation, request.subresource) == ("CREATE", "")

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


def _is_update(request: AdmissionRequest, subresource: str) -> bool:
    kind, operation = request.kind, request.operation
    return kind is CERTIFICATE_SIGNING_REQUESTS and (operation, request.subresource) == ("UPDATE", subresource)


def _signed(obj: Object) -> tuple[object, ...]:
    status = obj.get("status") or {}
    return status.get("certificate"), status.get("conditions") or []
