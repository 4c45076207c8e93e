"""Approve the client certificates that kubelets request for themselves, if their user has the right to them.

Upstream: pkg/controller/certificates/approver. The API server is asked by a SubjectAccessReview about one of two
subresources: ``selfnodeclient`` for a node that renews its own certificate, ``nodeclient`` for a user who requests a
node's first one.
"""

from __future__ import annotations

import base64
import logging
from contextlib import suppress

from controllers.certificates.account import ACCOUNT, RULES
from controllers.certificates.signers import KUBELET_CLIENT, is_decided, kubelet_client
from controllers.shared.context import ControllerContext
from controllers.shared.descriptor import ControllerDescriptor, WatchedKind
from machinery.controller import Controller
from machinery.errors import NotFound
from machinery.objects import Object
from machinery.pemcertificates import common_name, parse_request
from machinery.resources import CERTIFICATE_SIGNING_REQUESTS, SUBJECT_ACCESS_REVIEWS

log = logging.getLogger(__name__)

# Seconds until the next try: the user may be given the right later, and no event tells of that.
RETRY = 300.0
# Subresource → the message of the approval.
MESSAGES = {
    "selfnodeclient": "Auto approving self kubelet client certificate after SubjectAccessReview.",
    "nodeclient": "Auto approving kubelet client certificate after SubjectAccessReview.",
}


class CertificateApprover:
    """Reconciles CertificateSigningRequests that are not decided."""

    def __init__(self, context: ControllerContext) -> None:
        self.client = context.client
        self.requests = context.informer(CERTIFICATE_SIGNING_REQUESTS)
        self.controller = Controller("csrapproving", self.reconcile)
        self.controller.watch(self.requests)
        self.start = self.controller.start

    def reconcile(self, name: str) -> float | None:
        """Approve one request if it is a kubelet's and its user has the right."""
        csr = self.requests.get(name)
        if csr is None or is_decided(csr) or csr.get("status", {}).get("certificate"):
            return None
        tried = recognized(csr)
        for subresource in tried:
            if self.client.create(SUBJECT_ACCESS_REVIEWS, review(csr["spec"], subresource))["status"].get("allowed"):
                self.approve(csr, MESSAGES[subresource])
                return None
        if tried:
            log.debug("certificate request %s is recognized as %s, but its user has no right to it", name, tried)
        return RETRY if tried else None

    def approve(self, csr: Object, message: str) -> None:
        """Add the condition Approved."""
        status = csr.get("status", {})
        approved = {"type": "Approved", "status": "True", "reason": "AutoApproved", "message": message}
        status = {**status, "conditions": [*status.get("conditions", ()), approved]}
        with suppress(NotFound):
            self.client.update(CERTIFICATE_SIGNING_REQUESTS, {**csr, "status": status}, subresource="approval")


def recognized(csr: Object) -> list[str]:
    """Return the subresources to ask about, in this order; empty for a request that no kubelet would make."""
    spec = csr["spec"]
    if spec["signerName"] != KUBELET_CLIENT:
        return []
    request = parse_request(base64.b64decode(spec["request"]))
    if kubelet_client(request, spec.get("usages", ())):
        return []
    own = common_name(request.subject) == spec.get("username")
    return ["selfnodeclient", "nodeclient"] if own else ["nodeclient"]


def review(spec: Object, subresource: str) -> Object:
    """Return the SubjectAccessReview that asks whether the request's user has the right."""
    attributes = {
        "group": CERTIFICATE_SIGNING_REQUESTS.group,
        "version": "*",
        "resource": CERTIFICATE_SIGNING_REQUESTS.plural,
        "subresource": subresource,
        "verb": "create",
    }
    user = {"user": spec.get("username", ""), "uid": spec.get("uid", ""), "groups": spec.get("groups", [])}
    return {
        "apiVersion": SUBJECT_ACCESS_REVIEWS.api_version,
        "kind": SUBJECT_ACCESS_REVIEWS.kind,
        "spec": {**user, "extra": spec.get("extra", {}), "resourceAttributes": attributes},
    }


APPROVING = ControllerDescriptor(
    "certificatesigningrequest-approving-controller",
    CertificateApprover,
    account=ACCOUNT,
    rules=RULES,
    watches=(WatchedKind(CERTIFICATE_SIGNING_REQUESTS),),
    aliases=("csrapproving",),
)
