"""A user's own certificate, from the key to the first request: what the documentation of Kubernetes does by hand."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from e2e.harness import Kubectl, eventually

from machinery.objects import Object


def test_an_approved_certificate_opens_the_door(kubectl: Kubectl, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ana")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    csr: Object = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": f"ana-{kubectl.namespace}"},
        "spec": {
            "request": base64.b64encode(request.public_bytes(Encoding.PEM)).decode(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
            "expirationSeconds": 3600,
        },
    }
    name = csr["metadata"]["name"]
    kubectl("create", "-f", "-", stdin=yaml.safe_dump(csr))
    kubectl("certificate", "approve", name)
    certificate = eventually(lambda: kubectl("get", "csr", name, "-o", "jsonpath={.status.certificate}"))
    assert "Approved,Issued" in kubectl("get", "csr", name)

    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    config = yaml.safe_load(kubectl.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"client-certificate-data": certificate, "client-key-data": base64.b64encode(pem).decode()}
    own = tmp_path / "kubeconfig"
    own.write_text(json.dumps(config))
    ana = kubectl._replace(kubeconfig=own)
    assert 'pods is forbidden: User "ana" cannot list resource "pods"' in ana.fails("get", "pods")
    kubectl("create", "rolebinding", "ana", "--clusterrole=view", "--user=ana")
    assert "No resources found" in ana.run("get", "pods").stderr
    kubectl("delete", "csr", name)
