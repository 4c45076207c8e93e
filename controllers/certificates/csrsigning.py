"""Sign approved certificate requests of Kubernetes' own signers (upstream: pkg/controller/certificates/signer)."""

from __future__ import annotations

import base64
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

from controllers.certificates.account import ACCOUNT, RULES
from controllers.certificates.certificateauthority import CertificateAuthority
from controllers.certificates.signers import SIGNERS, waits_for_signature
from controllers.shared.context import ControllerContext
from controllers.shared.descriptor import ControllerDescriptor, WatchedKind
from machinery.controller import Controller
from machinery.errors import NotFound
from machinery.objects import Object, now
from machinery.pemcertificates import check_request
from machinery.resources import CERTIFICATE_SIGNING_REQUESTS

log = logging.getLogger(__name__)


class CertificateSigner:
    """Reconciles approved CertificateSigningRequests."""

    def __init__(self, context: ControllerContext) -> None:
        self.client = context.client
        self.requests = context.informer(CERTIFICATE_SIGNING_REQUESTS)
        options = context.options
        self.authority = CertificateAuthority(
            Path(options.cluster_signing_cert_file),
            Path(options.cluster_signing_key_file),
            timedelta(seconds=options.cluster_signing_duration),
        )
        self.controller = Controller("csrsigning", self.reconcile)
        self.controller.watch(self.requests)
        self.start = self.controller.start

    def reconcile(self, name: str) -> None:
        """Sign one request, or write why it cannot be signed."""
        csr = self.requests.get(name)
        if csr is None or not waits_for_signature(csr) or csr["spec"]["signerName"] not in SIGNERS:
            return
        try:
            self.client.update(CERTIFICATE_SIGNING_REQUESTS, self.signed(csr), subresource="status")
        except NotFound:
            return
        log.info("signed certificate request %s of %s", name, csr["spec"].get("username"))

    def signed(self, csr: Object) -> Object:
        """Return the request with its certificate, or with the condition Failed."""
        spec, status = csr["spec"], csr.get("status", {})
        usages = spec.get("usages", ())
        request = check_request(base64.b64decode(spec["request"]))
        if fault := SIGNERS[spec["signerName"]](request, usages):
            failed = {"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": fault}
            conditions = [*status.get("conditions", ()), failed | {"lastUpdateTime": now()}]
            return {**csr, "status": {**status, "conditions": conditions}}
        pem = self.authority.sign(request, usages, spec.get("expirationSeconds"), datetime.now(UTC))
        return {**csr, "status": {**status, "certificate": base64.b64encode(pem).decode()}}


SIGNING = ControllerDescriptor(
    "certificatesigningrequest-signing-controller",
    CertificateSigner,
    account=ACCOUNT,
    rules=RULES,
    watches=(WatchedKind(CERTIFICATE_SIGNING_REQUESTS),),
    needs_option="cluster_signing_cert_file",
    aliases=("csrsigning",),
)
