"""Certificate requests: which are signed and approved, what a certificate then says, and how long requests are kept."""

from __future__ import annotations

import base64
import datetime
import ipaddress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from controllers.certificates.certificateauthority import CertificateAuthority, validity
from controllers.certificates.csrapproving import APPROVING, MESSAGES, CertificateApprover, recognized, review
from controllers.certificates.csrcleaner import deadlines
from controllers.certificates.signers import API_CLIENT, KUBELET_CLIENT, KUBELET_SERVING, SIGNERS, waits_for_signature
from machinery.objects import Object, format_time, parse_time

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
CLIENT = ["digital signature", "key encipherment", "client auth"]
SERVING = ["digital signature", "key encipherment", "server auth"]
DNS, IP = x509.DNSName("node-1"), x509.IPAddress(ipaddress.ip_address("10.0.0.1"))
EMAIL, URI = x509.RFC822Name("a@example.com"), x509.UniformResourceIdentifier("https://example.com")


def subject(common: str, *groups: str) -> x509.Name:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def request(
    common: str = "system:node:node-1", *groups: str, names: tuple[x509.GeneralName, ...] = (), key: Any = None
) -> x509.CertificateSigningRequest:
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject(common, *(groups or ("system:nodes",))))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())


def csr(signer: str, made: x509.CertificateSigningRequest, usages: list[str], *conditions: str) -> Object:
    pem = base64.b64encode(made.public_bytes(Encoding.PEM)).decode()
    spec = {"signerName": signer, "request": pem, "usages": usages, "username": "system:node:node-1"}
    status = {"conditions": [{"type": type, "status": "True"} for type in conditions]}
    return {"metadata": {"name": "r"}, "spec": spec, "status": status}


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    """One that ends in ten days."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder().subject_name(subject("ca")).issuer_name(subject("ca"))
    builder = builder.public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(NOW - HOUR).not_valid_after(NOW + 240 * HOUR)
    certificate = builder.add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "ca.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    (tmp_path / "ca.key").write_bytes(pem)
    return CertificateAuthority(tmp_path / "ca.crt", tmp_path / "ca.key", 100 * HOUR)


@pytest.mark.parametrize(
    "signer, made, usages, fault",
    [
        (API_CLIENT, request("ana", "devs"), ["client auth"], ""),
        (API_CLIENT, request(), ["server auth"], "invalid usage for client certificate: server auth"),
        (API_CLIENT, request(), ["digital signature"], "missing required usage for client certificate: client auth"),
        (KUBELET_CLIENT, request(), CLIENT, ""),
        (KUBELET_CLIENT, request(), ["digital signature", "client auth"], ""),
        (KUBELET_CLIENT, request("system:node:a", "devs"), CLIENT, "subject organization is not system:nodes"),
        (KUBELET_CLIENT, request("ana"), CLIENT, "subject common name does not begin with system:node:"),
        (KUBELET_CLIENT, request(names=(DNS,)), CLIENT, "DNS subjectAltNames are not allowed"),
        (KUBELET_CLIENT, request(names=(IP,)), CLIENT, "IP subjectAltNames are not allowed"),
        (
            KUBELET_CLIENT,
            request(),
            SERVING,
            "usages did not match [client auth digital signature key encipherment]",
        ),
        (KUBELET_SERVING, request(names=(DNS, IP)), SERVING, ""),
        (KUBELET_SERVING, request(), SERVING, "DNS or IP subjectAltName is required"),
        (KUBELET_SERVING, request(names=(DNS, EMAIL)), SERVING, "Email subjectAltNames are not allowed"),
        (KUBELET_SERVING, request(names=(DNS, URI)), SERVING, "URI subjectAltNames are not allowed"),
        (
            KUBELET_SERVING,
            request("ana", names=(DNS,)),
            SERVING,
            "subject common name does not begin with system:node:",
        ),
    ],
)
def test_what_signers_ask_for(signer: str, made: Any, usages: list[str], fault: str) -> None:
    assert SIGNERS[signer](made, usages) == fault


@pytest.mark.parametrize(
    "conditions, waits",
    [([], False), (["Approved"], True), (["Approved", "Failed"], False), (["Denied"], False), (["Odd"], False)],
)
def test_what_waits_for_a_signature(conditions: list[str], waits: bool) -> None:
    obj = csr(API_CLIENT, request(), CLIENT, *conditions)
    assert waits_for_signature(obj) is waits
    obj["status"]["certificate"] = "x"
    assert not waits_for_signature(obj)


def test_a_certificate_says_what_was_asked_and_nothing_of_authority(authority: CertificateAuthority) -> None:
    key = rsa.generate_private_key(65537, 2048)
    asked = request(names=(DNS, IP), key=key)
    certificate = x509.load_pem_x509_certificate(authority.sign(asked, ["signing", *SERVING], None, NOW))
    assert certificate.subject == asked.subject
    assert certificate.issuer == subject("ca")
    assert certificate.public_key() == key.public_key()
    extensions = certificate.extensions
    assert list(extensions.get_extension_for_class(x509.SubjectAlternativeName).value) == [DNS, IP]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment, usage.key_cert_sign) == (True, True, False)
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]


@pytest.mark.parametrize("seconds, lasts", [(None, 100 * HOUR), (7200, 2 * HOUR), (60, HOUR / 6), (10**7, 100 * HOUR)])
def test_how_long_a_certificate_lasts(
    authority: CertificateAuthority, seconds: int | None, lasts: datetime.timedelta
) -> None:
    certificate = x509.load_pem_x509_certificate(authority.sign(request(), CLIENT, seconds, NOW))
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    assert start == NOW - datetime.timedelta(minutes=5)
    assert end - (NOW if lasts < 8 * HOUR else start) == lasts


def test_nothing_outlives_its_authority() -> None:
    assert validity(100 * HOUR, NOW + HOUR, NOW)[1] == NOW + HOUR
    with pytest.raises(ValueError, match="refusing to sign a certificate that expired in the past"):
        validity(HOUR, NOW, NOW)


def test_which_requests_a_kubelet_would_make() -> None:
    assert recognized(csr(KUBELET_CLIENT, request(), CLIENT)) == ["selfnodeclient", "nodeclient"]
    assert recognized(csr(KUBELET_CLIENT, request("system:node:other"), CLIENT)) == ["nodeclient"]
    assert recognized(csr(KUBELET_CLIENT, request("ana"), CLIENT)) == []
    assert recognized(csr(API_CLIENT, request(), CLIENT)) == []


def test_the_question_whether_the_user_may() -> None:
    asked = review({"username": "ana", "groups": ["devs"]}, "nodeclient")["spec"]
    assert (asked["user"], asked["groups"], asked["resourceAttributes"]["subresource"]) == (
        "ana",
        ["devs"],
        "nodeclient",
    )


def test_how_long_requests_are_kept(authority: CertificateAuthority) -> None:
    def ends(*conditions: str, certificate: bytes = b"") -> list[datetime.timedelta]:
        obj = csr(API_CLIENT, request(), CLIENT, *conditions)
        obj["metadata"]["creationTimestamp"] = format_time(NOW)
        for condition in obj["status"]["conditions"]:
            condition["lastUpdateTime"] = format_time(NOW)
        if certificate:
            obj["status"]["certificate"] = base64.b64encode(certificate).decode()
        return [datetime.datetime.fromtimestamp(end, datetime.UTC) - NOW for end, _ in deadlines(obj)]

    assert parse_time(format_time(NOW)) == NOW
    assert ends() == [24 * HOUR]
    assert ends("Denied") == ends("Failed") == [HOUR]
    assert ends("Approved") == [], "somebody may still sign it"
    assert ends("Approved", certificate=authority.sign(request(), CLIENT, 1200, NOW)) == [HOUR, HOUR / 3]


class Reviewer:
    """An API server that allows some subresources, and remembers what was approved."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed
        self.asked: list[str] = []
        self.approved: list[Object] = []

    def create(self, resource: Any, body: Object) -> Object:
        subresource = body["spec"]["resourceAttributes"]["subresource"]
        self.asked.append(subresource)
        return {"status": {"allowed": subresource in self.allowed}}

    def update(self, resource: Any, obj: Object, *, subresource: str) -> Object:
        assert subresource == "approval"
        self.approved.append(obj)
        return obj


