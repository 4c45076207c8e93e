"""The service account that the controllers of CertificateSigningRequests share, and its rules."""

from __future__ import annotations

from machinery.policyrules import CERTIFICATES, REVIEW_ACCESS, WRITE_EVENTS, can

ACCOUNT = "certificate-controller"
RULES = (
    can("delete get list watch", "certificatesigningrequests", CERTIFICATES),
    can("update", "certificatesigningrequests/approval certificatesigningrequests/status", CERTIFICATES),
    can("approve", "signers", CERTIFICATES, names="kubernetes.io/kube-apiserver-client-kubelet"),
    can(
        "sign",
        "signers",
        CERTIFICATES,
        names="kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet "
        "kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown",
    ),
    REVIEW_ACCESS,
    WRITE_EVENTS,
)
