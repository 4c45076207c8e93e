"""Approves the client certificates that kubelets ask for themselves, if their user may have such.

Upstream: pkg/controller/certificates/approver. Who may is asked of the API server, as a SubjectAccessReview about
the subresources ``selfnodeclient`` (a node renews its own) and ``nodeclient`` (somebody gets a node's first).
"""

from __future__ import annotations

import base64
import logging

from controllers.certificates.account import ACCOUNT, RULES
from controllers.certificates.signers import KUBELET_CLIENT, is_decided, kubelet_client
from controllers.shared.context import Context
from controllers.shared.descriptor import ControllerDescriptor, Watch
from machinery.controller import Controller
from machinery.errors import NotFound
from machinery.objects import Object
from machinery.pemcertificates import common_name, parse_request
from machinery.resources import CERTIFICATE_SIGNING_REQUESTS, SUBJECT_ACCESS_REVIEWS

log = logging.getLogger(__name__)

# Rights may be given later; nothing tells of it.
RETRY = 300.0
# Subresource → what the approval says.
MESSAGES = {
    "selfnodeclient": "Auto approving self kubelet client certificate after SubjectAccessReview.",
    "nodeclient": "Auto approving kubelet client certificate after SubjectAccessReview.",
}


class CertificateApprover:
    """Runs the reconciler over requests."""

    def __init__(self, context: Context) -> None:
        self.client = context.client
        self.requests = context.informer(CERTIFICATE_SIGNING_REQUESTS)
        self.controller = Controller("csrapproving", self.reconcile)
        self.controller.watch(self.requests)
        self.start = self.controller.start

    def reconcile(self, name: str) -> float | None:
        """Approves one request, if it is a kubelet's and may be."""
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
        """Adds the condition."""
        status = csr.get("status", {})
        approved = {"type": "Approved", "status": "True", "reason": "AutoApproved", "message": message}
        status = {**status, "conditions": [*status.get("conditions", ()), approved]}
        try:
            self.client.update(CERTIFICATE_SIGNING_REQUESTS, {**csr, "status": status}, subresource="approval")
        except NotFound:
            return


def recognized(csr: Object) -> list[str]:
    """What a request is, in the order in which it is asked for; empty for what no kubelet would ask."""
    spec = csr["spec"]
    if spec["signerName"] != KUBELET_CLIENT:
        return []
    request = parse_request(base64.b64decode(spec["request"]))
    if kubelet_client(request, spec.get("usages", ())):
        return []
    own = common_name(request.subject) == spec.get("username")
    return ["selfnodeclient", "nodeclient"] if own else ["nodeclient"]


def review(spec: Object, subresource: str) -> Object:
    """The question whether the request's user may have such a certificate."""
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
    watches=(Watch(CERTIFICATE_SIGNING_REQUESTS),),
    aliases=("csrapproving",),
)