@pytest.mark.parametrize(
    "allowed, asked, message",
    [
        (("selfnodeclient",), ["selfnodeclient"], MESSAGES["selfnodeclient"]),
        (("nodeclient",), ["selfnodeclient", "nodeclient"], MESSAGES["nodeclient"]),
        ((), ["selfnodeclient", "nodeclient"], None),
    ],
)
def test_what_a_node_may_have_is_approved(
    informer: Any, allowed: tuple[str, ...], asked: list[str], message: str | None
) -> None:
    reviewer = Reviewer(*allowed)
    informer.objects["r"] = csr(KUBELET_CLIENT, request(), CLIENT)
    again = approve_if_allowed(reviewer, informer, "r")
    assert reviewer.asked == asked
    told = [obj["status"]["conditions"][-1]["message"] for obj in reviewer.approved]
    assert told == ([message] if message else [])
    assert (again is None) is (message is not None), "rights may be given later"


def test_what_is_decided_or_nobodys_is_not_asked_about(informer: Any) -> None:
    reviewer = Reviewer("nodeclient")
    informer.objects["denied"] = csr(KUBELET_CLIENT, request(), CLIENT, "Denied")
    informer.objects["other"] = csr(API_CLIENT, request(), CLIENT)
    for name in ("denied", "other", "gone"):
        assert approve_if_allowed(reviewer, informer, name) is None
    assert reviewer.asked == []


class Informers:
    """One for all kinds."""

    def __init__(self, informer: Any) -> None:
        self.informer = informer

    def of(self, resource: Any, **_: Any) -> Any:
        return self.informer


def approve_if_allowed(client: Any, informer: Any, name: str) -> float | None:
    informers: Any = Informers(informer)
    return CertificateApprover(APPROVING.context(client, informers)).reconcile(name)
