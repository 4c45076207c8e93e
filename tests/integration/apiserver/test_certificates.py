"""The certificates API through the whole application, on both stores."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from integration.apiserver.conftest import Api

pytestmark = pytest.mark.etcd

Object = dict[str, Any]
MERGE = {"Content-Type": "application/merge-patch+json"}
PATH = "/apis/certificates.k8s.io/v1/certificatesigningrequests"


@pytest.fixture(scope="module")
def pem() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "e2e.example.com")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return base64.b64encode(request.public_bytes(Encoding.PEM)).decode()


def make(api: Api, pem: str, signer: str = "example.com/test", **spec: Any) -> Object:
    spec = {"request": pem, "signerName": signer, "usages": ["client auth"], **spec}
    answer = api("POST", PATH, {"metadata": {"generateName": "e2e-"}, "spec": spec})
    assert answer.code == 201, answer
    made: Object = answer.json
    return made


def test_discovery(api: Api) -> None:
    resources = {each["name"]: each for each in api("GET", PATH.rpartition("/")[0]).json["resources"]}
    assert resources["certificatesigningrequests"]["shortNames"] == ["csr"]
    for part in ("approval", "status"):
        assert resources[f"certificatesigningrequests/{part}"]["verbs"] == ["get", "patch", "update"]


def test_a_request_knows_who_made_it(api: Api, pem: str) -> None:
    made = make(api, pem, username="somebody", groups=["system:masters"])
    assert (made["spec"]["username"], made["spec"]["groups"]) == ("admin", ["system:masters", "system:authenticated"])
    assert made["status"] == {}


def test_a_life(api: Api, pem: str) -> None:
    signer = "example.com/life"
    made = [make(api, pem, signer) for _ in range(3)]
    at = f"{PATH}/{made[0]['metadata']['name']}"
    selected = f"{PATH}?fieldSelector=spec.signerName={signer}"
    assert len(api("GET", selected).json["items"]) == 3
    patched = api("PATCH", at, {"metadata": {"annotations": {"a": "b"}}, "spec": {"usages": ["any"]}}, MERGE).json
    assert (patched["metadata"]["annotations"], patched["spec"]["usages"]) == ({"a": "b"}, ["client auth"])

    approval = {"metadata": {"annotations": {"c": "d"}}, "status": {"conditions": [{"type": "Odd", "status": "True"}]}}
    approved = api("PATCH", f"{at}/approval", approval, MERGE).json
    assert approved["metadata"]["annotations"] == {"a": "b", "c": "d"}
    approved["status"]["conditions"].append({"type": "Approved", "status": "True", "reason": "r", "message": "m"})
    answer = api("PUT", f"{at}/approval", approved)
    assert [each["type"] for each in answer.json["status"]["conditions"]] == ["Odd", "Approved"]
    assert api("GET", f"{at}/approval").json == answer.json

    bad = api("PATCH", f"{at}/status", {"status": {"certificate": base64.b64encode(b"no").decode()}}, MERGE)
    assert (bad.code, bad.json["reason"]) == (422, "Invalid")
    taken_back = api("PATCH", f"{at}/approval", {"status": {"conditions": None}}, MERGE)
    assert 'updates may not remove a condition of type "Approved"' in taken_back.json["message"]

    assert api("DELETE", at).code == 200
    assert api("DELETE", selected).code == 200
    assert api("GET", selected).json["items"] == []


def test_nobody_asks_for_the_groups_that_may_do_all(api: Api, pem: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    spec = {
        "request": base64.b64encode(request.public_bytes(Encoding.PEM)).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
    }
    answer = api("POST", PATH, {"metadata": {"name": "me"}, "spec": spec})
    assert (answer.code, answer.json["message"]) == (
        403,
        'certificatesigningrequests.certificates.k8s.io "me" is forbidden: '
        "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed",
    )
