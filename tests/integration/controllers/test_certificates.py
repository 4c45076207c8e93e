"""From a request to a certificate: asked for, approved, signed by the cluster's authority; and cleaned up."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from machinery.objects import Object, get_condition
from machinery.resources import CERTIFICATE_SIGNING_REQUESTS as CSRS

pytestmark = pytest.mark.etcd

Wait = Callable[..., Any]


def make(cluster: Any, signer: str, common: str, *groups: str) -> Object:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    pem = request.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.PEM)
    spec = {
        "request": base64.b64encode(pem).decode(),
        "signerName": signer,
        "usages": ["digital signature", "client auth"],
        "expirationSeconds": 3600,
    }
    made: Object = cluster.client.create(CSRS, {"metadata": {"generateName": "test-"}, "spec": spec})
    return made


def approve(cluster: Any, csr: Object) -> None:
    approved = {"type": "Approved", "status": "True", "reason": "Test", "message": "by the test"}
    cluster.client.update(CSRS, {**csr, "status": {"conditions": [approved]}}, subresource="approval")


def newest(cluster: Any, csr: Object) -> Object:
    found: Object = cluster.client.get(CSRS, csr["metadata"]["name"])
    return found


def test_an_approved_request_gets_its_certificate(cluster: Any, wait: Wait) -> None:
    csr = make(cluster, "kubernetes.io/kube-apiserver-client", "ana", "devs")
    approve(cluster, csr)
    pem = wait(lambda: newest(cluster, csr)["status"].get("certificate"), "the certificate")
    certificate = x509.load_pem_x509_certificate(base64.b64decode(pem))
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(cluster.plane.signing_cert.read_bytes()))
    assert certificate.subject.rfc4514_string() == "CN=ana,O=devs"


def test_a_request_that_does_not_fit_its_signer_fails(cluster: Any, wait: Wait) -> None:
    csr = make(cluster, "kubernetes.io/kube-apiserver-client-kubelet", "ana", "devs")
    approve(cluster, csr)
    failed = wait(lambda: get_condition(newest(cluster, csr), "Failed"), "the condition")
    assert (failed["reason"], failed["message"]) == (
        "SignerValidationFailure",
        "subject organization is not system:nodes",
    )


def test_a_kubelets_request_is_approved_for_who_may_have_it(cluster: Any, wait: Wait) -> None:
    """An administrator may have any node's certificate."""
    csr = make(cluster, "kubernetes.io/kube-apiserver-client-kubelet", "system:node:node-7", "system:nodes")
    wait(lambda: newest(cluster, csr)["status"].get("certificate"), "the certificate")
    approved = get_condition(newest(cluster, csr), "Approved")
    assert approved is not None
    assert (approved["reason"], approved["message"]) == (
        "AutoApproved",
        "Auto approving kubelet client certificate after SubjectAccessReview.",
    )


def test_other_peoples_requests_are_left_alone(cluster: Any, wait: Wait) -> None:
    foreign, ours = make(cluster, "example.com/own", "ana"), make(cluster, "kubernetes.io/kube-apiserver-client", "ana")
    for csr in (foreign, ours):
        approve(cluster, csr)
    wait(lambda: newest(cluster, ours)["status"].get("certificate"), "the certificate of the later one")
    assert "certificate" not in newest(cluster, foreign)["status"]


def test_a_denied_request_goes_after_its_time(cluster: Any, wait: Wait) -> None:
    csr = make(cluster, "example.com/own", "ana")
    denied = {"type": "Denied", "status": "True", "lastUpdateTime": "2020-01-01T00:00:00Z"}
    cluster.client.update(CSRS, {**csr, "status": {"conditions": [denied]}}, subresource="approval")

    def names() -> set[str]:
        return {each["metadata"]["name"] for each in cluster.client.list(CSRS)["items"]}

    wait(lambda: csr["metadata"]["name"] not in names(), "the cleaner")
